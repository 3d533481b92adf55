"""How tight boxes stay that augmentation carries: against the box of each carried mask itself.

    python -m benchmarks.carried_boxes --data-dir data

The pets' trimaps give an object and its true box before and after the same random change. An object is taken
for the shape in its box of which a linear map makes the half width ((a w)^p + (b h)^p)^(1/p): at p = 1 the
box itself with its corners, at p = 2 the ellipse in it. Printed is the mean of log(carried / true) of width
and height, and of the centre's error as a part of the true side, for pets that lie within their picture and
of which three quarters at the least go on doing so.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from training.datasets import SOURCES, Request
from training.inputs import randaugment
from training.inputs.augmentation import carry_boxes, random_matrices, transform
from training.inputs.chance import Chance
from training.schema import Augmentation

Boxes = NDArray[np.float64]

CHANGES: dict[str, Augmentation] = {
    "rotation up to 12 degrees": Augmentation(rotation_degrees=12),
    "rotation up to 45 degrees": Augmentation(rotation_degrees=45),
    "as in pet-heads": Augmentation(flip=True, rotation_degrees=12, zoom=0.3, aspect=0.2, shift=0.15),
    "RandAugment, 2 changes of 0.3": Augmentation(randaugment=2, magnitude=0.3),
}
POWERS = (1.0, 1.5, 1.75, 2.0, 2.5)


def tight(masks: NDArray[Any]) -> Boxes:
    """Return the boxes `[N, 4]` around what is not 0 in `[N, H, W]`, as fractions; NaN where all is 0."""
    height, width = masks.shape[1:]
    boxes = np.full((len(masks), 4), np.nan)
    for row, mask in enumerate(masks):
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if len(rows):
            edges = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
            boxes[row] = np.asarray(edges) / (width, height, width, height)
    return boxes


def measure(masks: NDArray[Any], ranges: Augmentation, powers: tuple[float, ...]) -> dict[float, Boxes]:
    """Return for each power the errors `[M, 4]`: of log width, log height, and the centre's x and y.

    Of the masks `[N, H, W]` those count of which the change leaves three quarters in the picture.
    """
    before = tight(masks)
    chance = Chance([0, 0])
    matrices = random_matrices(len(masks), ranges, chance)
    if ranges.randaugment:
        picks = randaugment.pick(len(masks), ranges.randaugment, ranges.magnitude, chance)
        matrices = randaugment.geometry(picks) @ matrices
    images = tf.zeros([len(masks), *masks.shape[1:], 1])
    moved = transform({"image": images, "mask": tf.constant(masks)}, matrices)["mask"].numpy()
    after = tight(moved)
    linear = np.abs(np.linalg.det(matrices.numpy()[:, :2, :2]))
    kept = moved.sum(axis=(1, 2)) > 0.75 * linear * masks.sum(axis=(1, 2))
    found = {}
    for power in powers:
        carried = carry_boxes(tf.constant(before, tf.float32), matrices, power).numpy().astype(float)
        found[power] = errors(carried[kept], after[kept])
    return found


def errors(carried: Boxes, true: Boxes) -> Boxes:
    """Return log ratios of the sides and the centres' errors in true sides, `[N, 4]`."""
    sides = [boxes[:, 2:] - boxes[:, :2] for boxes in (carried, true)]
    centres = [(boxes[:, 2:] + boxes[:, :2]) / 2 for boxes in (carried, true)]
    return np.hstack([np.log(sides[0] / sides[1]), (centres[0] - centres[1]) / sides[1]])


def main() -> None:
    """Print a table for each kind of change."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    options = parser.parse_args()
    source = SOURCES["oxford-iiit-pet"]
    splits = source.load(options.data_dir / source.name, Request("segmentation", 128, 128, 3))
    assert splits.train.masks is not None
    masks = (splits.train.masks > 0).astype(np.uint8)
    box = tight(masks)
    margin = 0.02
    inner = (box[:, :2] > margin).all(axis=1) & (box[:, 2:] < 1 - margin).all(axis=1)
    for name, ranges in CHANGES.items():
        print(f"\n{inner.sum()} pets: {name}")
        for power, error in measure(masks[inner], ranges, POWERS).items():
            text = ", ".join(f"{value:+.3f}" for value in error.mean(axis=0))
            size = np.abs(error[:, :2]).mean()
            print(f"  p = {power:g}: log width, log height, x, y {text}; mean absolute {size:.3f}")


if __name__ == "__main__":
    main()
