"""TIFF files of any build, written by hand (TIFF 6.0, and BigTIFF), for what no library writes."""

import struct
import zlib
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8 | np.uint16]
_TYPES = {1: "B", 3: "H", 4: "I", 7: "B"}


def tiff(
    pixels: Pixels,
    photometric: int,
    *,
    order: Literal["<", ">"] = "<",
    big: bool = False,
    planar: bool = False,
    tile: int = 0,
    rows: int = 0,
    deflate: bool = False,
    more: Sequence[tuple[int, int, Sequence[int]]] = (),
) -> bytes:
    """Return a TIFF of pixels `[H, W]` or `[H, W, samples]` as they are, 8 or 16 bits.

    In strips of `rows` rows, or tiles of `tile` by `tile`; `more` are tags, as (number, type, values).
    """
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    height, width, samples = pixels.shape
    bits = 8 * pixels.itemsize
    planes = [pixels[..., i : i + 1] for i in range(samples)] if planar else [pixels]
    rows = rows or height
    blocks = [
        np.ascontiguousarray(block.astype(block.dtype.newbyteorder(order))).tobytes()
        for plane in planes
        for block in _blocks(plane, tile, rows)
    ]
    if deflate:
        blocks = [zlib.compress(block) for block in blocks]
    at = 16 if big else 8
    offsets = [at + sum(map(len, blocks[:index])) for index in range(len(blocks))]
    place = (324, 325) if tile else (273, 279)
    tags = [
        (256, 4, [width]),
        (257, 4, [height]),
        (258, 3, [bits] * samples),
        (259, 3, [8 if deflate else 1]),
        (262, 3, [photometric]),
        (277, 3, [samples]),
        (284, 3, [2 if planar else 1]),
        (place[0], 4, offsets),
        (place[1], 4, list(map(len, blocks))),
        *([(322, 3, [tile]), (323, 3, [tile])] if tile else [(278, 4, [rows])]),
        *more,
    ]
    given = {number: (kind, values) for number, kind, values in tags}
    return _assembled(given, b"".join(blocks), order, big)


def _blocks(plane: Pixels, tile: int, rows: int) -> list[Pixels]:
    height, width = plane.shape[:2]
    if not tile:
        return [plane[top : top + rows] for top in range(0, height, rows)]
    padded = np.pad(plane, ((0, -height % tile), (0, -width % tile), (0, 0)))
    return [
        padded[top : top + tile, left : left + tile]
        for top in range(0, height, tile)
        for left in range(0, width, tile)
    ]


def _assembled(tags: dict[int, tuple[int, Sequence[int]]], data: bytes, order: str, big: bool) -> bytes:
    count, word, inline = ("Q", "Q", 8) if big else ("H", "I", 4)
    start = (16 if big else 8) + len(data)
    data += bytes(start % 2)
    start += start % 2
    behind = start + struct.calcsize(f"={count}") + len(tags) * (20 if big else 12) + inline
    entries, extra = b"", b""
    for number in sorted(tags):
        kind, values = tags[number]
        packed = struct.pack(f"{order}{len(values)}{_TYPES[kind]}", *values)
        if len(packed) > inline:
            extra += bytes(len(extra) % 2)
            place = struct.pack(f"{order}{word}", behind + len(extra))
            extra += packed
            packed = place
        entries += struct.pack(f"{order}HH{word}", number, kind, len(values)) + packed.ljust(inline, b"\0")
    mark = b"II" if order == "<" else b"MM"
    head = struct.pack(f"{order}HHHQ", 43, 8, 0, start) if big else struct.pack(f"{order}HI", 42, start)
    ifd = struct.pack(f"{order}{count}", len(tags)) + entries + bytes(inline)
    return mark + head + data + ifd + extra
