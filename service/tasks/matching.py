"""Whether two rows of detection say the same: their objects are compared, not their places in the lists.

Scores that differ in the last digit change the order, and which of the least probable ones are still listed.
Training compares a SavedModel with its network by it, the service an engine with training's golden rows.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

SAME = 0.5
"""Two boxes of one label are the same object's from this overlap (intersection over union) on."""

Rows = Mapping[str, NDArray[np.float32]]
"""`boxes` `[K, 4]`, `scores` `[K]` descending, `labels` `[K]`: one image's outputs."""


def overlaps(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float64]:
    """Intersection over union of each of boxes `[A, 4]` with each of boxes `[B, 4]`: `[A, B]` in 0..1."""
    a, b = first[:, None].astype(np.float64), second[None].astype(np.float64)
    shared = np.maximum(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0)
    areas = [np.maximum(boxes[..., 2:] - boxes[..., :2], 0).prod(axis=-1) for boxes in (a, b)]
    both = shared.prod(axis=-1)
    union = areas[0] + areas[1] - both
    return np.asarray(np.divide(both, union, out=np.zeros_like(both), where=union > 0))


def pairs(expected: Rows, found: Rows, least: float = SAME) -> list[tuple[int, int]]:
    """Pair objects of one label that overlap by `least`, each with one other: the surest one chooses first,
    the one that it overlaps most.
    """
    table = overlaps(expected["boxes"], found["boxes"])
    table[expected["labels"][:, None] != found["labels"][None]] = 0
    chosen = []
    for row in np.argsort(-expected["scores"], kind="stable").tolist():
        best = int(table[row].argmax()) if table.shape[1] else 0
        if table.shape[1] and table[row, best] >= least:
            chosen.append((row, best))
            table[:, best] = 0
    return chosen


def differences(expected: Rows, found: Rows, least: float) -> dict[str, float]:
    """Return the largest difference of a coordinate, as `boxes`, and of a score, as `scores`.

    Objects count whose score is `least` or more in one of the two rows. One that the other row lacks differs
    by as much as its score would have to sink for it not to be counted or listed.
    """
    known = pairs(expected, found)
    worst = {"boxes": 0.0, "scores": 0.0}
    for one, other in known:
        if max(expected["scores"][one], found["scores"][other]) < least:
            continue
        moved = np.abs(expected["boxes"][one] - found["boxes"][other]).max()
        worst["boxes"] = max(worst["boxes"], float(moved))
        gap = abs(float(expected["scores"][one]) - float(found["scores"][other]))
        worst["scores"] = max(worst["scores"], gap)
    for own, rows, others in ((0, expected, found), (1, found, expected)):
        alone = np.ones(len(rows["scores"]), bool)
        alone[[pair[own] for pair in known]] = False
        # A list that is full has no place for what is less probable than its last.
        floor = max(least, float(others["scores"].min(initial=1.0)))
        worst["scores"] = max(worst["scores"], float((rows["scores"][alone] - floor).max(initial=0.0)))
    return worst
