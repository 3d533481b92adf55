"""The first bytes of an image -> its format and size, within limits, and what decoding it takes.

Written here because it comes before any library sees the data: it reads a few numbers at known places, makes
room for nothing, and costs microseconds, so that what is refused is refused before it waits for anything.
Pillow opens a WebP by handing it to libwebp.
"""

import struct
from dataclasses import dataclass

from service.errors import BrokenImage, ImageError, ImageTooLarge, ImageTooSmall, NotAnImage
from service.formats import names, sizes
from service.formats.names import Unreadable

MIN_SIDE = 4
"""Pixels. Less is no picture of anything."""
MAX_SIDE = 16_384
"""Pixels. A WebP cannot have more."""
MAX_ASPECT = 50
"""How many times longer the one side may be than the other."""

DAMAGED = "The image is damaged or cut short: its header can be read, its pixels cannot. Send the whole file."

_MAX_SEGMENTS = 2048
"""Segments of a JPEG before its size. The largest colour profile has 255, a phone's photo some ten."""
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""JPEG markers that tell the size (ITU-T T.81, table B.1)."""
_PROGRESSIVE = frozenset((0xC2, 0xC6, 0xCA, 0xCE))
_ALONE = frozenset((0x00, 0x01, *range(0xD0, 0xD8)))
"""JPEG markers without a length (ITU-T T.81, section B.1.1.4), and a 0xFF byte that is data."""

_PNG_COST, _WEBP_COST, _JPEG_COST, _DRAWING = 20, 28, 12, 12


@dataclass(frozen=True, slots=True)
class Head:
    """What the first bytes tell. `width` and `height` are in pixels, as the decoder opens it."""

    format: names.Kind
    width: int
    height: int
    cost: int
    """Bytes that one decoded pixel takes at the peak, whatever its colours and however the image lies;
    measured and rounded up."""
    stored_cost: int = 0
    """Bytes that one pixel takes though a JPEG is decoded smaller: a progressive one is collected first."""

    def price(self, side: int | None) -> int:
        """Return the bytes that decoding may take at its peak.

        `side` is what both sides are needed at, at least, for a JPEG can be decoded smaller; None where the
        pixels are wanted whole, to draw on them.
        """
        pixels = self.width * self.height
        if side is None:
            return (self.cost + self.stored_cost + _DRAWING) * pixels
        shrunk = (
            pixels // _scale(min(self.width, self.height), side) ** 2 if self.format == "JPEG" else pixels
        )
        return self.stored_cost * pixels + self.cost * shrunk


def _scale(stored: int, side: int) -> int:
    """Return by how much a JPEG's sides are divided so that the shorter stays at least `side`."""
    return next((scale for scale in (8, 4, 2) if scale * side <= stored), 1)


def read(data: bytes, max_pixels: int) -> Head:
    """Read the head. Raises NotAnImage, BrokenImage, ImageTooLarge or ImageTooSmall."""
    try:
        if data.startswith(b"\xff\xd8\xff"):
            head = _jpeg(data)
        elif data.startswith(b"\x89PNG\r\n\x1a\n"):
            head = _png(data)
        elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            head = _webp(data)
        else:
            head = _rarer(data)
    except (struct.error, IndexError):
        raise BrokenImage(DAMAGED) from None
    _check_size(head.width, head.height, max_pixels)
    return head


def _rarer(data: bytes) -> Head:
    kind = names.kind_of(data)
    try:
        if kind is None:
            raise names.refusal(data, frozenset(names.KINDS))
        return Head(kind, *sizes.size_of(data, kind))
    except Unreadable as error:
        raise refused(error) from None


def refused(error: Unreadable) -> ImageError:
    """Return what the service says where an image is not read."""
    return (NotAnImage if error.known else BrokenImage)(str(error))


def _png(data: bytes) -> Head:
    # The first chunk is the header (PNG, section 5.6).
    if data[12:16] != b"IHDR":
        raise BrokenImage(DAMAGED)
    width, height = struct.unpack_from(">II", data, 16)
    return Head("PNG", width, height, _PNG_COST)


def _webp(data: bytes) -> Head:
    """Read the first chunk: a lossy or lossless frame, or the canvas of an extended file (RFC 9649)."""
    kind = data[12:16]
    if kind == b"VP8X":
        wide, high = data[24:27], data[27:30]
        if len(high) == 3:
            width, height = int.from_bytes(wide, "little"), int.from_bytes(high, "little")
            return Head("WEBP", width + 1, height + 1, _WEBP_COST)
    elif kind == b"VP8L" and data[20] == 0x2F:
        (bits,) = struct.unpack_from("<I", data, 21)
        return Head("WEBP", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, _WEBP_COST)
    elif kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", data, 26)
        return Head("WEBP", width & 0x3FFF, height & 0x3FFF, _WEBP_COST)
    raise BrokenImage(DAMAGED)


def _jpeg(data: bytes) -> Head:
    """Go from marker to marker up to the frame's."""
    at = 2
    for _ in range(_MAX_SEGMENTS):
        # Decoders skip what stands between two segments, so it is no reason to refuse here.
        at = data.find(b"\xff", at) + 1
        if not at:
            break
        marker = data[at]
        if marker == 0xFF or marker in _ALONE:
            at += marker != 0xFF
            continue
        if marker in (0xD9, 0xDA):
            break
        (length,) = struct.unpack_from(">H", data, at + 1)
        if marker in _FRAMES:
            height, width, planes = struct.unpack_from(">HHB", data, at + 4)
            return Head("JPEG", width, height, _JPEG_COST, 2 * planes if marker in _PROGRESSIVE else 0)
        at += 1 + max(length, 2)
    raise BrokenImage(DAMAGED)


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise ImageTooLarge(
            f"The image has {width} x {height} = {width * height:,} pixels; at most {max_pixels:,} are "
            f"allowed here. Send it smaller."
        )
    if max(width, height) > MAX_SIDE:
        raise ImageTooLarge(
            f"The image is {width} x {height} pixels; a side may have at most {MAX_SIDE:,}. Send it smaller."
        )
    if min(width, height) < MIN_SIDE:
        raise ImageTooSmall(f"The image is {width} x {height} pixels; each side needs at least {MIN_SIDE}.")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise ImageTooSmall(
            f"The image is {width} x {height} pixels; one side may be at most {MAX_ASPECT} times the other."
        )
