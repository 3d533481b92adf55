"""All objects of the images of one's own folder: from the boxes that label files state, or from masks that
number objects; and what the images are divided by.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.datasets.dataset import IGNORED, DatasetError, Request
from training.datasets.objects import Object, padded
from training.datasets.own.meaning import Meaning
from training.datasets.own.survey import Seen, Survey

FEWEST = 10
"""A label that fewer images show does not say which part an image is put into."""


def labels_of(seen: Sequence[Seen]) -> tuple[str, ...]:
    """Return the labels of the boxes that count; DatasetError where there is none."""
    found = sorted({box.label for one in seen for box in one.item.stated if not box.ignored})
    if not found:
        raise DatasetError("No image has an object: nothing could be learnt.")
    return tuple(found)


def stated(seen: Sequence[Seen], labels: Sequence[str], request: Request) -> NDArray[np.float32]:
    """Return the objects that label files state, `[N, M, 5]`."""
    return padded([((one.width, one.height), _boxes(one, labels)) for one in seen], request)


def _boxes(one: Seen, labels: Sequence[str]) -> list[Object]:
    scale = (one.width, one.height, one.width, one.height)
    found = []
    for each in one.item.stated:
        x_min, y_min, x_max, y_max = (side / whole for side, whole in zip(each.box, scale, strict=True))
        known = not each.ignored and each.label in labels
        found.append(((x_min, y_min, x_max, y_max), labels.index(each.label) if known else IGNORED))
    return found


def numbered(
    found: Survey, seen: Sequence[Seen], meaning: Meaning, request: Request
) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """Return the label and the boxes of the objects that masks number; DatasetError where they do not."""
    if not meaning.numbered:
        raise DatasetError(
            "The masks do not number objects, so that it is not known which of them touch: say "
            "--masks instances if they do, or --task segment."
        )
    boxed = [
        ((one.width, one.height), _around(meaning.objects(np.asarray(found.mask_values(one), np.uint16))))
        for one in seen
    ]
    return meaning.labels[1:], padded(boxed, request)


def _around(numbers: NDArray[np.uint16]) -> list[Object]:
    """Return the box of each number in a mask `[H, W]`, as fractions, with the label 0."""
    height, width = numbers.shape
    rows, columns = np.nonzero(numbers)
    which, place = np.unique(numbers[rows, columns], return_inverse=True)
    low = np.full((len(which), 2), max(height, width))
    high = np.zeros((len(which), 2), np.int64)
    for axis, values in enumerate((columns, rows)):
        np.minimum.at(low[:, axis], place, values)
        np.maximum.at(high[:, axis], place, values + 1)
    return [
        ((float(a) / width, float(b) / height, float(c) / width, float(d) / height), 0)
        for (a, b), (c, d) in zip(low, high, strict=True)
    ]


def strata(labels: Sequence[str]) -> list[str]:
    """Return what images are divided by: their labels, but for rare ones, which go with the commonest."""
    counts = Counter(labels)
    commonest = max(counts, key=lambda label: counts[label], default="")
    return [label if counts[label] >= FEWEST else commonest for label in labels]
