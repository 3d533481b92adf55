"""Samples as pictures: an image with what is true and what was answered drawn on it."""

import colorsys
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from training.datasets import Samples
from training.tasks.measures import class_map

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


def draw_samples(samples: Samples, outputs: Mapping[str, Any], labels: tuple[str, ...]) -> Picture:
    """Draw all samples with their answers, `[N, H, W, 3]`: truth left and answer right where it is a mask.

    `outputs` are the rows for these samples: `scores` `[N, K]`, `box` `[N, 4]`, `mask` `[N, H, W, K]`.
    """
    return np.stack([draw_sample(samples, outputs, row, labels) for row in range(len(samples))])


def draw_sample(
    samples: Samples,
    outputs: Mapping[str, Any],
    row: int,
    labels: tuple[str, ...],
    aspect: float | None = None,
) -> Picture:
    """Draw one sample with its answer, in the `aspect` (width by height) of its photo where that is given."""
    image = enlarge(samples.images[row], aspect=aspect)
    if "mask" in outputs:
        assert samples.masks is not None
        answer = class_map(np.asarray(outputs["mask"][row : row + 1]))[0]
        panels = [colour(image, samples.masks[row]), colour(image, answer)]
        return np.vstack([np.hstack(panels), caption("true | answered", 2 * image.shape[1])])
    if "box" in outputs:
        assert samples.boxes is not None
        image = frame(image, [(samples.boxes[row], TRUTH), (outputs["box"][row], ANSWER)])
    return np.vstack([image, caption("\n".join(words(samples, outputs, row, labels)), image.shape[1])])


def words(samples: Samples, outputs: Mapping[str, Any], row: int, labels: tuple[str, ...]) -> list[str]:
    """Return a sample's answer with its score, and the truth where it is another; nothing of a mask."""
    if "scores" not in outputs:
        return []
    scores = np.asarray(outputs["scores"][row])
    found = int(scores.argmax())
    lines = [f"{labels[found]} {scores[found]:.2f}"]
    if samples.labels is not None and samples.labels[row] != found:
        lines.append(f"not {labels[samples.labels[row]]}")
    return lines


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
