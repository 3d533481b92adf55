"""The separate objects of one image: a row's probabilities -> numbered pixels, boxes, areas, scores.

They are separated at the model's own size, where they were measured, and shown at the posted image's: each
pixel of the class mask belongs to the nearest object of its class.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from service.tasks import masks
from service.tasks.objects import separate

MOST = 1000
"""Objects listed for one image, the largest; how many there are is told."""

BOX_PIXELS = 2**24
"""Pixels of the boxes of all objects whose masks are given, or four times the image's where that is more:
objects around each other could have a box of the whole image each."""


@dataclass(frozen=True)
class Found:
    """One object: the index of its class, its box (x_min, y_min, x_max, y_max; the last ones exclusive) and
    its area in pixels of the posted image, and the mean probability of its class over them, in 0..1.
    """

    number: int
    index: int
    box: tuple[int, int, int, int]
    area: int
    score: float


@dataclass(frozen=True)
class Objects:
    """All objects of an image: `ids` int32 `[h, w]`, 0 for none, at `masks.interpolated`'s size.

    The posted image shows row i of them `heights[i]` times, and column j `widths[j]` times.
    """

    ids: NDArray[np.int32]
    heights: NDArray[np.intp]
    widths: NDArray[np.intp]
    found: tuple[Found, ...] = field(default=())

    def largest(self, *, drawn: bool) -> list[Found]:
        """Return the `MOST` largest ones, by class and then by area; `drawn` where their masks are wanted."""
        chosen = sorted(self.found, key=lambda each: each.area, reverse=True)[:MOST]
        if drawn:
            sizes = np.cumsum([(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (each.box for each in chosen)])
            most = max(BOX_PIXELS, 4 * int(self.heights.sum()) * int(self.widths.sum()))
            chosen = chosen[: max(1, int((sizes <= most).sum()))]
        return sorted(chosen, key=lambda each: each.index)

    def pixels(self, one: Found) -> NDArray[np.bool_]:
        """Return the object's mask within its box, bool `[y_max - y_min, x_max - x_min]`."""
        own = self.ids == one.number
        rows, columns = np.flatnonzero(own.any(axis=1)), np.flatnonzero(own.any(axis=0))
        high, wide = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        return np.repeat(np.repeat(own[high, wide], self.heights[high], axis=0), self.widths[wide], axis=1)

    def edges(self) -> NDArray[np.bool_]:
        """Return each object's outermost pixels at the posted image's size, bool `[H, W]`."""
        ids = self.ids
        padded = np.pad(ids, 1, mode="edge")
        around = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
        edge = (ids > 0) & np.any([each != ids for each in around], axis=0)
        return np.repeat(np.repeat(edge, self.heights, axis=0), self.widths, axis=1)


def find(
    probabilities: NDArray[np.float32],
    height: int,
    width: int,
    threshold: float,
    border: NDArray[np.float32] | None = None,
) -> Objects:
    """Find the objects of probabilities `[h, w, K]` in an image of `height` x `width` pixels.

    Objects of different classes are separate. Together they cover exactly what `masks.enlarge` gives a class
    other than 0. `border` `[h, w]` is the probability that a pixel lies between two of them, where the model
    tells it.
    """
    shown = masks.interpolated(probabilities, height, width)
    classes = masks.decide(shown, threshold)
    ids, index_of = _number(classes, masks.decide(probabilities, threshold), border)
    heights = np.bincount(masks.repeated(classes.shape[0], height), minlength=classes.shape[0])
    widths = np.bincount(masks.repeated(classes.shape[1], width), minlength=classes.shape[1])
    certainty = shown[..., 0]
    if shown.shape[-1] > 1:
        certainty = np.take_along_axis(shown, classes[..., None].astype(np.intp), axis=-1)[..., 0]
    rows, columns = np.nonzero(ids)
    numbers = ids[rows, columns]
    weights = (heights[rows] * widths[columns]).astype(np.float64)
    areas = np.bincount(numbers, weights, minlength=len(index_of))
    sums = np.bincount(numbers, weights * certainty[rows, columns], minlength=len(index_of))
    boxes = _boxes(numbers, (columns, rows), (widths, heights), len(index_of))
    found = tuple(
        Found(
            number,
            index_of[number],
            (boxes[0][number], boxes[1][number], boxes[2][number], boxes[3][number]),
            round(areas[number]),
            float(sums[number] / areas[number]),
        )
        for number in np.flatnonzero(areas).tolist()
    )
    return Objects(ids, heights, widths, found)


def _number(
    classes: NDArray[np.uint8], measured: NDArray[np.uint8], border: NDArray[np.float32] | None
) -> tuple[NDArray[np.int32], list[int]]:
    """Number the objects: ids at the size of `classes`, separated at that of `measured`; each one's class."""
    ids = np.zeros(classes.shape, np.int32)
    index_of = [0]
    for index in np.unique(classes[classes > 0]).tolist():
        wanted = classes == index
        own = separate(measured == index, border)
        if not own.any():
            # It wins only between pixels of the model, where two others are equally weak.
            own = separate(wanted)
        near = _nearest(own)
        if near.shape != wanted.shape:
            near = near[
                np.ix_(
                    masks.repeated(near.shape[0], wanted.shape[0]),
                    masks.repeated(near.shape[1], wanted.shape[1]),
                )
            ]
        ids[wanted] = near[wanted] + (len(index_of) - 1)
        index_of += [index] * int(own.max())
    return ids, index_of


def _nearest(ids: NDArray[np.int32]) -> NDArray[np.int32]:
    """Give every pixel the number of the nearest object `[H, W]`."""
    free = np.asarray(ids == 0, np.uint8)
    _, places = cv2.distanceTransformWithLabels(free, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    number_of = np.zeros(int(places.max()) + 1, np.int32)
    number_of[places[ids > 0]] = ids[ids > 0]
    return np.asarray(number_of[places], np.int32)


def _boxes(
    numbers: NDArray[np.int32],
    places: tuple[NDArray[np.intp], NDArray[np.intp]],
    sizes: tuple[NDArray[np.intp], NDArray[np.intp]],
    count: int,
) -> list[list[int]]:
    """Return x_min, y_min, x_max, y_max, each `[count]`, in pixels of the posted image."""
    firsts, lasts = [], []
    for place, size in zip(places, sizes, strict=True):
        end = np.cumsum(size)
        first, last = np.full(count, end[-1]), np.zeros(count, np.intp)
        np.minimum.at(first, numbers, (end - size)[place])
        np.maximum.at(last, numbers, end[place])
        firsts.append(first.tolist())
        lasts.append(last.tolist())
    return [*firsts, *lasts]
