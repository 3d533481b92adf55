"""Large images in tiles: where these lie, how they are cut, and how their answers become one mask.

Of NumPy alone, so that both halves may import it: what is measured in training is blended as what is served.
Pixels stay as they are: a model that answers tiles was trained on windows of images at their own scale.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Size = tuple[int, int]
"""Width and height, in pixels."""


@dataclass(frozen=True, slots=True)
class Tiling:
    """Tiles of one size on an image: `columns` and `rows` are where they begin across and down.

    Neighbours share `overlap` pixels or more, and the last ones end where the image does; one that is smaller
    than a tile lies at the tile's upper left.
    """

    size: Size
    tile: Size
    overlap: int
    columns: tuple[int, ...]
    rows: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.columns) * len(self.rows)

    @property
    def corners(self) -> list[Size]:
        """The upper left corner of each tile, row by row."""
        return [(x, y) for y in self.rows for x in self.columns]


def tiled(size: Size, tile: Size, overlap: int) -> Tiling:
    """Return the fewest tiles that cover an image with that overlap, evenly spread."""
    columns, rows = (_starts(side, wide, overlap) for side, wide in zip(size, tile, strict=True))
    return Tiling(size, tile, overlap, columns, rows)


def _starts(length: int, tile: int, overlap: int) -> tuple[int, ...]:
    if length <= tile:
        return (0,)
    last = math.ceil((length - tile) / (tile - overlap))
    return tuple(number * (length - tile) // last for number in range(last + 1))


def cut(pixels: NDArray[np.generic], corner: Size, tile: Size) -> NDArray[np.generic]:
    """Cut a tile `[h, w, ...]` out of `[H, W, ...]`; beyond a smaller image, the image is mirrored."""
    (x, y), (wide, high) = corner, tile
    found = pixels[y : y + high, x : x + wide]
    below, beside = high - found.shape[0], wide - found.shape[1]
    if not below and not beside:
        return found
    return np.pad(found, ((0, below), (0, beside), *[(0, 0)] * (pixels.ndim - 2)), mode="symmetric")


class Blend:
    """One image's answers, tile by tile, as one: where tiles overlap, what is nearer to a middle counts more.

    The weight of a pixel in a tile grows from its edges over the overlap; the weights of all tiles at a pixel
    are 1 together, so that what all say alike is what comes out.
    """

    def __init__(self, tiling: Tiling, channels: int) -> None:
        self._tiling = tiling
        width, height = tiling.size
        self._sums = np.zeros((height, width, channels), np.float32)
        self._across = _weights(tiling.columns, tiling.tile[0], width, tiling.overlap)
        self._down = _weights(tiling.rows, tiling.tile[1], height, tiling.overlap)

    def add(self, corner: Size, answer: NDArray[np.float32]) -> None:
        """Add what was answered for the tile at a corner, `[h, w, K]`."""
        x, y = corner
        across, down = self._across[x], self._down[y]
        part = self._sums[y : y + len(down), x : x + len(across)]
        part += answer[: len(down), : len(across)] * (down[:, None, None] * across[None, :, None])

    def answer(self) -> NDArray[np.float32]:
        """Return the image's own answer, `[H, W, K]`, when all tiles have been added."""
        return self._sums


def mean(tiling: Tiling, values: Sequence[float]) -> float:
    """Return the mean of one number for each tile, by the part of the image that its answer counts for.

    Tiles that share much with others count less, as in a blend: each pixel of the image counts once.
    """
    (width, height), (wide, high) = tiling.size, tiling.tile
    across = [each.sum() for each in _weights(tiling.columns, wide, width, tiling.overlap).values()]
    down = [each.sum() for each in _weights(tiling.rows, high, height, tiling.overlap).values()]
    return float(np.average(values, weights=np.outer(down, across).ravel()))


def _weights(starts: tuple[int, ...], tile: int, length: int, overlap: int) -> dict[int, NDArray[np.float32]]:
    """Return for each start the weights of its pixels that lie on the image."""
    places = np.arange(min(tile, length))
    ramp = np.minimum(np.minimum(places + 1, len(places) - places), max(1, overlap)).astype(np.float64)
    total = np.zeros(length)
    for start in starts:
        total[start : start + len(ramp)] += ramp
    return {start: np.asarray(ramp / total[start : start + len(ramp)], np.float32) for start in starts}
