"""Whether the input pipeline keeps up with training: it must not cost more than a tenth of the rate.

    python -m benchmarks.input_pipeline [--steps N] [--rounds N] [--json FILE]

Each shipped recipe named below is trained on noise of its size, once fed by the pipeline (rows picked,
augmented and normalised) and once on one constant batch, by turns, so that a machine that drifts drifts for
both. The table has the medians, and the share of the constant batch's rate that the fed training reaches, by
the clock and by the CPU's time, which other machines on the same host disturb less.
"""

import argparse
import json
import os
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

RECIPES = ("digits", "signs", "pets", "pet-masks")
LABELS = 10


@dataclass(frozen=True)
class Result:
    """Images per second: of the pipeline alone, of training on a constant batch, of training fed by it.

    And of the constant batch's rate, what is left when fed: by the clock and by the CPU's time, medians of
    the rounds' own ratios.
    """

    recipe: str
    alone: float
    constant: float
    fed: float
    share: float
    cpu_share: float


def noise(recipe: Any, count: int) -> Any:
    """Return samples of the recipe's size with all that any task asks for."""
    from training.datasets import Samples

    chance = np.random.default_rng(0)
    height, width, channels = recipe.input.shape
    corners = np.sort(chance.random((count, 2, 2), np.float32), axis=1).reshape(count, 4)
    return Samples(
        chance.integers(0, 256, (count, height, width, channels), np.uint8),
        chance.integers(0, LABELS, count).astype(np.int32),
        corners,
        chance.integers(0, LABELS, (count, height, width), np.uint8),
    )


def measure(name: str, steps: int, rounds: int) -> Result:
    """Measure one recipe."""
    import keras

    from training.fit.pipeline import pipeline
    from training.recipes import registry
    from training.tasks import heads

    recipe = registry.load(name)
    keras.config.set_dtype_policy(recipe.training.precision)
    model = heads.build(recipe, LABELS)
    # At any other rate it learns the constant batch by heart, and then computes with slow denormal numbers.
    heads.compile_model(model, recipe, LABELS, keras.optimizers.AdamW(0.0))
    images = steps * recipe.training.batch_size
    fed = pipeline(noise(recipe, images), recipe, LABELS, training=True)
    # Of the pipeline's own shapes, unknown ones, so that one trace of the step serves both.
    constant = fed.take(1).cache().repeat(steps)

    def rates(batches: Any) -> tuple[float, float]:
        """Images per second, and per second of CPU."""
        begun, spent = time.perf_counter(), time.process_time()
        model.fit(batches, epochs=1, verbose=0)
        return images / (time.perf_counter() - begun), images / (time.process_time() - spent)

    def alone() -> float:
        begun = time.perf_counter()
        for _ in fed:
            pass
        return images / (time.perf_counter() - begun)

    rates(fed)
    rates(constant)
    rows = []
    for _ in range(rounds):
        by_itself, (still, still_cpu), (moving, moving_cpu) = alone(), rates(constant), rates(fed)
        rows.append((by_itself, still, moving, moving / still, moving_cpu / still_cpu))
    return Result(name, *(statistics.median(column) for column in zip(*rows, strict=True)))


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("recipes", nargs="*", default=RECIPES)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    print(f"{'recipe':12} {'pipeline alone':>16} {'constant batch':>16} {'fed':>10}  images/s", end="")
    print(f"{'share':>7} {'by CPU':>7}")
    results = []
    for name in options.recipes:
        results.append(measure(name, options.steps, options.rounds))
        row = results[-1]
        print(
            f"{name:12} {row.alone:16,.0f} {row.constant:16,.0f} {row.fed:10,.0f} {'':9}"
            f" {row.share:7.2f} {row.cpu_share:7.2f}",
            flush=True,
        )
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in results], indent=1))


if __name__ == "__main__":
    main()
