"""Which image is trained on, which chooses the checkpoint, and which is kept for the test."""

from collections.abc import Iterable, Sequence

import numpy as np

from training.datasets.dataset import DatasetError, hold_out_per_class
from training.datasets.listing import PARTS, Part

SHARES: dict[Part, float] = {"train": 0.70, "validation": 0.15, "test": 0.15}
LEAST = 3
"""Different images that a class needs: one for each part."""


def join(keys: Iterable[Sequence[str]]) -> list[int]:
    """Group rows that share any key, directly or through others; return each row's group: its first row."""
    first: dict[str, int] = {}
    parents: list[int] = []

    def root(row: int) -> int:
        while parents[row] != row:
            row = parents[row]
        return row

    for row, names in enumerate(keys):
        parents.append(row)
        for name in names:
            one, other = root(first.setdefault(name, row)), root(row)
            parents[max(one, other)] = min(one, other)
    return [root(row) for row in range(len(parents))]


def divide(labels: Sequence[str], groups: Sequence[int], given: Sequence[Part | None]) -> list[Part]:
    """Give each row its part: the given one, or by chance, class by class, whole groups at a time.

    Where nothing is given, 70 % train, 15 % choose and 15 % test. What is given for training is split further
    where validation or test is not given. DatasetError where a class is too small to be in every part.
    """
    parts: list[Part] = [part or "train" for part in given]
    missing: list[Part] = [part for part in PARTS[:0:-1] if part not in given]
    share = 1.0
    for seed, part in enumerate(missing):
        rows = [row for row, own in enumerate(parts) if own == "train"]
        _need(labels, groups, rows, part)
        # A group that has several classes stands with its first.
        names = sorted({labels[groups[row]] for row in rows})
        classes = np.asarray([names.index(labels[groups[row]]) for row in rows], np.int32)
        _, held = hold_out_per_class(classes, SHARES[part] / share, seed, [groups[row] for row in rows])
        for row in held:
            parts[rows[int(row)]] = part
        share -= SHARES[part]
    if "train" not in parts:
        raise DatasetError("There is nothing to train on: the folder has no train/ part.")
    return parts


def _need(labels: Sequence[str], groups: Sequence[int], rows: Sequence[int], part: Part) -> None:
    """Raise DatasetError where a class would be left without training images."""
    least = LEAST if part == "test" else LEAST - 1
    different: dict[str, set[int]] = {labels[row]: set() for row in rows}
    for row in rows:
        different[labels[groups[row]]].add(groups[row])
    small = {label: len(found) for label, found in different.items() if len(found) < least}
    if small:
        counts = ", ".join(f"{label or 'all'} ({count})" for label, count in sorted(small.items()))
        raise DatasetError(
            f"Too few different images of {counts}: at least {least} per class, or groups of --group-by, so "
            f"that each part has some. Twenty or more are better."
        )
