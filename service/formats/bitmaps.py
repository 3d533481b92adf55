"""GIF (87a, 89a) and BMP: width and height from the header, and whether what is behind it is whole."""

import struct

from .names import Unreadable

_EXTENSIONS = 256
"""Extensions of a GIF before its first frame; most have two or three."""
_BLOCKS = 4096
"""Blocks of an extension: a comment of a megabyte has as many."""
_FAR = 2**20

Box = tuple[int, int, int, int]


def gif(data: bytes) -> tuple[int, int, Box]:
    """Return the width and height of a GIF, and where on it its first frame lies: left, top, right, bottom.

    A frame that goes beyond the canvas enlarges it, as in browsers and in Pillow.
    """
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    for _ in range(_EXTENSIONS):
        kind = data[at]
        if kind == 0x2C:
            left, top, wide, high = struct.unpack_from("<HHHH", data, at + 1)
            box = (left, top, left + wide, top + high)
            return max(width, box[2]), max(height, box[3]), box
        if kind == 0x3B:
            break
        if at > _FAR:
            raise Unreadable("The GIF has more than a megabyte before its first frame.")
        # An extension is its mark, its label and blocks up to an empty one; what else stands here, a byte.
        at = _behind_blocks(data, at + 2) if kind == 0x21 else at + 1
    raise Unreadable("The GIF has no frame.")


def _behind_blocks(data: bytes, at: int) -> int:
    for _ in range(_BLOCKS):
        size = data[at]
        at += 1 + size
        if not size:
            return at
    raise Unreadable("The GIF has more than a megabyte before its first frame.")


_ENTRIES = {12: "<HHHH", 40: "<iiHH"}
_COMPRESSIONS = frozenset((0, 1, 2, 3, 6))
"""None, runs of 8 and of 4 bits, and masks of bits. JPEG and PNG within BMP are for printers."""
_DEPTHS = frozenset((1, 2, 4, 8, 16, 24, 32))


def bmp(data: bytes) -> tuple[int, int]:
    """Return the width and height of a BMP; one stored from the top has a negative height there."""
    (length,) = struct.unpack_from("<I", data, 14)
    width, height, _, depth = struct.unpack_from(_ENTRIES[12 if length == 12 else 40], data, 18)
    if _compression(data) not in _COMPRESSIONS or depth not in _DEPTHS:
        raise Unreadable(
            "The BMP has pixels of a kind that is not read; save it uncompressed with 8, 24 or 32 bits.",
            known=True,
        )
    return width, abs(height)


def _compression(data: bytes) -> int:
    (length,) = struct.unpack_from("<I", data, 14)
    return int(struct.unpack_from("<I", data, 30)[0]) if length >= 40 else 0


def check_bmp(data: bytes) -> None:
    """Refuse runs that end before the picture does: the rest would be shown as if it were colour 0.

    Uncompressed rows that are missing are missed by whoever decodes them; where zeros stand in their place
    they are black pixels, and nobody can tell.
    """
    if _compression(data) not in (1, 2):
        return
    (at,) = struct.unpack_from("<I", data, 10)
    width, height = bmp(data)
    per_byte = 2 if _compression(data) == 2 else 1
    x = y = 0
    while at + 2 <= len(data) and y < height:
        count, value = data[at], data[at + 1]
        at += 2
        if count:
            x += count
        elif value == 0:
            x, y = 0, y + 1
        elif value == 1:
            return
        elif value == 2:
            x, y = x + data[at], y + data[at + 1]
            at += 2
        else:
            x += value
            at += ((value + per_byte - 1) // per_byte + 1) // 2 * 2
        if y == height - 1 and x >= width:
            # All pixels are there: some programs leave the end mark out.
            return
    raise Unreadable("The BMP ends before its last row.")
