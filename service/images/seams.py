"""Boxes found in the tiles of a large image -> boxes of the image: what several tiles see is one object.

Of NumPy alone, so that both halves may import it: what is measured in training is merged as what is served.
A box is *cut* where it comes to a border of its tile that is not the image's own. Then, in this order:

1. A box that is cut, but lies in another column (or row) of tiles uncut, is left to the tile there, which
   sees all of it. So an object no larger than the overlap is answered by tiles that see it whole.
2. What is cut on both sides of a seam is one object, larger than the overlap: the boxes are joined, if they
   are of one label and agree along the seam. The score is that of the best part.
3. Of boxes from different tiles, of one label and over each other by half (intersection over union; over the
   smaller one where a box was cut), the best stays, uncut ones before others. Boxes of one tile are never
   merged: there the model has said itself that they are two.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from service.images.tiling import Size, Tiling

MOST = 10_000
"""Boxes of all tiles that are merged, the best: no image takes longer than these."""

MARGIN = 1 / 64
"""How near to a border a box is cut, as a part of the tile's side: boxes are not exact to the pixel."""

HALF = 0.5

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]
Places = NDArray[np.intp]


class Merge:
    """One image's boxes, tile by tile."""

    def __init__(self, tiling: Tiling) -> None:
        self._tiling = tiling
        self._column = {start: number for number, start in enumerate(tiling.columns)}
        self._row = {start: number for number, start in enumerate(tiling.rows)}
        self._boxes: list[Numbers] = []
        # Score, label, column and row of each.
        self._facts: list[Numbers] = []

    def add(
        self,
        corner: Size,
        boxes: NDArray[np.floating],
        scores: NDArray[np.floating],
        labels: NDArray[np.generic],
    ) -> None:
        """Add what was found in the tile at a corner, of what counts alone: nothing is joined with the rest.

        Boxes `[n, 4]` (x_min, y_min, x_max, y_max) in fractions of the tile, scores `[n]` and labels `[n]`.
        """
        image, tile = (np.asarray(size * 2, np.float64) for size in (self._tiling.size, self._tiling.tile))
        placed = np.asarray(boxes, np.float64) * tile + np.asarray(corner * 2, np.float64)
        # Beyond an image smaller than the tile lies its mirror image.
        within = (placed[:, :2] + placed[:, 2:] < image[:2] * 2).all(axis=1)
        self._boxes.append(np.clip(placed[within], 0, image))
        facts = np.empty((int(within.sum()), 4))
        facts[:, 0], facts[:, 1] = scores[within], labels[within]
        facts[:, 2:] = self._column[corner[0]], self._row[corner[1]]
        self._facts.append(facts)

    def answer(self) -> tuple[Numbers, Numbers, Places]:
        """Return the boxes `[n, 4]` in fractions of the image, scores and labels `[n]`, the best first."""
        boxes = np.concatenate([np.zeros((0, 4)), *self._boxes])
        facts = np.concatenate([np.zeros((0, 4)), *self._facts])
        best = np.argsort(-facts[:, 0], kind="stable")[:MOST]
        found = _Found(self._tiling, boxes[best], facts[best])
        found.leave()
        found.join()
        found.choose()
        order = np.argsort(-found.scores, kind="stable")
        image = np.asarray(self._tiling.size * 2, np.float64)
        return found.boxes[order] / image, found.scores[order], found.labels[order]


class _Found:
    """Boxes in pixels of the image with what is known of each; each rule replaces them by fewer."""

    def __init__(self, plan: Tiling, boxes: Numbers, facts: Numbers) -> None:
        self.boxes, self.scores = boxes, facts[:, 0]
        self.labels, self._columns, self._rows = (facts[:, number].astype(np.intp) for number in (1, 2, 3))
        self._tiles = self._columns * len(plan.rows) + self._rows
        across = _Axis(plan.columns, plan.tile[0], plan.size[0])
        down = _Axis(plan.rows, plan.tile[1], plan.size[1])
        self._sides = (across.cuts(boxes[:, ::2], self._columns), down.cuts(boxes[:, 1::2], self._rows))
        self._elsewhere = across.uncut(boxes[:, ::2]), down.uncut(boxes[:, 1::2])
        self._gaps = 2 * across.margin, 2 * down.margin
        self._partial = np.logical_or.reduce([*self._sides[0], *self._sides[1]])
        self._joined = np.zeros(len(boxes), np.bool_)

    def leave(self) -> None:
        """Leave what is cut to the tiles that see all of it: rule 1."""
        left = np.zeros(len(self.boxes), np.bool_)
        for (first, last), elsewhere in zip(self._sides, self._elsewhere, strict=True):
            left |= (first | last) & elsewhere
        self._keep(~left)

    def join(self) -> None:
        """Join what is cut on both sides of a seam: rule 2."""
        group = np.arange(len(self.boxes))
        for one, others in self._continued():
            together = np.unique(group[np.append(others, one)])
            group[np.isin(group, together)] = together[0]
        roots, group, sizes = np.unique(group, return_inverse=True, return_counts=True)
        if len(roots) == len(group):
            return
        lows, highs = self.boxes[roots, :2], self.boxes[roots, 2:]
        scores = self.scores[roots]
        np.minimum.at(lows, group, self.boxes[:, :2])
        np.maximum.at(highs, group, self.boxes[:, 2:])
        np.maximum.at(scores, group, self.scores)
        self._keep(roots)
        self.boxes, self.scores = np.concatenate([lows, highs], axis=1), scores
        self._joined = sizes > 1
        # They are of no tile alone, so that what is left over of them in any is found.
        self._tiles = np.where(self._joined, -1 - np.arange(len(roots)), self._tiles)

    def _continued(self) -> Iterator[tuple[int, Places]]:
        """Give each box that ends at a seam, with those that begin at that seam and go on from it."""
        for axis, places in enumerate((self._columns, self._rows)):
            low, high, gap = self.boxes[:, axis], self.boxes[:, axis + 2], self._gaps[axis]
            firsts = np.flatnonzero(self._sides[axis][0])
            for one in np.flatnonzero(self._sides[axis][1]):
                meets = (
                    (places[firsts] > places[one])
                    & (self.labels[firsts] == self.labels[one])
                    & (low[firsts] <= high[one] + gap)
                )
                others = firsts[meets]
                agree = _shared(self.boxes[others], self.boxes[one], 1 - axis)
                if (agree >= HALF).any():
                    yield int(one), others[agree >= HALF]

    def choose(self) -> None:
        """Keep the best of what several tiles have found: rule 3."""
        cut = self._partial & ~self._joined
        order = np.lexsort((-self.scores, cut))
        alive = np.ones(len(order), np.bool_)
        lefts = np.argsort(self.boxes[:, 0], kind="stable")
        low = self.boxes[lefts, 0]
        widest = float((self.boxes[:, 2] - self.boxes[:, 0]).max(initial=0))
        for one in order:
            if not alive[one]:
                continue
            start = np.searchsorted(low, self.boxes[one, 0] - widest)
            end = np.searchsorted(low, self.boxes[one, 2], side="right")
            others = lefts[start:end]
            others = others[alive[others] & (self._tiles[others] != self._tiles[one])]
            others = others[self.labels[others] == self.labels[one]]
            if len(others):
                alive[others[self._same(int(one), others)]] = False
        self._keep(alive)

    def _same(self, one: int, others: Places) -> Flags:
        """Tell which of the others show the same object."""
        first, second = self.boxes[one], self.boxes[others]
        sides = np.minimum(first[2:], second[:, 2:]) - np.maximum(first[:2], second[:, :2])
        shared = np.clip(sides, 0, None).prod(axis=1)
        own, theirs = np.prod(first[2:] - first[:2]), (second[:, 2:] - second[:, :2]).prod(axis=1)
        parts = self._partial | self._joined
        whole = np.where(parts[others] | parts[one], np.minimum(own, theirs), own + theirs - shared)
        # Also of boxes without an area: they are the same where they are equal.
        return np.asarray((shared >= HALF * whole) & (sides >= 0).all(axis=1))

    def _keep(self, chosen: Flags | Places) -> None:
        self.boxes, self.scores, self.labels = self.boxes[chosen], self.scores[chosen], self.labels[chosen]
        self._columns, self._rows, self._tiles = (
            each[chosen] for each in (self._columns, self._rows, self._tiles)
        )
        self._sides = tuple((first[chosen], last[chosen]) for first, last in self._sides)  # type: ignore[assignment]
        self._partial, self._joined = self._partial[chosen], self._joined[chosen]


class _Axis:
    """The tiles' borders across or down."""

    def __init__(self, starts: tuple[int, ...], tile: int, length: int) -> None:
        self.margin = max(1.0, MARGIN * tile)
        # The image's own edges cut nothing.
        self._lows = np.asarray([start + self.margin if start else -np.inf for start in starts])
        ends = (start + tile for start in starts)
        self._highs = np.asarray([end - self.margin if end < length else np.inf for end in ends])

    def cuts(self, spans: Numbers, places: Places) -> tuple[Flags, Flags]:
        """Tell which spans `[n, 2]` are cut at the beginning, and which at the end, of their tiles `[n]`."""
        return spans[:, 0] <= self._lows[places], spans[:, 1] >= self._highs[places]

    def uncut(self, spans: Numbers) -> Flags:
        """Tell which spans `[n, 2]` lie within any tile uncut."""
        within = (spans[:, :1] > self._lows) & (spans[:, 1:] < self._highs)
        return np.asarray(within.any(axis=1))


def _shared(boxes: Numbers, one: Numbers, axis: int) -> Numbers:
    """Return how much of the shorter one of each two sides is shared, 0..1."""
    low, high = np.maximum(boxes[:, axis], one[axis]), np.minimum(boxes[:, axis + 2], one[axis + 2])
    shorter = np.minimum(boxes[:, axis + 2] - boxes[:, axis], one[axis + 2] - one[axis])
    return np.asarray(np.clip(high - low, 0, None) / np.maximum(shorter, 1e-9))
