"""All objects of images, of which each has another number, as one array: see `Samples.objects`."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from service.images.fitting import Box, Size
from training.datasets import framing
from training.datasets.dataset import IGNORED, NOTHING
from training.datasets.framing import Frame

LEAST_SIGHT = 0.25
"""Of what the resize rule leaves less than this part of in the frame, nobody could say what it is."""

Object = tuple[Box, int]
"""A box in fractions of its upright image, and the index of its label, or `IGNORED`."""


def padded(images: Sequence[tuple[Size, Sequence[Object]]], frame: Frame) -> NDArray[np.float32]:
    """Return the objects of images of these upright sizes in the frame, float32 `[N, M, 5]`."""
    framed = [list(_framed(size, some, frame)) for size, some in images]
    most = max((len(some) for some in framed), default=0)
    found = np.zeros((len(framed), max(1, most), 5), np.float32)
    found[..., 4] = NOTHING
    for row, some in enumerate(framed):
        found[row, : len(some)] = np.asarray(some, np.float32).reshape(-1, 5)
    return found


def _framed(size: Size, some: Iterable[Object], frame: Frame) -> Iterable[tuple[float, ...]]:
    for box, label in some:
        whole = framing.box_into(box, size, frame)
        cut = whole.clip(0, 1)
        seen = _area(cut) / max(_area(whole), 1e-9)
        if seen > 0:
            yield (*cut.tolist(), label if seen >= LEAST_SIGHT else IGNORED)


def _area(box: NDArray[np.float32]) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))
