"""Parts of a model's frame, covered one after the other (occlusion): Zeiler, Fergus, "Visualizing and
Understanding Convolutional Networks", ECCV 2014, section 4.2.

The image lies in a grid of cells. A patch is two by two of them, and moves on by one: what is told of a cell
is the mean of the patches that reach over it. That finds also what lies on the border of two cells.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.images.fitting import Rect

PATCH = 2
"""Cells of a patch, in each direction."""


@dataclass(frozen=True)
class Covering:
    """A grid of at most `cells` rows and columns over a place in the frame, each of a pixel at least."""

    place: Rect
    cells: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the grid."""
        wide, high = self.place.size
        return min(self.cells, high), min(self.cells, wide)

    @property
    def positions(self) -> tuple[int, int]:
        """Rows and columns of the patches."""
        rows, columns = self.shape
        return max(1, rows - PATCH + 1), max(1, columns - PATCH + 1)

    def covered(self, tensor: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
        """Give copies of the tensor `[height, width, channels]`, each with a patch in the mean colour of the
        place, row by row.
        """
        mean = tensor[self.place.pixels].mean((0, 1)).round().astype(np.uint8)
        down, across = self._edges()
        rows, columns = self.positions
        for row in range(rows):
            for column in range(columns):
                copy = tensor.copy()
                copy[_reach(down, row), _reach(across, column)] = mean
                yield copy

    def spread(self, found: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return of each cell the mean of the patches over it; `found` has one number for each, in order."""
        sums, counts = np.zeros(self.shape, np.float32), np.zeros(self.shape, np.float32)
        for (row, column), each in np.ndenumerate(found.reshape(self.positions)):
            under = (slice(row, row + PATCH), slice(column, column + PATCH))
            sums[under] += each
            counts[under] += 1
        return sums / counts

    def _edges(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return where rows and columns begin, and the last of each ends, in pixels of the frame."""
        rows, columns = self.shape
        down = np.linspace(self.place.y_min, self.place.y_max, rows + 1).round().astype(np.intp)
        return down, np.linspace(self.place.x_min, self.place.x_max, columns + 1).round().astype(np.intp)


def _reach(edges: NDArray[np.intp], first: int) -> slice:
    return slice(edges[first], edges[min(first + PATCH, len(edges) - 1)])
