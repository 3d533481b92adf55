"""What `inspect` tells of many objects: how many an image has, how large they are, how far they overlap."""

from collections.abc import Sequence

import numpy as np

from training.datasets.own.survey import Seen
from training.tasks.found import overlaps

Range = dict[str, float]

KINDS = {
    "per image": "objects per image",
    "side": "their size, as the side of a square in parts of the image's",
    "overlap": "overlap of the two of an image that overlap most",
}
"""What each figure is."""


def ranges(seen: Sequence[Seen]) -> dict[str, Range]:
    """Return the least, the middle and the largest of each of `KINDS`; nothing where no image has boxes."""
    boxes = [np.asarray([each.box for each in one.item.stated], np.float32).reshape(-1, 4) for one in seen]
    areas = [
        (some[:, 2:] - some[:, :2]).prod(axis=1) / (one.width * one.height)
        for one, some in zip(seen, boxes, strict=True)
    ]
    if not any(len(some) for some in boxes):
        return {}
    most = [float(np.triu(overlaps(some, some), 1).max()) for some in boxes if len(some) > 1]
    found: dict[str, Sequence[float]] = {
        "per image": [len(some) for some in boxes],
        "side": np.sqrt(np.concatenate(areas)).round(4).tolist(),
        "overlap": np.round(most, 4).tolist(),
    }
    return {name: range_of(values) for name, values in found.items() if values}


def range_of(values: Sequence[float]) -> Range:
    """Return the least, the middle and the largest; nothing of nothing."""
    if not values:
        return {}
    return {"min": min(values), "median": float(np.median(values)), "max": max(values)}


def told(values: Range) -> str:
    """Return a range in words."""
    return ", ".join(f"{key} {value:g}" for key, value in values.items()) or "unknown"
