"""Which image is trained on, which chooses the checkpoint, and which is kept for the test."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from training.datasets.dataset import DatasetError
from training.datasets.own.listing import PARTS, Part

HELD_OUT = 0.15
"""The share of images for validation, and that for the test."""


def join(keys: Iterable[Sequence[str]]) -> list[int]:
    """Group rows that share any key, directly or through others; return each row's group: its first row."""
    first: dict[str, int] = {}
    parents: list[int] = []

    def root(row: int) -> int:
        while parents[row] != row:
            parents[row] = parents[parents[row]]
            row = parents[row]
        return row

    for row, names in enumerate(keys):
        parents.append(row)
        for name in names:
            one, other = root(first.setdefault(name, row)), root(row)
            parents[max(one, other)] = min(one, other)
    return [root(row) for row in range(len(parents))]


def divide(labels: Sequence[str], groups: Sequence[int], given: Sequence[Part | None]) -> list[Part]:
    """Give each row its part: the given one, or by chance, whole groups at a time, each class in its share.

    Where nothing is given, 70 % train, 15 % choose and 15 % test. What is given for training is divided
    further where validation or test is not given. DatasetError where a class would be missing in a part.
    """
    names = sorted(set(labels))
    classes = [names.index(label) for label in labels]
    free = [row for row, part in enumerate(given) if part in (None, "train")]
    missing = [part for part in PARTS[1:] if part not in given]
    numbers = sorted({groups[row] for row in free})
    # What each group has of each class: [groups, classes].
    table = np.zeros((len(numbers), len(names)))
    index = {number: place for place, number in enumerate(numbers)}
    for row in free:
        table[index[groups[row]], classes[row]] += 1
    _check(names, table, 1 + len(missing))
    chosen = _distribute(table, len(missing))
    found: list[Part] = ["train", *missing]
    free_parts = {number: found[place] for number, place in zip(numbers, chosen, strict=True)}
    return [
        part if part in ("validation", "test") else free_parts[group]
        for part, group in zip(given, groups, strict=True)
    ]


def _check(names: Sequence[str], table: NDArray[np.float64], least: int) -> None:
    """Raise DatasetError where a class has fewer groups than there are parts to fill."""
    counts = (table > 0).sum(axis=0)
    small = [f"{name or 'all'} ({count})" for name, count in zip(names, counts, strict=True) if count < least]
    if small or not names:
        raise DatasetError(
            f"Too few different images to train on: {', '.join(small) or 'none at all'}. At least {least} "
            f"per class, or as many groups of --group-by, are needed to divide them; twenty are better."
        )


def _distribute(table: NDArray[np.float64], held: int) -> NDArray[np.intp]:
    """Choose a part for each group, 0 for training, then `held` others; `table` as in `divide`.

    Large groups first, each goes where the squared distance from the shares that were aimed at grows least.
    """
    shares = np.asarray([1 - HELD_OUT * held, *[HELD_OUT] * held])[:, None]
    aims = np.maximum(shares * table.sum(axis=0), 1)
    filled = np.zeros_like(aims)
    shuffled = np.random.default_rng(0).permutation(len(table))
    chosen = np.zeros(len(table), np.intp)
    for group in shuffled[np.argsort(-table[shuffled].sum(axis=1), kind="stable")]:
        growth = ((filled + table[group] - aims) ** 2 - (filled - aims) ** 2) / aims
        chosen[group] = growth.sum(axis=1).argmin()
        filled[chosen[group]] += table[group]
    _fill_gaps(table, chosen, held)
    return chosen


def _fill_gaps(table: NDArray[np.float64], chosen: NDArray[np.intp], held: int) -> None:
    """Where a part lacks a class, move the smallest group there that leaves no other gap behind."""
    has = table > 0
    for label in np.argsort(has.sum(axis=0), kind="stable"):
        for part in range(1 + held):
            if (has[:, label] & (chosen == part)).any():
                continue
            movable = [
                group
                for group in np.flatnonzero(has[:, label])
                if has[chosen == chosen[group]][:, has[group]].sum(axis=0).min() > 1
            ]
            if not movable:
                raise DatasetError(
                    "The groups cannot be divided so that each part has all classes: too many classes hang "
                    "together in too few groups of --group-by."
                )
            chosen[min(movable, key=lambda group: table[group].sum())] = part
