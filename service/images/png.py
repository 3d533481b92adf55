"""Plain PNG files, chunk by chunk: the checks that OpenCV leaves out, which makes a picture of anything."""

import struct
import zlib

START = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR"
"""The signature, and how the first chunk begins."""

_CHUNK = struct.Struct(">I4s")
_AFTER_SIGNATURE = 8
_AFTER_HEADER = 33
_SILENT = frozenset((b"IEND", b"pHYs", b"tEXt", b"tIME"))
"""Chunks that change no pixel."""
_END = struct.pack(">I4sI", 0, b"IEND", zlib.crc32(b"IEND"))


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
