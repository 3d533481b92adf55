"""What `fit` costs: our training step against a bare loop over a tf.function, on one constant batch.

    python -m benchmarks.training_step

Both train the same network with the same optimiser, by turns in one process. The bare loop has no metrics,
no callbacks and no data; ours is `fit` as `training` calls it. A ratio of 1 means that `fit` is free.
"""

import argparse
import statistics
import time
from dataclasses import dataclass, field
from typing import Any

import keras
import tensorflow as tf

from training.fit import optimizers
from training.recipes import registry
from training.schema import Recipe
from training.tasks import heads

BATCH = 128
NETWORKS = {"lecture-cnn-a": 40, "se-resnet-small": 8}
"""Architecture to steps per round."""


def _recipe(architecture: str, precision: str) -> Recipe:
    plain = registry.sketch(architecture)
    changes = {"epochs": 10, "batch_size": BATCH, "weight_decay": 0.02, "precision": precision}
    return plain.model_copy(update={"training": plain.training.model_copy(update=changes)})


def _network(recipe: Recipe, steps: int) -> tuple[keras.Model, keras.optimizers.Optimizer]:
    keras.config.set_dtype_policy(recipe.training.precision)
    model = heads.build(recipe, 10)
    optimizer = optimizers.build(recipe.training, 1000 * steps, 1e-3)
    optimizer.build(model.trainable_variables)
    return model, optimizer


def _bare(recipe: Recipe, steps: int, images: Any, scores: Any) -> Any:
    model, optimizer = _network(recipe, steps)
    loss = keras.losses.CategoricalCrossentropy()

    @tf.function  # type: ignore[untyped-decorator]
    def step() -> Any:
        with tf.GradientTape() as tape:
            value = loss(scores, model(images, training=True)["scores"])
        variables = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(value, variables), variables, strict=True))
        return value

    def steps_in_turn() -> None:
        for _ in range(steps):
            value = step()
        float(value)

    return steps_in_turn


@dataclass
class Turns(keras.callbacks.Callback):  # type: ignore[misc]
    """After each epoch of `fit`, lets the bare loop do as many steps; notes seconds of clock and of CPU."""

    bare: Any
    ours: list[tuple[float, float]] = field(default_factory=list)
    theirs: list[tuple[float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._began = (0.0, 0.0)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Start."""
        self._began = _now()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Note, and give the turn to the other."""
        middle = _now()
        self.bare()
        end = _now()
        if epoch > 1:  # the graphs are built
            self.ours.append((middle[0] - self._began[0], middle[1] - self._began[1]))
            self.theirs.append((end[0] - middle[0], end[1] - middle[1]))


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def measure(architecture: str, steps: int, rounds: int, precision: str) -> None:
    """Print the steps per second of both and their ratio."""
    recipe = _recipe(architecture, precision)
    images = tf.random.stateless_uniform([BATCH, *recipe.input.shape], [1, 2])
    scores = tf.one_hot(tf.range(BATCH) % 10, 10)
    turns = Turns(_bare(recipe, steps, images, scores))
    model, optimizer = _network(recipe, steps)
    heads.compile_model(model, recipe, 10, optimizer)
    batches = tf.data.Dataset.from_tensors((images, {"scores": scores})).repeat()
    model.fit(batches, epochs=rounds + 2, steps_per_epoch=steps, shuffle=False, callbacks=[turns], verbose=0)
    for kind, name in enumerate(("clock", "CPU")):
        ours = statistics.median(steps / pair[kind] for pair in turns.ours)
        theirs = statistics.median(steps / pair[kind] for pair in turns.theirs)
        ratio = statistics.median(b[kind] / a[kind] for a, b in zip(turns.ours, turns.theirs, strict=True))
        print(f"{architecture} {precision}: by the {name}, {ours:.1f} of {theirs:.1f} steps/s: {ratio:.3f}")


def main() -> None:
    """Measure each network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--precision", default="float32", choices=["float32", "mixed_bfloat16"])
    options = parser.parse_args()
    for architecture, steps in NETWORKS.items():
        measure(architecture, steps, options.rounds, options.precision)


if __name__ == "__main__":
    main()
