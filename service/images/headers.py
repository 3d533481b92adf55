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
_READ = frozenset((0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xCA))
"""Frames that libjpeg decodes: baseline, extended, progressive, lossless, and two with arithmetic coding."""
_KINDS = {0xC0: "baseline", 0xC1: "extended", 0xC2: "progressive", 0xC3: "lossless", 0xC9: "arithmetic"}
_PLAIN = frozenset((0xC0, 0xC1, 0xC2))
"""Frames of a usual JPEG: with Huffman's codes, and able to be decoded at a fraction of its size."""
_ALONE = frozenset((0x00, 0x01, *range(0xD0, 0xD8)))
"""JPEG markers without a length (ITU-T T.81, section B.1.1.4), and a 0xFF byte that is data."""

_PNG_COST, _WEBP_COST, _JPEG_COST, _DRAWING = 20, 28, 12, 12
_MOST_FRACTIONS = 12
"""Pixels of a JPEG that is decoded at a fraction cost as much time as one of another image, at least."""
_MASKS = 4
"""Pixels of a mask that cost as much as one of an image, at least."""
_PILLOWS = 2**28
"""Pixels. More Pillow does not open."""


@dataclass(frozen=True, slots=True)
class Head:
    """What the first bytes tell. `width` and `height` are in pixels, as the decoder opens it."""

    format: names.Kind
    width: int
    height: int
    cost: int
    """Bytes that one decoded pixel takes at the peak, whatever its colours and however the image lies;
    measured and rounded up."""
    stored_cost: float = 0
    """Bytes that one pixel takes though a JPEG is decoded smaller: several scans are collected first."""
    scalable: bool = False
    """Whether it can be decoded at a half, a quarter or an eighth of its size."""

    def price(self, side: int | None, max_pixels: int) -> int:
        """Return the bytes that decoding may take at its peak.

        `side` is what both sides are needed at, at least, for a JPEG can be decoded smaller; None where the
        pixels are wanted to draw on them, which takes a second decoding if they are not small.
        """
        pixels = self.width * self.height
        scale = fraction(self.width, self.height, side, max_pixels) if self.scalable else 1
        decoded = pixels // scale**2
        drawing = _DRAWING if side is None else 0
        return round(self.stored_cost * pixels + (self.cost + drawing) * decoded)

    def most_pixels(self, max_pixels: int) -> int:
        """Return the pixels that an image of this kind may have: by what each costs, in memory or in time."""
        if not self.scalable:
            return max_pixels
        return min(most_pixels(max_pixels), int(_JPEG_COST / max(self.stored_cost, 1) * max_pixels))


def fraction(width: int, height: int, side: int | None, max_pixels: int) -> int:
    """Return by how much a JPEG's sides are divided: 1, 2, 4 or 8.

    So that the shorter stays at least `side`, where there is one; but no more than `max_pixels` are decoded.
    """
    scale = 1
    while side and scale < 8 and 2 * scale * side <= min(width, height):
        scale *= 2
    while scale < 8 and width * height > max_pixels * scale**2:
        scale *= 2
    return scale


def most_pixels(max_pixels: int) -> int:
    """Return the most pixels that an image of any kind may have."""
    return max(max_pixels, min(_PILLOWS, _MOST_FRACTIONS * max_pixels))


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
    _check_size(head, max_pixels)
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
    """Read the frame's segment, and the first scan's, which tells whether there are others."""
    segments = _segments(data)
    kind = next(filter(_FRAMES.__contains__, segments), None)
    if kind is None:
        raise BrokenImage(DAMAGED)
    at = segments[kind]
    bits, height, width, planes = struct.unpack_from(">BHHB", data, at + 3)
    if kind not in _READ or bits != 8 or planes not in (1, 3, 4):
        raise NotAnImage(
            f"The JPEG is of a rare kind, {_KINDS.get(kind, 'hierarchical')} with {planes} components of "
            f"{bits} bits, that is not read. Save it with 8 bits in grey, RGB or CMYK, as usual."
        )
    # Where the file ends before its first scan, as many as there can be.
    scan = segments.get(0xDA, len(data)) + 3
    several = kind in _PROGRESSIVE or (data[scan] if scan < len(data) else 4) < planes
    stored = 2 * _samples(data[at + 10 : at + 9 + 3 * planes : 3]) if several else 0
    return Head("JPEG", width, height, _JPEG_COST, stored, kind in _PLAIN)


def _segments(data: bytes) -> dict[int, int]:
    """Return the first place of each marker, in their order, up to the first scan's or the file's end."""
    found: dict[int, int] = {}
    at = 2
    for _ in range(_MAX_SEGMENTS):
        # Decoders skip what stands between two segments, so it is no reason to refuse here.
        at = data.find(b"\xff", at) + 1
        if not at or at + 2 >= len(data):
            break
        marker = data[at]
        if marker == 0xD9:
            break
        if marker == 0xFF or marker in _ALONE:
            at += marker != 0xFF
            continue
        found.setdefault(marker, at)
        if marker == 0xDA:
            break
        at += 1 + max(int.from_bytes(data[at + 1 : at + 3], "big"), 2)
    return found


def _samples(factors: bytes) -> float:
    """Return the samples of a pixel, by the components' sampling factors (T.81, section A.1.1)."""
    most = max((factor >> 4 for factor in factors), default=0) * max(
        (factor & 15 for factor in factors), default=0
    )
    return sum((factor >> 4) * (factor & 15) for factor in factors) / most if most else len(factors)


def check_mask(head: Head, max_pixels: int) -> None:
    """Refuse what is too large for a mask of its own size, which costs memory and bytes of its answer."""
    most = _MASKS * max_pixels
    pixels = head.width * head.height
    if pixels > most:
        raise ImageTooLarge(
            f"The image has {head.width} x {head.height} = {pixels:,} pixels, and so would its mask; at most "
            f"{most:,} are allowed here. Send it smaller."
        )


def _check_size(head: Head, max_pixels: int) -> None:
    width, height, most = head.width, head.height, head.most_pixels(max_pixels)
    pixels = width * height
    if pixels > most:
        plain = most_pixels(max_pixels)
        advice = f", or as a plain JPEG, which may have {plain:,}" if pixels <= plain else ""
        raise ImageTooLarge(
            f"The image has {width} x {height} = {pixels:,} pixels; at most {most:,} are allowed here for "
            f"its kind. Send it smaller{advice}."
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
