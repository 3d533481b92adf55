"""TIFF 6.0 and BigTIFF: the first page's header, and whether it is of a kind that is read rightly.

TIFF is a frame for any numbers at all. What libtiff and Pillow make the right picture of is listed here; the
rest, some of which they would show wrongly, is refused by name.
"""

import struct
from dataclasses import dataclass

from .names import Unreadable

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES = 256, 257, 258, 259, 262, 277
_SUBFILE, _OFFSETS, _COUNTS, _ORIENTATION, _PLANAR = 254, 273, 279, 274, 284
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_COUNTS = 322, 323, 324, 325
_FORMAT, _DNG = 339, 50706
_KIND = frozenset((_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _SUBFILE, _ORIENTATION)) | {
    _PLANAR,
    _TILE_WIDTH,
    _TILE_HEIGHT,
    _FORMAT,
    _DNG,
}
_PLACES = frozenset((_COMPRESSION, _OFFSETS, _COUNTS, _TILE_OFFSETS, _TILE_COUNTS))
_TYPES = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_MOST_TAGS = 4096
_MOST_VALUES = 2**20
"""Of one tag: strips or tiles. A page of the largest size in rows of their own has 16 thousand of each."""
_FEW_VALUES = 64

_JPEG = 7
_COMPRESSIONS = {1: "none", 2: "CCITT", 3: "CCITT", 4: "CCITT", 5: "LZW", 7: "JPEG", 8: "Deflate"} | {
    32946: "Deflate",
    32773: "PackBits",
    50000: "Zstandard",
}
_WHITE_IS_ZERO, _GREY, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
_COLOURS = {_WHITE_IS_ZERO: 1, _GREY: 1, _RGB: 3, _PALETTE: 1, _CMYK: 4, _YCBCR: 3}
"""Samples of a pixel, without extra ones."""
_TILE_PIXELS = 2**20
_ADVICE = "Save it with 8 bits a sample, as grey, RGB or RGBA, or send it as PNG."

Tags = dict[int, tuple[int, ...]]


@dataclass(frozen=True)
class Page:
    """The first page. `width` and `height` are in pixels, upright by its orientation."""

    width: int
    height: int
    sample_bytes: int
    samples: int


def tiff(data: bytes) -> Page:
    """Read the header, and refuse what is not read. Raises Unreadable, struct.error or IndexError."""
    tags = _tags(data, _KIND, _FEW_VALUES)
    if not {_WIDTH, _HEIGHT} <= set(tags):
        raise Unreadable(
            "The TIFF is damaged or cut short: its first page has no width and height. Send the whole file."
        )
    if tags.get(_SUBFILE, (0,))[0] & 1 or _DNG in tags:
        raise Unreadable(
            "The TIFF begins with a preview, as cameras' raw files do; those are not read. "
            "Send the developed photo as JPEG.",
            known=True,
        )
    width, height = tags[_WIDTH][0], tags[_HEIGHT][0]
    bits = _refuse_unusual(tags)
    if _TILE_WIDTH in tags:
        tile = tags[_TILE_WIDTH][0] * tags.get(_TILE_HEIGHT, (0,))[0]
        if not 0 < tile <= max(_TILE_PIXELS, 4 * width * height):
            raise Unreadable("The TIFF has tiles that are much larger than its picture.")
    if tags.get(_ORIENTATION, (1,))[0] in range(5, 9):
        width, height = height, width
    return Page(width, height, max(bits // 8, 1), _samples(tags))


def _tags(data: bytes, used: frozenset[int], most: int) -> Tags:
    """Return the numbers of the first page's tags: those `used`, with at most so many values."""
    order = "<" if data.startswith(b"II") else ">"
    big = struct.unpack_from(order + "H", data, 2)[0] == 43
    if big and order == ">":
        raise Unreadable("The TIFF is a big-endian BigTIFF, which is not read. Save it as TIFF.", known=True)
    count, entry, inline = (order + "Q", order + "HHQ", 8) if big else (order + "H", order + "HHI", 4)
    (start,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
    (length,) = struct.unpack_from(count, data, start)
    at = start + struct.calcsize(count)
    tags: Tags = {}
    for _ in range(min(length, _MOST_TAGS)):
        number, kind, values = struct.unpack_from(entry, data, at)
        place = at + struct.calcsize(entry)
        at = place + inline
        if number in used and kind in _TYPES and 0 < values <= most:
            form = f"{order}{values}{_TYPES[kind]}"
            if struct.calcsize(form) > inline:
                (place,) = struct.unpack_from(order + ("Q" if big else "I"), data, place)
            tags[number] = struct.unpack_from(form, data, place)
    return tags


def _samples(tags: Tags) -> int:
    return tags.get(_SAMPLES, (1,))[0]


def _refuse_unusual(tags: Tags) -> int:
    """Return the bits of a sample. Raises Unreadable where the pixels are of a kind that is not read."""
    bits = set(tags.get(_BITS, (1,)))
    depth = max(bits)
    photometric = tags.get(_PHOTOMETRIC, (_WHITE_IS_ZERO,))[0]
    planar = tags.get(_PLANAR, (1,))[0] == 2
    colours, samples = _COLOURS.get(photometric, 0), _samples(tags)
    extra = samples - colours
    kinds = {1: "unsigned", 2: "signed", 3: "floating-point"}
    form = {kinds.get(number, "unknown") for number in tags.get(_FORMAT, (1,))}
    grey = colours == 1
    cases = (
        (tags.get(_COMPRESSION, (1,))[0] not in _COMPRESSIONS, "in a compression that is not read"),
        (form != {"unsigned"}, f"of {' and '.join(sorted(form))} numbers"),
        (not colours, "in colours that are not read"),
        (len(bits) > 1, "of several depths"),
        (depth not in ((1, 2, 4, 8, 16) if grey and not extra else (8, 16)), f"of {depth} bits a sample"),
        (depth == 16 and photometric not in (_GREY, _RGB, _CMYK), "of 16 bits that are not grey or RGB"),
        (depth == 16 and grey and bool(extra), "of 16-bit grey with transparency"),
        (not 0 <= extra <= (3 if depth == 8 else 1), f"of {samples} samples a pixel"),
        (planar and extra > (1 if colours > 1 else 0), f"of {samples} samples in planes of their own"),
    )
    for refused, what in cases:
        if refused:
            raise Unreadable(f"The TIFF has pixels {what}. {_ADVICE}", known=True)
    return depth


def check(data: bytes) -> None:
    """Refuse a page whose strips or tiles are not all in the file, or, as JPEGs, have no end.

    libtiff shows the missing part of a JPEG as grey. Zeros in place of uncompressed pixels are black ones.
    """
    tags = _tags(data, _PLACES, _MOST_VALUES)
    tiled = _TILE_OFFSETS in tags
    offsets = tags.get(_TILE_OFFSETS if tiled else _OFFSETS, ())
    counts = tags.get(_TILE_COUNTS if tiled else _COUNTS, ())
    jpeg = tags.get(_COMPRESSION, (1,))[0] == _JPEG
    for offset, count in zip(offsets, counts, strict=False):
        end = offset + count
        if end > len(data) or (jpeg and b"\xff\xd9" not in data[max(offset, end - 64) : end]):
            raise Unreadable("The TIFF is cut short: a part of its pixels is missing. Send the whole file.")
