"""PNG files, chunk by chunk: the checks that Pillow and OpenCV leave out. Raises BrokenImage.

Pillow does not compare the checksums of pixel data, takes a file that ends without its last chunk, and shows
rows that are missing as black; OpenCV makes a picture of anything.
"""

import struct
import zlib

from service import headers
from service.errors import BrokenImage

START = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR"
"""The signature, and how the first chunk begins."""

_CHUNK = struct.Struct(">I4s")
_AFTER_SIGNATURE = 8
_AFTER_HEADER = 33
_SILENT = frozenset((b"IEND", b"pHYs", b"tEXt", b"tIME"))
"""Chunks that change no pixel."""
_END = struct.pack(">I4sI", 0, b"IEND", zlib.crc32(b"IEND"))
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples of one pixel, by type of colour (PNG, section 11.2.1)."""
_PASSES = ((0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1))
"""First row, step of rows, first column and step of columns of each pass of Adam7 (PNG, section 8.2)."""
_PIECE = 65_536


def plain(data: bytes, length: int) -> tuple[bytes, bytes] | None:
    """Return a PNG's inflated, still filtered pixels, and the file without all chunks that change no pixel.

    None where its pixels are not `length` bytes, or something is off or unusual.
    """
    packed, at, kind = [], _AFTER_SIGNATURE, b""
    while kind != b"IEND" and at + 12 <= len(data):
        size, kind = _CHUNK.unpack_from(data, at)
        end = at + 12 + size
        if end > len(data) or zlib.crc32(data[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end]):
            return None
        if kind == b"IDAT":
            packed.append(data[at + 8 : end - 4])
        elif kind not in _SILENT and at != _AFTER_SIGNATURE:
            return None
        at = end
    if kind != b"IEND" or at != len(data):
        return None
    stream = b"".join(packed)
    found = _inflate(stream, length)
    if found is None:
        return None
    silent = len(data) > _AFTER_HEADER + 12 * len(packed) + len(stream) + len(_END)
    return found, data[:_AFTER_HEADER] + _chunk(b"IDAT", stream) + _END if silent else data


def _inflate(stream: bytes, length: int) -> bytes | None:
    """Return what a stream holds, if that is `length` bytes and nothing follows."""
    inflater = zlib.decompressobj()
    try:
        found = inflater.decompress(stream, length + 1)
    except zlib.error:
        return None
    return found if len(found) == length and inflater.eof and not inflater.unused_data else None


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def check(data: bytes) -> None:
    """Refuse a file whose pixels do not have their checksums, or that ends before its last chunk."""
    at, view = _AFTER_SIGNATURE, memoryview(data)
    while at + 12 <= len(data):
        size, kind = _CHUNK.unpack_from(data, at)
        end = at + 12 + size
        if kind == b"IEND":
            return
        if kind == b"IDAT" and (
            end > len(data) or zlib.crc32(view[at + 4 : end - 4]) != int.from_bytes(view[end - 4 : end])
        ):
            break
        at = end
    raise BrokenImage(headers.DAMAGED)


def check_rows(data: bytes) -> None:
    """Refuse a file with less than all of its rows: inflates it and counts."""
    missing = _length(*struct.unpack_from(">IIBBxxB", data, len(START)))
    inflater, at = zlib.decompressobj(), _AFTER_SIGNATURE
    while at + 12 <= len(data) and missing > 0:
        size, kind = _CHUNK.unpack_from(data, at)
        if kind == b"IDAT":
            for start in range(at + 8, at + 8 + size, _PIECE):
                missing -= _inflated(inflater, data[start : min(start + _PIECE, at + 8 + size)])
                if missing <= 0 or inflater.eof:
                    break
        at += 12 + size
    if missing > 0:
        raise BrokenImage(headers.DAMAGED)


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


def last_row(data: bytes) -> int:
    """Return the row of pixels that is decoded last: of interlaced ones, the last odd one."""
    height, interlaced = struct.unpack_from(">4xI4xB", data, len(START))
    return int(height - 1 - (height % 2 if interlaced else 0))
