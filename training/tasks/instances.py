"""How many of the true objects are found: the score of the Data Science Bowl 2018.

Caicedo et al., "Nucleus segmentation across imaging experiments" (Nature Methods 2019). What tells objects
apart is the service's own `service/tasks/objects.py`, so that what is measured is what is answered.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

THRESHOLDS = np.arange(0.5, 1.0, 0.05)
"""An object counts as found where its intersection over union is above: 0.5, 0.55, ... 0.95."""


@dataclass(frozen=True)
class Tally:
    """Of one image: how many objects there are, are answered, and are found at each threshold `[10]`."""

    true: int
    found: int
    hits: NDArray[np.int64]

    def as_row(self) -> NDArray[np.int64]:
        """Return the twelve numbers in one row, to be summed over images."""
        return np.concatenate([[self.true, self.found], self.hits])


def tally(found: NDArray[Any], true: NDArray[Any]) -> Tally:
    """Compare two maps of ids `[H, W]`; above half, at most one object overlaps another."""
    _, found_ids = np.unique(np.append(0, found.ravel()), return_inverse=True)
    _, true_ids = np.unique(np.append(0, true.ravel()), return_inverse=True)
    shape = true_ids.max() + 1, found_ids.max() + 1
    shared = np.bincount(true_ids[1:] * shape[1] + found_ids[1:], minlength=shape[0] * shape[1])
    shared = shared.reshape(shape)
    union = shared.sum(axis=1, keepdims=True) + shared.sum(axis=0, keepdims=True) - shared
    overlaps = (shared / np.maximum(union, 1))[1:, 1:]
    hits = (overlaps[None] > THRESHOLDS[:, None, None]).sum(axis=(1, 2))
    return Tally(shape[0] - 1, shape[1] - 1, hits)


def f1(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return F1 at each threshold, `[..., 10]` in 0..1, from sums or means of tallies `[..., 12]`."""
    total = rows[..., :1] + rows[..., 1:2]
    return np.asarray(2 * rows[..., 2:] / np.maximum(total, 1e-9))
