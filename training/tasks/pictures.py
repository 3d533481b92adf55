"""Images with classes and boxes drawn on them, captions, and sheets of them."""

import colorsys
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Picture = NDArray[np.uint8]
"""RGB, `[H, W, 3]`."""

TRUTH, ANSWER = (40, 180, 99), (232, 126, 4)
"""The colours of boxes: green is true, orange is answered."""

_FIRST = [
    (0, 0, 0),
    (232, 126, 4),
    (41, 128, 185),
    (39, 174, 96),
    (192, 57, 43),
    (142, 68, 173),
    (241, 196, 15),
]
_GOLDEN_ANGLE = 0.381966
"""Turned by this part of a circle again and again, hues stay as far apart as they can."""


def _later(number: int) -> tuple[int, ...]:
    hue, bright = number * _GOLDEN_ANGLE % 1, (1.0, 0.7, 0.45)[number % 3]
    return tuple(round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.85, bright))


COLOURS = np.asarray([*_FIRST, *map(_later, range(256 - len(_FIRST)))])
"""Of a mask's classes, RGB `[256, 3]`; the first stays clear."""

SIDE = 160
"""The longer side of a drawn image, in pixels."""


def enlarge(image: Picture, side: int = SIDE, aspect: float | None = None) -> Picture:
    """Scale an image `[H, W, 1 or 3]` to RGB whose longer side is `side`; small ones keep their pixels.

    `aspect` is the width by height that the image had before it was stretched to the model's input.
    """
    height, width = image.shape[:2]
    wide = aspect or width / height
    scale = side / max(height, width)
    size = max(1, round(side * min(wide, 1.0))), max(1, round(side * min(1 / wide, 1.0)))
    rule = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BOX
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).convert("RGB")
    return np.asarray(picture.resize(size, rule))


def colour(image: Picture, classes: NDArray[np.uint8]) -> Picture:
    """Lay the classes `[h, w]` of a mask over an RGB image of any size, half transparent."""
    height, width = image.shape[:2]
    fitted = np.asarray(Image.fromarray(classes).resize((width, height), Image.Resampling.NEAREST))
    return np.where((fitted == 0)[..., None], image, (image * 0.5 + COLOURS[fitted] * 0.5)).astype(np.uint8)


def frame(image: Picture, boxes: Sequence[tuple[Any, tuple[int, int, int]]]) -> Picture:
    """Draw boxes, four fractions each, in their colours."""
    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture)
    for box, ink in boxes:
        x_min, y_min, x_max, y_max = np.asarray(box) * (picture.size * 2)
        draw.rectangle((x_min, y_min, max(x_min, x_max), max(y_min, y_max)), outline=ink, width=2)
    return np.asarray(picture)


def caption(text: str, width: int) -> Picture:
    """Write up to two short lines on a white strip."""
    strip = Image.new("RGB", (width, 34), "white")
    draw = ImageDraw.Draw(strip)
    for number, line in enumerate(text.split("\n")[:2]):
        draw.text((3, 2 + 15 * number), line, fill=(30, 30, 30), font=ImageFont.load_default(12))
    return np.asarray(strip)


def tile(pictures: Sequence[Picture], columns: int) -> Picture:
    """Lay pictures of one size out in rows on white, two pixels apart."""
    height, width = pictures[0].shape[:2]
    rows = math.ceil(len(pictures) / columns)
    sheet = np.full((rows * (height + 2), columns * (width + 2), 3), 255, np.uint8)
    for number, picture in enumerate(pictures):
        top, left = number // columns * (height + 2), number % columns * (width + 2)
        sheet[top : top + height, left : left + width] = picture
    return sheet
