"""A body in a content coding -> its bytes, never more of them than allowed; and an answer into one.

`gzip` and `deflate`, which is zlib's format (RFC 9110, section 8.4.1.2; RFC 1950) and not what is in it.
"""

import asyncio
import zlib
from collections.abc import Callable, Iterator
from typing import Literal

from service.errors import CodingNotTaken, MalformedBody, PayloadTooLarge

Coding = Literal["identity", "gzip", "deflate"]

_NAMES: dict[str, Coding] = {
    "": "identity",
    "identity": "identity",
    "gzip": "gzip",
    "x-gzip": "gzip",
    "deflate": "deflate",
}

_EITHER = 47
"""zlib's number for: by the first bytes, gzip or zlib. Some clients mix them up."""

_IN, _OUT = 64 * 1024, 256 * 1024
"""Bytes that are taken and given in one go: less than a millisecond."""

MEMBERS = 16
"""Files joined to one that gzip may be of, at most."""

LEAST = 1024
"""Bytes of an answer that are worth a coding."""


def named(text: str | None) -> Coding:
    """Return the coding that Content-Encoding names; CodingNotTaken where it is another, or several."""
    coding = _NAMES.get((text or "").strip().lower())
    if coding is None:
        raise CodingNotTaken("Of Content-Encoding gzip and deflate are taken here, one of them, once.")
    return coding


def wished(accept: str | None) -> Coding:
    """Return the coding that Accept-Encoding wishes for: where it names one alone.

    The list of all that a client's library can read is no wish; at home it costs more than it saves.
    """
    return _NAMES.get((accept or "").strip().lower(), "identity")


def coded(body: bytes, coding: Coding) -> bytes:
    """Bring an answer into a coding."""
    packer = zlib.compressobj(1, wbits=31 if coding == "gzip" else 15)
    return packer.compress(body) + packer.flush()


async def inflated(body: bytes | bytearray, most: int, grow: Callable[[int], None]) -> bytearray:
    """Undo either coding, in turns with everybody else; `grow` is told the bytes so far.

    MalformedBody where it is none, damaged or cut short; PayloadTooLarge as soon as there are more than
    `most` bytes.
    """
    found = bytearray()
    try:
        for piece in _pieces(body):
            found += piece
            if len(found) > most:
                raise PayloadTooLarge(f"Inflated, the body has more than the {most:,} bytes allowed.")
            grow(len(found))
            await asyncio.sleep(0)
    except zlib.error:
        raise MalformedBody(
            "The body cannot be inflated: it is damaged, or neither gzip nor zlib's format, which is what "
            "deflate means."
        ) from None
    return found


def _pieces(body: bytes | bytearray) -> Iterator[bytes]:
    """Inflate piece by piece. gzip may have several members, one behind the other (RFC 1952, section 2.2)."""
    whole = memoryview(body)
    start = 0
    for _ in range(MEMBERS):
        unpacker = zlib.decompressobj(_EITHER)
        while start < len(whole) and not unpacker.eof:
            piece: bytes | memoryview = whole[start : start + _IN]
            start += len(piece)
            more = True
            while more:
                yield (inside := unpacker.decompress(piece, _OUT))
                piece = unpacker.unconsumed_tail
                more = not unpacker.eof and (bool(piece) or len(inside) == _OUT)
        start -= len(unpacker.unused_data)
        if start == len(whole):
            if body and not unpacker.eof:
                raise MalformedBody("The body cannot be inflated: it is cut short.")
            return
    raise MalformedBody(f"The body has more than {MEMBERS} gzip members.")
