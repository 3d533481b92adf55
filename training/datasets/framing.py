"""Labels into the model's frame along with their images: boxes, masks, and what of the frame is image.

By the service's own resize rules (`service/images/fitting.py`), by which its answers come out again.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.images import fitting
from service.images.fitting import Box, Size
from service.images.fitting import Frame as Frame


def rule_of(frame: Frame) -> str:
    """Return what tells arrays of one size apart in the cache, by their rule; where stretched, nothing."""
    share = "" if frame.crop_share == 1 else f"-{frame.crop_share!r}"
    return "" if frame.resize == "stretch" else f"-{frame.resize}{share}"


def box_into(box: Box, size: Size, frame: Frame) -> NDArray[np.float32]:
    """Carry a box in fractions of its upright image, cut at its edge, into fractions of the frame, `[4]`.

    Where `crop` leaves a part of it outside, it reaches below 0 or above 1: as it was drawn, so that an
    overlap with it is that in the photo itself.
    """
    x_min, y_min, x_max, y_max = (min(1.0, max(0.0, float(side))) for side in box)
    return np.asarray(fitting.box_into((x_min, y_min, x_max, y_max), size, frame), np.float32)


def fit_mask(values: NDArray[Any], size: Size) -> NDArray[np.uint16]:
    """Bring a mask to uint16 `[height, width]` by nearest neighbour; `size` is (width, height)."""
    return np.asarray(Image.fromarray(values).resize(size, Image.Resampling.NEAREST), np.uint16)


def mask_into(
    values: NDArray[Any],
    frame: Frame,
    classes: Callable[[NDArray[np.uint16]], NDArray[Any]] = lambda fitted: fitted,
) -> NDArray[Any]:
    """Bring a mask of its image's own size into the frame `[height, width]`, by nearest neighbour.

    `classes` turns its numbers into others, as class indices; around a letterboxed image all is 0.
    """
    height, width = values.shape
    place = fitting.placed((width, height), frame).place
    found = classes(fit_mask(values, place.size))
    if place.size == (frame.width, frame.height):
        return found
    framed = np.zeros((frame.height, frame.width), found.dtype)
    framed[place.pixels] = found
    return framed


def blank(framed: NDArray[Any], size: Size, frame: Frame) -> NDArray[Any]:
    """Set to 0 what of a mask `[height, width]` is not on its image, which has that upright size."""
    if frame.resize != "letterbox":
        return framed
    place = fitting.placed(size, frame).place
    kept = np.zeros_like(framed)
    kept[place.pixels] = framed[place.pixels]
    return kept


def contents(sizes: Iterable[Size], frame: Frame) -> NDArray[np.int32] | None:
    """Return where in the frame images of these upright sizes lie: see `Samples.contents`."""
    if frame.resize != "letterbox":
        return None
    places = [fitting.placed(size, frame).place for size in sizes]
    return np.asarray(places, np.int32).reshape(-1, 4)
