"""Losses on real data: boxes by GIoU, CIoU and the lecture's MSE, masks with and without Dice.

    python -m benchmarks.losses --data-dir data              # small budgets, for a look
    python -m benchmarks.losses --data-dir data --epochs 30  # what a figure should be quoted from

Each trains the same network on the same images for the same epochs, three seeds, and is measured on the test
split by the same figure.
"""

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

from training.evaluation import evaluate
from training.fit import loop
from training.recipes import registry
from training.schema import Recipe

TRIALS: dict[str, tuple[str, dict[str, dict[str, Any]]]] = {
    "boxes": (
        "pet-heads",
        {
            "giou": {"box_loss": "giou", "box_weight": 2.0},
            "ciou": {"box_loss": "ciou", "box_weight": 2.0},
            # The lecture's weights, 0.8 and 0.2: the squares are small, so this is also tried at 20.
            "mse, as in the lecture": {"box_loss": "mse", "box_weight": 0.25},
            "mse, weight 20": {"box_loss": "mse", "box_weight": 20.0},
        },
    ),
    "masks": (
        "nuclei",
        {
            "dice+cross-entropy": {"mask_loss": "dice+cross-entropy"},
            "cross-entropy": {"mask_loss": "cross-entropy"},
        },
    ),
}
"""What is compared, on which shipped recipe, and the changes to its training table."""


def trial(name: str, changes: dict[str, Any], size: int) -> Recipe:
    """Return the shipped recipe with these changes, from random weights, at that size of image."""
    recipe = registry.load(name)
    return Recipe.model_validate(
        recipe.model_dump()
        | {
            "start_from": "",
            "input": recipe.input.model_dump() | {"height": size, "width": size},
            "training": recipe.training.model_dump() | changes,
        }
    )


def score(recipe: Recipe, data_dir: Path) -> float:
    """Train and return the headline figure on the test split."""
    with tempfile.TemporaryDirectory() as folder:
        run = loop.train(recipe, Path(folder) / "run", data_dir)
        result = evaluate.evaluate(run, data_dir)
    return result.figures[result.headline]


def main() -> None:
    """Run all trials, the losses of one comparison by turns, and print mean and spread."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--only", choices=[*TRIALS])
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    for kind in [options.only] if options.only else TRIALS:
        name, variants = TRIALS[kind]
        found: dict[str, list[float]] = {variant: [] for variant in variants}
        for seed in range(options.seeds):
            for variant, changes in variants.items():
                shared = {"epochs": options.epochs, "seed": seed}
                found[variant].append(score(trial(name, changes | shared, options.size), options.data_dir))
                print(f"{kind}, {variant}, seed {seed}: {found[variant][-1]:.4f}", flush=True)
        for variant, values in found.items():
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            print(f"{kind}: {variant}: {statistics.mean(values):.4f} ± {spread:.4f}")


if __name__ == "__main__":
    main()
