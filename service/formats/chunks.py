"""PNG files, chunk by chunk: what Pillow refuses though it could be shown, and shows though it is wrong.

Pillow refuses a file for a wrong checksum in any chunk but those of pixels, whose checksums it does not
compare, and for whatever is wrong within a chunk that it reads; it takes a file that ends without its last
chunk, shows rows that are missing as black, and shows the hidden colour of pixels that are clear by their
value where that has other than eight bits.
"""

import io
import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from .names import Unreadable

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_CHUNK = struct.Struct(">I4s")
_HEADER = len(SIGNATURE) + _CHUNK.size
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples of one pixel, by type of colour (PNG, section 11.2.1)."""
_PASSES = ((0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1))
"""First row, step of rows, first column and step of columns of each pass of Adam7 (PNG, section 8.2)."""
_PIECE = 65_536
_LENGTHS = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"pHYs": 9, b"acTL": 8, b"fcTL": 26, b"cICP": 4}
"""Bytes of ancillary chunks that have always as many, of those that are read (PNG, section 11.3)."""


def mended(data: bytes) -> bytes:
    """Return the file without the ancillary chunks whose checksums or contents are wrong: mostly, itself.

    Those say nothing that a decoder must know (PNG, section 13.2), but for tRNS: without it, colours would
    show that nobody is meant to see. Raises Unreadable for a wrong checksum in it or in a critical chunk, and
    where the file ends before its last chunk.
    """
    at, kept, parts, view = len(SIGNATURE), 0, [], memoryview(data)
    while at + 12 <= len(data):
        size, kind = _CHUNK.unpack_from(data, at)
        end = at + 12 + size
        if end > len(data):
            break
        if zlib.crc32(view[at + 4 : end - 4]) != int.from_bytes(view[end - 4 : end]):
            # The fifth bit of a chunk's first letter says that it is ancillary (PNG, section 5.4).
            if not kind[0] & 0x20 or kind == b"tRNS":
                name = kind.decode("ascii", "replace")
                raise Unreadable(
                    f"The PNG is damaged: the checksum of its {name} chunk is wrong. Send the file as it was "
                    "first written."
                )
            parts.append(view[kept:at])
            kept = end
        elif kind[0] & 0x20 and _is_malformed(kind, view[at + 8 : end - 4]):
            parts.append(view[kept:at])
            kept = end
        if kind == b"IEND":
            return b"".join((*parts, view[kept:])) if parts else data
        at = end
    raise Unreadable("The PNG is cut short: it ends before its last chunk. Send the whole file.")


def _is_malformed(kind: bytes, content: memoryview) -> bool:
    """Return whether a chunk has not what its kind always has; a profile has a name, and is deflated."""
    if kind == b"iCCP":
        end = bytes(content[:80]).find(b"\0")
        return end < 1 or bytes(content[end + 1 : end + 2]) != b"\0"
    return _LENGTHS.get(kind, len(content)) != len(content)


def load(opened: ImageFile.ImageFile, data: bytes) -> Image.Image:
    """Decode an opened file, and return it with white where its pixels are clear by their value.

    Raises Unreadable where rows are missing, and whatever Pillow raises.
    """
    opened.load()
    # Pixels start as zeros. To count what is there takes half as long as decoding it, so only a file whose
    # last row might be missing pays for that.
    row = _last_row(data)
    if not np.asarray(opened.crop((0, row, opened.width, row + 1))).any():
        _check_rows(data)
    key = opened.info.get("transparency")
    depth, kind = data[_HEADER + 8], data[_HEADER + 9]
    if kind not in (0, 2) or key is None:
        return opened
    if depth == 16:
        return _without_grey(opened, key) if kind == 0 else _without_colour(opened, key, data)
    # Only the lowest bits of the value count (PNG, section 11.3.2.1); grey of few bits was spread over eight.
    most = 2**depth - 1
    grey = (int(key) & most) * (255 // most) if kind == 0 else tuple(value & most for value in key)
    opened.info["transparency"] = grey
    return opened


def _without_grey(opened: Image.Image, key: int) -> Image.Image:
    values = np.asarray(opened).astype(np.int32)
    # Rounded value / 257: 65535 becomes 255. Pillow's own conversion would cut everything above 255.
    return _as(opened, np.where(values == key, 255, (values + 128) // 257).astype(np.uint8))


def _without_colour(opened: Image.Image, key: tuple[int, ...], data: bytes) -> Image.Image:
    clear = _clear(opened, key, data)
    pixels = np.array(opened)
    pixels[clear] = 255
    return _as(opened, pixels)


def _clear(opened: Image.Image, key: tuple[int, ...], data: bytes) -> NDArray[np.bool_]:
    """Return where an image of 16 bits per colour has that very colour, `[height, width]`."""
    clear = np.ones((opened.height, opened.width), np.bool_)
    # Pillow keeps the upper bytes. Read as little-endian, they are the lower ones.
    with Image.open(io.BytesIO(data), formats=("PNG",)) as again:
        assert isinstance(again, ImageFile.ImageFile)
        again.tile = [tile._replace(args="RGB;16L") for tile in again.tile]
        for channel, value in enumerate(key):
            clear &= np.asarray(opened.getchannel(channel)) == value >> 8
            clear &= np.asarray(again.getchannel(channel)) == value & 0xFF
    return clear


def _as(opened: Image.Image, pixels: NDArray[np.uint8]) -> Image.Image:
    """Return other pixels for an image, with all that is known of it but its transparency."""
    image = Image.fromarray(pixels)
    image.info = {name: value for name, value in opened.info.items() if name != "transparency"}
    return image


def _check_rows(data: bytes) -> None:
    """Refuse a file with less than all of its rows: inflates it and counts."""
    missing = _length(*struct.unpack_from(">IIBBxxB", data, _HEADER))
    inflater, at = zlib.decompressobj(), len(SIGNATURE)
    while at + 12 <= len(data) and missing > 0:
        size, kind = _CHUNK.unpack_from(data, at)
        if kind == b"IDAT":
            for start in range(at + 8, at + 8 + size, _PIECE):
                missing -= _inflated(inflater, data[start : min(start + _PIECE, at + 8 + size)])
                if missing <= 0 or inflater.eof:
                    break
        at += 12 + size
    if missing > 0:
        raise Unreadable("The PNG is damaged: not every row of its pixels is there. Send the whole file.")


def _inflated(inflater: "zlib._Decompress", piece: bytes) -> int:
    """Return how many bytes a piece inflates to, with a megabyte of them in memory at a time."""
    count = 0
    while piece:
        found = len(inflater.decompress(piece, 2**20))
        count += found
        piece = inflater.unconsumed_tail if found else b""
    return count


def _length(width: int, height: int, depth: int, kind: int, interlaced: int) -> int:
    """Return the bytes of all filtered rows: each begins with its filter."""
    bits = depth * _SAMPLES[kind]
    if not interlaced:
        return height * (1 + (width * bits + 7) // 8)
    total = 0
    for top, down, left, right in _PASSES:
        columns, rows = (width - left + right - 1) // right, (height - top + down - 1) // down
        total += rows * (1 + (columns * bits + 7) // 8) if columns > 0 else 0
    return total


def _last_row(data: bytes) -> int:
    """Return the row of pixels that is decoded last: of interlaced ones, the last odd one."""
    height, interlaced = struct.unpack_from(">4xI4xB", data, _HEADER)
    return int(height - 1 - (height % 2 if interlaced else 0))
