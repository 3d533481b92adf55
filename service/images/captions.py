"""Many boxes drawn on a photo, with captions that do not cover each other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import ImageDraw, ImageFont

from service.images import pictures
from service.images.codec import Photo

Size = tuple[int, int]
Rect = tuple[float, float, float, float]
"""x_min, y_min, x_max, y_max, in pixels."""

MANY = 20
"""From so many boxes on, lines and letters are half as large."""

CAPTIONED = 500
"""Boxes with a caption at most: places for those of 10,000 would take seconds to find."""


@dataclass(frozen=True, slots=True)
class Captioned:
    """A box in pixels of the photo's own picture, what is written at it, and its colour."""

    box: Rect
    caption: str
    colour: tuple[int, int, int]


def overlay_boxes(photo: Photo, boxes: Sequence[Captioned]) -> bytes:
    """Draw boxes and their captions on the photo, the first on top of the others; a PNG.

    A caption for which no place at its box is free is left out, and of more than `CAPTIONED` those of the
    last: a box's colour tells its label.
    """
    image = photo.image.convert("RGB")
    draw = ImageDraw.Draw(image)
    part = 1 if len(boxes) < MANY else 2
    stroke = max(2, min(image.size) // 150 // part)
    font = ImageFont.load_default(max(11, min(image.size) // 24 // part))
    for each in reversed(boxes):
        draw.rectangle(each.box, outline=each.colour, width=stroke)
    told = boxes[:CAPTIONED]
    sizes = [_rounded_up(draw.textbbox((0, 0), each.caption, font=font)) for each in told]
    for each, place in zip(told, places([each.box for each in told], sizes, image.size), strict=True):
        if place is not None:
            draw.rectangle(place, fill=(0, 0, 0))
            draw.text(place[:2], each.caption, fill=(255, 255, 255), font=font)
    return pictures.rgb_png(np.asarray(image))


def _rounded_up(bounds: tuple[float, float, float, float]) -> Size:
    # With the space above the letters that Pillow leaves.
    return int(bounds[2]) + 2, int(bounds[3]) + 2


def places(boxes: Sequence[Rect], captions: Sequence[Size], size: Size) -> list[Rect | None]:
    """Return where each box's caption, of that width and height, is written in a picture of `size`: the first
    place at its box that is within the picture and covers no caption before it; None where there is none.
    """
    taken = np.empty((len(boxes), 4))
    count = 0
    found: list[Rect | None] = []
    for box, (width, height) in zip(boxes, captions, strict=True):
        place = next(
            (each for each in _at(box, width, height, size) if not _meets(taken[:count], each)), None
        )
        if place is not None:
            taken[count] = place
            count += 1
        found.append(place)
    return found


def _at(box: Rect, width: int, height: int, size: Size) -> Iterator[Rect]:
    """Give the places at a box, moved into the picture: above it, within, below, and beside it."""
    x_min, y_min, x_max, y_max = box
    for x, y in (
        (x_min, y_min - height),
        (x_min, y_min),
        (x_min, y_max),
        (x_min, y_max - height),
        (x_max - width, y_min - height),
        (x_max - width, y_max),
        (x_max, y_min),
        (x_max, y_max - height),
        (x_min - width, y_min),
        (x_min - width, y_max - height),
    ):
        left, top = max(0.0, min(x, size[0] - width)), max(0.0, min(y, size[1] - height))
        yield left, top, left + width, top + height


def _meets(taken: NDArray[np.float64], place: Rect) -> bool:
    x_min, y_min, x_max, y_max = place
    return bool(
        ((taken[:, 0] < x_max) & (taken[:, 2] > x_min) & (taken[:, 1] < y_max) & (taken[:, 3] > y_min)).any()
    )
