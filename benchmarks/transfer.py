"""Whether transfer pays: a network trained on one data set, fine-tuned on a small part of another.

    python -m benchmarks.transfer --data-dir data

CIFAR-100 first, all of it; then twenty, fifty and two hundred images of each class of CIFAR-10, with these
weights and from scratch: same network, images, epochs and seeds. Each side tries the same rates, and the one
that was best on 500 validation images is measured on all of CIFAR-10's test images.
"""

import argparse
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from training import datasets
from training.datasets import SOURCES, Request, Samples, Source, Splits
from training.evaluation import evaluate
from training.fit import loop
from training.fit.runs import read_history
from training.schema import Recipe
from training.tasks import heads

FIRST, SECOND = "cifar-100", "cifar-10"
ARCHITECTURE = "lecture-cnn-a"
RATES = (0.001, 0.004)
VALIDATION = 50
"""Images of each class that choose the epoch and the rate: who has few for training has few for that, too."""


def few(source: Source, per_class: int, seed: int) -> Source:
    """Return the source with so many training images of each class, and few for validation."""

    def load(folder: Path, request: Request) -> Splits:
        splits = source.load(folder, request)
        chance = np.random.default_rng(seed)
        return replace(
            splits,
            train=_some(splits.train, per_class, chance),
            validation=_some(splits.validation, VALIDATION, chance),
        )

    return replace(source, load=load)


def _some(samples: Samples, per_class: int, chance: np.random.Generator) -> Samples:
    assert samples.labels is not None
    rows = [
        chance.permutation(np.flatnonzero(samples.labels == label))[:per_class]
        for label in np.unique(samples.labels)
    ]
    return samples.take(np.sort(np.concatenate(rows)))


def _recipe(dataset: str, training: dict[str, Any], **changes: Any) -> Recipe:
    fields = {
        "name": f"{dataset}-transfer",
        "description": "A comparison.",
        "task": "classification",
        "dataset": dataset,
        "architecture": ARCHITECTURE,
        "input": {"height": 32, "width": 32, "channels": 3},
        "augmentation": {"flip": True, "zoom": 0.1, "shift": 0.1},
        "training": {"precision": "mixed_bfloat16", "weight_decay": 0.05} | training,
    }
    return Recipe.model_validate(fields | changes)


def compare(per_class: int, seed: int, first: Path, options: argparse.Namespace) -> tuple[float, float]:
    """Return the test accuracies with the first run's weights and from scratch."""
    training = {"epochs": options.epochs, "batch_size": 20, "seed": seed}
    frozen = max(1, options.epochs // 4)
    table = {"weights": str(first), "frozen_epochs": frozen, "frozen_learning_rate": 0.003}
    whole = SOURCES[SECOND]
    datasets.SOURCES[SECOND] = few(whole, per_class, seed)
    try:
        found = [
            max(
                _figures(_recipe(SECOND, training | {"learning_rate": rate}, **changes), options.data_dir)
                for rate in RATES
            )
            for changes in ({"transfer": table}, {})
        ]
    finally:
        datasets.SOURCES[SECOND] = whole
    return found[0][1], found[1][1]


def _figures(recipe: Recipe, data_dir: Path) -> tuple[float, float]:
    """Train, and return the accuracy on validation and on the test."""
    with tempfile.TemporaryDirectory() as folder:
        run = loop.train(recipe, Path(folder) / "run", data_dir)
        best = max(row[heads.monitor(recipe)] for row in read_history(run.folder / "history.csv"))
        return best, evaluate.evaluate(run, data_dir).figures["accuracy"]


def main() -> None:
    """Train the first network once, then compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--per-class", type=int, nargs="+", default=[20, 50, 200])
    parser.add_argument("--first-epochs", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        training = {"epochs": options.first_epochs, "batch_size": 128, "learning_rate": 0.006}
        first = loop.train(_recipe(FIRST, training), Path(folder) / "first", options.data_dir)
        for per_class in options.per_class:
            pairs = [compare(per_class, seed, first.folder, options) for seed in range(options.seeds)]
            for name, values in zip(("transferred", "from scratch"), zip(*pairs, strict=True), strict=True):
                spread = statistics.stdev(values) if len(values) > 1 else 0.0
                print(
                    f"{per_class} per class, {name}: {statistics.mean(values):.4f} ± {spread:.4f}", flush=True
                )


if __name__ == "__main__":
    main()
