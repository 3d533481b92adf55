"""What objects cover, as label files state it: polygons, run lengths, bitmaps; and masks drawn from them."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_masks

Point = tuple[float, float]
Polygon = tuple[Point, ...]


@dataclass(frozen=True)
class Shape:
    """The outline of one object, in pixels from the upper left corner, or in fractions with `relative`.

    `polygons` together are one object; `rle` is COCO's, `size` (height, width) and `counts`, numbers or
    compressed text; `bitmap` is a small mask's file, with the place of its upper left pixel.
    """

    polygons: tuple[Polygon, ...] = ()
    rle: tuple[tuple[int, int], Any] | None = None
    bitmap: tuple[int, int, bytes] | None = None
    relative: bool = False

    def cover(self, width: int, height: int) -> NDArray[np.bool_]:
        """Return which pixels the object has, bool `[height, width]`; ValueError where it does not fit."""
        if self.rle is not None:
            return _decode(*self.rle, width, height)
        if self.bitmap is not None:
            return _paste(*self.bitmap, width, height)
        scale = (width, height) if self.relative else (1, 1)
        flat = [
            [x * side for point in one for x, side in zip(point, scale, strict=True)] for one in self.polygons
        ]
        whole = coco_masks.merge(coco_masks.frPyObjects(flat, height, width))
        return np.asarray(coco_masks.decode(whole), bool)

    @property
    def box(self) -> tuple[float, float, float, float]:
        """The box around the polygons."""
        xs, ys = zip(*(point for polygon in self.polygons for point in polygon), strict=True)
        return min(xs), min(ys), max(xs), max(ys)


def polygon(numbers: Sequence[float]) -> Polygon:
    """Return x, y, x, y, ... as points; ValueError where they are fewer than three."""
    if len(numbers) < 6 or len(numbers) % 2:
        raise ValueError(f"a polygon has three points or more, x and y of each, not {len(numbers)} numbers")
    return tuple(zip(numbers[::2], numbers[1::2], strict=True))


def ellipse(x: float, y: float, across: float, down: float) -> Polygon:
    """Return a circle or ellipse around a point, by its two radii, as a polygon of 72 corners."""
    turns = [2 * math.pi * step / 72 for step in range(72)]
    return tuple((x + across * math.cos(turn), y + down * math.sin(turn)) for turn in turns)


def _decode(size: tuple[int, int], counts: Any, width: int, height: int) -> NDArray[np.bool_]:
    if size != (height, width):
        raise ValueError(f"its run lengths are of {size[1]}x{size[0]}, the upright image is {width}x{height}")
    rle = {"size": list(size), "counts": counts}
    if isinstance(counts, list):
        if sum(counts) != width * height or min(counts, default=0) < 0:
            raise ValueError(f"its run lengths add up to {sum(counts)}, not to {width}x{height} pixels")
        rle = coco_masks.frPyObjects(rle, height, width)
    return np.asarray(coco_masks.decode(rle), bool)


def _paste(left: int, top: int, data: bytes, width: int, height: int) -> NDArray[np.bool_]:
    with Image.open(io.BytesIO(data)) as opened:
        values = np.asarray(opened.convert("I")) > 0
    rows, columns = values.shape
    if left < 0 or top < 0 or left + columns > width or top + rows > height:
        raise ValueError(f"its bitmap of {columns}x{rows} at {left}, {top} leaves the image")
    found = np.zeros((height, width), bool)
    found[top : top + rows, left : left + columns] = values
    return found


@dataclass(frozen=True)
class Drawn:
    """A mask that is to be drawn: the value of each object's class, its outline, and where it is stated.

    `sizes` are the image's width and height as label files state them, each with the place that does.
    """

    objects: tuple[tuple[int, Shape, str], ...]
    sizes: tuple[tuple[tuple[int, int], str], ...] = ()

    def values(self, width: int, height: int) -> NDArray[np.int32]:
        """Draw int32 `[height, width]`, 0 where no object is; the smaller of two that overlap lies on top.

        Raises ValueError, with where it is stated, for an outline that does not fit the image.
        """
        covers = []
        for size, where in self.sizes:
            if size != (width, height):
                raise ValueError(
                    f"its label file says {size[0]}x{size[1]}, the upright image is {width}x{height} "
                    f"({where})"
                )
        for value, shape, where in self.objects:
            try:
                covers.append((value, shape.cover(width, height)))
            except (ValueError, OSError, TypeError) as error:
                raise ValueError(f"{where}: {error}") from None
        found = np.zeros((height, width), np.int32)
        for value, cover in sorted(covers, key=lambda one: -np.count_nonzero(one[1])):
            found[cover] = value
        return found
