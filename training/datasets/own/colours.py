"""Masks with a colour for each class: the colours become numbers, and the numbers classes."""

from pathlib import Path
from threading import Lock

import cv2
import numpy as np
from numpy.typing import NDArray

from training.datasets.dataset import DatasetError
from training.datasets.own.legend import Colour, Legend
from training.datasets.reading import LOSSY

MOST = 128
"""Classes that can be served, and so colours that can mean something."""
_BLENDS = 3
"""So many colours that only lie between two others make an edge that was smoothed."""


class Colours:
    """Numbers colours as they are met: grey ones by their grey, 0 to 255, the others from 256 on.

    One serves all masks of a folder, and all threads that read them.
    """

    def __init__(self, legend: Legend | None) -> None:
        """With a legend, no other colours than its own may be in a mask."""
        self.legend = legend if legend and legend.colours else None
        self._lock = Lock()
        self._numbers: dict[int, int] = {value * 0x010101: value for value in range(256)}
        self._colours: list[int] = list(self._numbers)

    def number(self, path: Path, pixels: NDArray[np.uint8], kind: str) -> NDArray[np.int32]:
        """Turn RGB `[h, w, 3]` into numbers int32 `[h, w]`.

        DatasetError where the colours are not those that were painted: a JPEG's, those of smoothed edges, or
        of no class in the legend.
        """
        if kind in LOSSY:
            raise DatasetError(
                f"{path} is a {kind}, which has changed its colours: they tell nothing. Save masks as PNG."
            )
        packed = (pixels.astype(np.int32) << np.asarray([16, 8, 0])).sum(axis=2, dtype=np.int32)
        found, inverse = np.unique(packed, return_inverse=True)
        self._check(path, packed, found)
        with self._lock:
            numbers = np.asarray([self._of(int(one)) for one in found], np.int32)
        return numbers[inverse].reshape(packed.shape)

    def _of(self, colour: int) -> int:
        if colour not in self._numbers:
            self._numbers[colour] = len(self._colours)
            self._colours.append(colour)
        return self._numbers[colour]

    def _check(self, path: Path, packed: NDArray[np.int32], found: NDArray[np.int32]) -> None:
        if self.legend:
            known = {_pack(colour) for colour in self.legend.colours}
            strange = [int(one) for one in found if int(one) not in known]
            if strange:
                raise DatasetError(
                    f"{path} has {len(strange)} colours that {self.legend.path.name} does not name, such "
                    f"as {shown(strange[0])} in {np.count_nonzero(packed == strange[0])} pixels: name them "
                    f"there, or save the mask without smoothing."
                )
            return
        if len(found) > MOST or _blends(packed, found) >= _BLENDS:
            raise DatasetError(
                f"{path} has {len(found)} colours, which lie between one another as where edges are smoothed"
                f": a mask has one colour per class. Save it without smoothing."
            )

    def classes(self, present: set[int]) -> tuple[tuple[str, ...], dict[int, int]]:
        """Return the names of the classes, and the class of each number that is present.

        By the legend in its order; else by their colours, black first, which have #rrggbb as their names.
        """
        if self.legend:
            # Two colours may mean the same.
            names = list(dict.fromkeys(self.legend.colours.values()))
            found = {
                self._of(_pack(colour)): names.index(name) for colour, name in self.legend.colours.items()
            }
            return tuple(names), found
        ordered = sorted(present, key=lambda number: self._colours[number])
        hexes = tuple(shown(self._colours[number]) for number in ordered)
        return hexes, {number: place for place, number in enumerate(ordered)}


def _pack(colour: Colour) -> int:
    return colour[0] << 16 | colour[1] << 8 | colour[2]


def shown(colour: int) -> str:
    """Return a colour as #rrggbb."""
    return f"#{colour:06x}"


def _blends(packed: NDArray[np.int32], found: NDArray[np.int32]) -> int:
    """Count the colours that are nowhere solid, and lie on the line between two that are."""
    solid: list[NDArray[np.float64]] = []
    thin: list[NDArray[np.float64]] = []
    kernel = np.ones((3, 3), np.uint8)
    for one in found:
        inside = cv2.erode((packed == one).astype(np.uint8), kernel, borderValue=0)
        (solid if inside.any() else thin).append(_unpack(int(one)))
    return sum(
        any(_between(one, left, right) for place, left in enumerate(solid) for right in solid[:place])
        for one in thin
    )


def _unpack(colour: int) -> NDArray[np.float64]:
    return np.asarray([colour >> 16, colour >> 8 & 255, colour & 255], np.float64)


def _between(one: NDArray[np.float64], left: NDArray[np.float64], right: NDArray[np.float64]) -> bool:
    way = right - left
    place = np.clip(np.dot(one - left, way) / np.dot(way, way), 0, 1)
    return bool(np.abs(left + place * way - one).max() <= 2)
