"""WebP files, chunk by chunk (RFC 9649): whether zeros stand where the first frame's pixels were.

libwebp takes them for pixels. A plain surface has runs of zeros too, but not that many: measured are at most
3 bytes to a block of 16 x 16 pixels of a lossy frame. In a lossless one, a pixel takes at least one bit for
each of its four values that is not always the same.
"""

import struct

from .names import Unreadable

_SHARES = {b"VP8 ": 64, b"VP8L": 2}
"""Pixels that one byte of zeros stands for, at least."""
_LEAST = 64
_NESTED = 16
"""Bytes of an animation's frame before its chunks (RFC 9649, section 2.7.1.1)."""


def check(data: bytes) -> None:
    """Refuse a file whose first frame ends in more zeros than its pixels could be."""
    at = 12
    while at + 18 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, at)
        at += 8
        if kind in _SHARES:
            coded = data[at : at + size]
            if len(coded) - len(coded.rstrip(b"\0")) > _LEAST + _pixels(kind, coded) // _SHARES[kind]:
                raise Unreadable(
                    "The WebP is damaged: zeros stand where its last pixels were. Send the whole file."
                )
            return
        at += _NESTED if kind == b"ANMF" else size + size % 2


def _pixels(kind: bytes, coded: bytes) -> int:
    """Return the pixels of a frame, lossy or lossless (RFC 6386, section 9.1; RFC 9649, section 3.4)."""
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", coded.ljust(10), 6)
        return int((width & 0x3FFF) * (height & 0x3FFF))
    (bits,) = struct.unpack_from("<xI", coded.ljust(5))
    return int(((bits & 0x3FFF) + 1) * ((bits >> 14 & 0x3FFF) + 1))
