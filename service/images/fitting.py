"""Resize rules: which part of an upright image lies where in a model's frame, and the way in and out of it.

Of Pillow and NumPy alone, so that both halves may import it: what is trained on is fitted as what is served,
and boxes and masks go in (training) and out (service) by the same numbers. All of them are whole pixels.
"""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.images import tiling

Resize = Literal["stretch", "letterbox", "crop", "tile"]
RULES: tuple[Resize, ...] = get_args(Resize)

PAD = 127
"""Grey, of each channel, around a letterboxed image: the middle, and exactly 0 after (x - 127) / 128."""

Size = tuple[int, int]
"""Width and height, in pixels."""


class Frame(Protocol):
    """What images are fitted into: the `input` of a manifest, of a recipe, or of a request for a data set.

    `crop_share` is the part of the largest middle that `crop` keeps, of its sides, in 0..1; `overlap` the
    pixels that neighbouring tiles of `tile` share at least.
    """

    @property
    def width(self) -> int: ...  # noqa: D102
    @property
    def height(self) -> int: ...  # noqa: D102
    @property
    def resize(self) -> Resize: ...  # noqa: D102
    @property
    def crop_share(self) -> float: ...  # noqa: D102
    @property
    def overlap(self) -> int: ...  # noqa: D102


class Rect(NamedTuple):
    """Whole pixels; the last ones exclusive."""

    x_min: int
    y_min: int
    x_max: int
    y_max: int

    @property
    def size(self) -> Size:
        """Width and height."""
        return self.x_max - self.x_min, self.y_max - self.y_min

    @property
    def pixels(self) -> tuple[slice, slice]:
        """The index of an array `[H, W, ...]`."""
        return slice(self.y_min, self.y_max), slice(self.x_min, self.x_max)


@dataclass(frozen=True, slots=True)
class Placement:
    """`seen` is what of the upright image is looked at, in its pixels; `place` is where that lies in the
    frame, in the frame's. Outside of `place` is padding.
    """

    seen: Rect
    place: Rect


def placed(size: Size, frame: Frame) -> Placement:
    """Return how an image of that upright size lies in the frame; of `tile` see `tiling.tiled`."""
    wide, high = size
    seen, place = Rect(0, 0, wide, high), Rect(0, 0, frame.width, frame.height)
    if frame.resize == "letterbox":
        scale = min(frame.width / wide, frame.height / high)
        place = _middle(place.size, (wide * scale, high * scale))
    elif frame.resize == "crop":
        scale = frame.crop_share * min(wide / frame.width, high / frame.height)
        seen = _middle(size, (frame.width * scale, frame.height * scale))
    return Placement(seen, place)


def _middle(outer: Size, inner: tuple[float, float]) -> Rect:
    """Return the middle of a rectangle, rounded to whole pixels, one at the least."""
    width, height = (min(most, max(1, round(side))) for most, side in zip(outer, inner, strict=True))
    left, top = (outer[0] - width) // 2, (outer[1] - height) // 2
    return Rect(left, top, left + width, top + height)


def least_side(frame: Frame) -> int:
    """Return the pixels that both sides of a JPEG are decoded to at least: one and a half times what is used.

    One number, for whether the image lies on its side is known only once it is read.
    """
    if frame.resize == "tile":
        return _ALL
    longest = 3 * max(frame.width, frame.height)
    return longest // 2 if frame.resize != "crop" else math.ceil(longest / 2 / frame.crop_share)


_ALL = 2**30
"""More than any side has: nothing is decoded smaller."""


def is_alone(frame: Frame) -> bool:
    """Whether an image that has the frame's size already is its own tensor."""
    return frame.resize != "crop" or frame.crop_share == 1


# ---- pixels


def resized(image: Image.Image, size: Size, frame: Frame) -> Image.Image:
    """Return what is seen of an image, at its size in the frame, without padding.

    Bilinear with antialiasing; for `tile` all pixels as they are. `size` is that of the upright image, of
    which `image` may be a smaller copy.
    """
    if frame.resize == "tile":
        return image
    if frame.resize == "stretch":
        wanted, box = (frame.width, frame.height), None
    else:
        placement = placed(size, frame)
        wanted, box = placement.place.size, _within(placement.seen, size, image.size)
    if image.size == wanted and box is None:
        return image
    return image.resize(wanted, Image.Resampling.BILINEAR, box=box, reducing_gap=3.0)


def _within(seen: Rect, size: Size, copy: Size) -> tuple[float, float, float, float] | None:
    """Return what is seen in pixels of a copy of another size; None where that is all of it."""
    if seen.size == size:
        return None
    (wide, high), (width, height) = copy, size
    across, down = wide / width, high / height
    # Else the last digit of a float could lie outside the copy.
    right, bottom = min(seen.x_max * across, wide), min(seen.y_max * down, high)
    return seen.x_min * across, seen.y_min * down, right, bottom


def tensor(content: Image.Image, size: Size, frame: Frame) -> NDArray[np.uint8]:
    """Lay what `resized` gave into the frame: uint8 `[height, width, channels]`; of tiles, the first."""
    pixels = np.asarray(content, np.uint8).reshape(content.height, content.width, -1)
    if frame.resize == "tile":
        return np.asarray(tiling.cut(pixels, (0, 0), (frame.width, frame.height)), np.uint8)
    if frame.resize != "letterbox" or content.size == (frame.width, frame.height):
        return pixels
    framed = np.full((frame.height, frame.width, pixels.shape[2]), PAD, np.uint8)
    framed[placed(size, frame).place.pixels] = pixels
    return framed


def stretched(pixels: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """Bring pixels `[h, w, C]` to another width and height, as `stretch` does an image."""
    if (pixels.shape[1], pixels.shape[0]) == size:
        return pixels
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    resized = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0)
    return np.asarray(resized, np.uint8).reshape(size[1], size[0], -1)


# ---- boxes

Box = tuple[float, float, float, float]
"""x_min, y_min, x_max, y_max."""


def box_into(box: Box, size: Size, frame: Frame) -> Box:
    """Carry a box in fractions of the image into fractions of the frame.

    Of what `crop` does not see, it reaches out of the frame, below 0 or above 1.
    """
    if frame.resize == "stretch":
        return box
    placement = placed(size, frame)
    x_min, x_max = (_carried(x, size[0], frame.width, *_across(placement)) for x in box[::2])
    y_min, y_max = (_carried(y, size[1], frame.height, *_down(placement)) for y in box[1::2])
    return x_min, y_min, x_max, y_max


def box_out_of(box: Box, size: Size, frame: Frame) -> Box:
    """Carry a box in fractions of the frame into fractions of the image, cut at the image's edge."""
    if frame.resize == "stretch":
        return box
    placement = placed(size, frame)
    x_min, x_max = (_cut(_carried(x, frame.width, size[0], *_across(placement)[::-1])) for x in box[::2])
    y_min, y_max = (_cut(_carried(y, frame.height, size[1], *_down(placement)[::-1])) for y in box[1::2])
    return x_min, y_min, x_max, y_max


def boxes_out_of(boxes: NDArray[np.floating], size: Size, frame: Frame) -> NDArray[np.float64]:
    """Carry many boxes `[n, 4]` as `box_out_of` does one."""
    carried = np.array(boxes, np.float64)
    if frame.resize in ("letterbox", "crop"):
        placement = placed(size, frame)
        across, down = _across(placement)[::-1], _down(placement)[::-1]
        carried[:, ::2] = _carried(carried[:, ::2], frame.width, size[0], *across)
        carried[:, 1::2] = _carried(carried[:, 1::2], frame.height, size[1], *down)
    return np.clip(carried, 0.0, 1.0)


_Span = tuple[int, int]
_Number = TypeVar("_Number", float, NDArray[np.float64])


def _across(placement: Placement) -> tuple[_Span, _Span]:
    seen, place = placement.seen, placement.place
    return (seen.x_min, seen.x_max), (place.x_min, place.x_max)


def _down(placement: Placement) -> tuple[_Span, _Span]:
    seen, place = placement.seen, placement.place
    return (seen.y_min, seen.y_max), (place.y_min, place.y_max)


def _carried(value: _Number, side: int, other: int, start: _Span, end: _Span) -> _Number:
    """Carry a fraction of one side, of which `start` becomes `end`, into a fraction of the other."""
    inside = (value * side - start[0]) / (start[1] - start[0])
    return (end[0] + inside * (end[1] - end[0])) / other


def _cut(value: float) -> float:
    return min(1.0, max(0.0, value))


# ---- words


def words(frame: Frame) -> str:
    """Say what is done to an image before the model sees it, as in `it is ...`."""
    size = f"{frame.width}x{frame.height}"
    how = "(bilinear, with antialiasing)"
    if frame.resize == "letterbox":
        return (
            f"resized {how} to fit into {size}, keeping its aspect, and centred; the rest is grey ({PAD} of "
            f"255), and answers are of the image alone"
        )
    if frame.resize == "crop":
        part = "" if frame.crop_share == 1 else f", {100 * frame.crop_share:g} % of the largest"
        square = frame.width == frame.height
        middle = "middle square" if square else f"middle of the aspect {frame.width}:{frame.height}"
        return f"cut to its {middle}{part}, and resized {how} to {size}; what lies outside is not looked at"
    if frame.resize == "tile":
        return (
            f"cut at its own scale into tiles of {size} that share {frame.overlap} pixels or more; each is "
            f"answered, and the answers are put together"
        )
    return f"stretched to exactly {size} {how}, not keeping its aspect"
