"""`train(recipe, workdir)`: data, network, optimiser, callbacks, fit. Every run lives in one folder.

runs/<name>/
    recipe.json                what was trained, with every override applied
    labels.json                the class names, in the order of the outputs
    train.log  history.csv     what happened, in words and per epoch
    checkpoints/best.weights.h5, checkpoints/last/   the best epoch, and all that resuming needs
"""

import csv
import json
import logging
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from training import distributed, tasks
from training.augmentation import augment
from training.datasets import SOURCES, Samples
from training.normalisation import normalise
from training.recipes import Recipe

log = logging.getLogger("training")


class RunError(Exception):
    """A run folder is missing, unfinished, or in the way. The text says what to do."""


@dataclass(frozen=True)
class Run:
    """A run folder and what it was trained from."""

    folder: Path
    recipe: Recipe
    labels: tuple[str, ...]

    @property
    def weights(self) -> Path:
        """The weights of the best epoch."""
        return self.folder / "checkpoints" / "best.weights.h5"

    def model(self) -> keras.Model:
        """Rebuild the network in float32 and load the best weights."""
        if not self.weights.is_file():
            raise RunError(f"{self.folder} has no finished epoch yet: {self.weights.name} is missing.")
        keras.config.set_dtype_policy("float32")
        model = tasks.build(self.recipe, len(self.labels))
        model.load_weights(self.weights)
        return model


def open_run(folder: Path) -> Run:
    """Open a run folder that `train` made."""
    try:
        recipe = Recipe.model_validate_json((folder / "recipe.json").read_text("utf-8"))
        labels = tuple(json.loads((folder / "labels.json").read_text("utf-8")))
    except FileNotFoundError as error:
        raise RunError(
            f"{folder} is not a run: {Path(error.filename).name} is missing. Train first."
        ) from None
    return Run(folder, recipe, labels)


def train(
    recipe: Recipe,
    folder: Path,
    data_dir: Path,
    *,
    resume: bool = False,
    extra: Sequence[keras.callbacks.Callback] = (),
) -> Run:
    """Train `recipe` into `folder`; with `resume`, go on after the last finished epoch there.

    `extra` callbacks are told of an epoch when its checkpoint is on disk.
    """
    _prepare(folder, resume)
    keras.utils.set_random_seed(recipe.training.seed)
    splits = SOURCES[recipe.dataset].load(data_dir / recipe.dataset, recipe.request)
    run = Run(folder, recipe, splits.labels)
    (folder / "recipe.json").write_text(recipe.model_dump_json(indent=2) + "\n", "utf-8")
    (folder / "labels.json").write_text(json.dumps(splits.labels, ensure_ascii=False) + "\n", "utf-8")

    keras.config.set_dtype_policy(recipe.training.precision)
    model = tasks.build(recipe, len(splits.labels))
    if recipe.start_from and not resume:
        _start_from(model, open_run(folder.parent / recipe.start_from))
    steps = -(-len(splits.train) // recipe.training.batch_size)
    tasks.compile_model(model, recipe, len(splits.labels), _optimizer(recipe, steps))
    log.info(
        "%s: %d training, %d validation, %d test images; %d parameters",
        recipe.name,
        len(splits.train),
        len(splits.validation),
        len(splits.test),
        model.count_params(),
    )
    distributed.fit(
        model,
        pipeline(splits.train, recipe, len(splits.labels), training=True),
        pipeline(splits.validation, recipe, len(splits.labels), training=False),
        epochs=recipe.training.epochs,
        shuffle=False,  # the pipeline does it; Keras warns that it cannot
        callbacks=[*_callbacks(run, resume), *extra],
        verbose=1 if sys.stdout.isatty() else 2,
    )
    return run


def _prepare(folder: Path, resume: bool) -> None:
    begun = (folder / "recipe.json").is_file()
    if begun and not resume:
        raise RunError(
            f"{folder} holds a run already: add --resume to go on with it, or --fresh to start over."
        )
    if resume and not begun:
        raise RunError(f"{folder} holds no run to resume.")
    folder.mkdir(parents=True, exist_ok=True)


def remove(folder: Path) -> None:
    """Delete a run folder, if it is one."""
    if (folder / "recipe.json").is_file():
        shutil.rmtree(folder)


def pipeline(samples: Samples, recipe: Recipe, label_count: int, *, training: bool) -> Any:
    """Return a tf.data.Dataset of (normalised images, targets); shuffled and augmented for training."""
    arrays: dict[str, Any] = {"image": samples.images}
    if recipe.task != "segmentation" and samples.labels is not None:
        arrays["scores"] = np.eye(label_count, dtype=np.float32)[samples.labels]
    if recipe.task == "localization":
        arrays["box"] = samples.boxes
    if recipe.task == "segmentation":
        arrays["mask"] = samples.masks
    tensors = {key: tf.constant(value) for key, value in arrays.items()}

    def gather(rows: Any) -> Any:
        batch = {key: tf.gather(value, rows) for key, value in tensors.items()}
        batch["image"] = tf.cast(batch["image"], tf.float32)
        if training:
            batch = augment(batch, recipe.augmentation)
        image = normalise(batch.pop("image"), recipe.input.normalisation)
        return image, batch

    rows = tf.data.Dataset.range(len(samples))
    if training:
        rows = rows.shuffle(len(samples), seed=recipe.training.seed, reshuffle_each_iteration=True)
    batches = distributed.share(rows.batch(recipe.training.batch_size), training=training)
    return batches.map(gather, num_parallel_calls=2).prefetch(2)


def _optimizer(recipe: Recipe, steps: int) -> keras.optimizers.Optimizer:
    settings = recipe.training
    total = steps * settings.epochs
    warmup = int(total * settings.warmup)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup else settings.learning_rate,
        decay_steps=total - warmup,
        warmup_target=settings.learning_rate if warmup else None,
        warmup_steps=warmup,
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=settings.weight_decay, global_clipnorm=5.0)
    # Decaying a bias or a normalisation's scale only moves it away from what the data ask for.
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def _callbacks(run: Run, resume: bool) -> list[keras.callbacks.Callback]:
    checkpoints = run.folder / "checkpoints"
    checkpoints.mkdir(exist_ok=True)
    monitor = tasks.MONITOR[run.recipe.task]
    return [
        keras.callbacks.TerminateOnNaN(),
        keras.callbacks.BackupAndRestore(str(checkpoints / "last"), delete_checkpoint=False),
        keras.callbacks.CSVLogger(str(run.folder / "history.csv"), append=resume),
        keras.callbacks.ModelCheckpoint(
            str(run.weights),
            monitor=monitor,
            mode="max",
            save_best_only=True,
            save_weights_only=True,
            initial_value_threshold=_best_so_far(run.folder / "history.csv", monitor) if resume else None,
        ),
    ]


def read_history(path: Path) -> list[dict[str, float]]:
    """Read history.csv: one dict per epoch."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def _best_so_far(path: Path, monitor: str) -> float | None:
    return max((row[monitor] for row in read_history(path) if monitor in row), default=None)


def _start_from(model: keras.Model, run: Run) -> None:
    """Copy the weights of every layer that has the same name and shapes in the other run's network."""
    donor = {layer.name: layer.get_weights() for layer in run.model().layers}
    keras.config.set_dtype_policy(model.dtype_policy)
    copied = 0
    for layer in model.layers:
        weights = donor.get(layer.name, [])
        if weights and [w.shape for w in weights] == [w.shape for w in layer.get_weights()]:
            layer.set_weights(weights)
            copied += 1
    if not copied:
        raise RunError(f"{run.folder} shares no layer with {model.name}: start_from would do nothing.")
    log.info("%s: weights of %d layers from %s", model.name, copied, run.recipe.name)
