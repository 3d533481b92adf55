"""Single objects out of a mask: the one separation that training measures and the service answers.

Of NumPy and OpenCV alone, so that both halves may import it. Objects that touch are separated by their shape:
the distance of each pixel from the background has one hill per object, and the watershed between the hills is
the border (flooded step by step: Vincent and Soille, "Watersheds in digital spaces", 1991). Where a network
tells the borders itself (Caicedo et al., "Evaluation of deep learning strategies for nucleus segmentation in
fluorescence images", Cytometry A, 2019), the flood begins at what lies within them.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

SADDLE = 0.85
"""Two hills are two objects where the way between them falls below this part of the lower one's height."""

STEP = 0.25
"""The height of one step of the flood, in pixels of distance."""

BORDER = 0.5
"""The probability from which on a pixel is a border, where a network tells it."""

SPECK = 4
"""Pixels of the smallest seed: a hole in a border is no object."""

LEVELS = 16
"""Of the flood from what is hardly a border to what surely is one."""

_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
"""Diagonal neighbours do not touch: small objects often meet at a corner only."""


def separate(mask: NDArray[Any], border: NDArray[np.float32] | None = None) -> NDArray[np.int32]:
    """Number the objects of a mask `[H, W]` (0 is background): ids 1, 2, ... `[H, W]`, 0 outside the mask.

    Every pixel of the mask belongs to an object. `border` `[H, W]` is the probability that a pixel lies
    between two objects, in 0..1: without it, and for parts of the mask that are all border, shape decides.
    """
    if border is not None:
        return _separate_within(np.asarray(mask > 0), border)
    inside = np.asarray(mask > 0, np.uint8)
    # Without any background every distance would be infinite.
    distance = np.minimum(cv2.distanceTransform(inside, cv2.DIST_L2, 5), np.float32(sum(mask.shape)))
    distance = cv2.GaussianBlur(distance, (0, 0), 0.7) * inside
    # Filled up to its saddle a lower hill is a shoulder of the higher one; what still stands out counts.
    filled = _rebuild(distance * np.float32(SADDLE), distance)
    tops = (filled - _rebuild(filled - np.float32(1e-3), filled) > 5e-4) & (inside > 0)
    ids = np.asarray(cv2.connectedComponents(tops.astype(np.uint8), connectivity=4)[1], np.float32)
    # OpenCV's own watershed goes by the difference of neighbours, and so floods flat saddles before slopes.
    steps = np.ceil(distance / STEP)
    for height in np.unique(steps)[::-1]:
        ids = _fill(ids, (inside > 0) & (steps >= height))
    return ids.astype(np.int32)


def _separate_within(inside: NDArray[np.bool_], border: NDArray[np.float32]) -> NDArray[np.int32]:
    """Number what lies within the borders, and let it grow over them, the surest borders last.

    What lies within is separated by its shape, for a border may have gaps.
    """
    within = separate(inside & (border < BORDER))
    areas = np.bincount(within.ravel())
    areas[0] = 0
    numbers = np.cumsum(areas >= SPECK) * (areas >= SPECK)
    ids = numbers[within].astype(np.float32)
    steps = np.ceil(border * LEVELS)
    for height in np.unique(steps[inside & (ids == 0)]):
        ids = _fill(ids, inside & (steps <= height))
    numbered = ids.astype(np.int32)
    left = inside & (numbered == 0)
    if left.any():
        others = separate(left)
        numbered[left] = others[left] + numbered.max()
    return numbered


def _rebuild(marker: NDArray[np.float32], surface: NDArray[np.float32]) -> NDArray[np.float32]:
    """Grow the marker below the surface until nothing changes: reconstruction (Vincent, 1993)."""
    while True:
        grown: NDArray[np.float32] = np.minimum(cv2.dilate(marker, _CROSS), surface)
        if np.array_equal(grown, marker):
            return grown
        marker = grown


def _fill(ids: NDArray[np.float32], region: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Let the objects grow into what is free of the region, all at the same speed."""
    while True:
        free = region & (ids == 0)
        if not free.any():
            return ids
        grown: NDArray[np.float32] = np.where(free, cv2.dilate(ids, _CROSS), ids)
        if np.array_equal(grown, ids):
            return ids
        ids = grown
