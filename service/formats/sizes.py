"""The size of an image of one of the rarer formats, and what decoding it takes, before a library sees it."""

import struct
from typing import NamedTuple

from . import bitmaps, boxes, names, pnm, tiff
from .names import Kind, Unreadable

DAMAGED = "The image is damaged or cut short: its header cannot be read. Send the whole file."


class Size(NamedTuple):
    """In pixels as Pillow opens it; `cost` is the bytes that one takes at the peak, measured, rounded up."""

    width: int
    height: int
    cost: int


def size_of(data: bytes, kind: Kind) -> Size:
    """Read a header. Raises Unreadable."""
    try:
        return _READERS[kind](data)
    except (struct.error, IndexError):
        raise Unreadable(DAMAGED) from None


def _gif(data: bytes) -> Size:
    width, height, _ = bitmaps.gif(data)
    return Size(width, height, 20)


def _bmp(data: bytes) -> Size:
    return Size(*bitmaps.bmp(data), 20)


def _tiff(data: bytes) -> Size:
    page = tiff.tiff(data)
    # A strip may be the whole picture, beside what Pillow makes of it.
    return Size(page.width, page.height, 20 + 2 * page.sample_bytes * page.samples)


def _pnm(data: bytes) -> Size:
    return Size(*pnm.pnm(data), 48)


def _avif(data: bytes) -> Size:
    shown = boxes.shown(data)
    return Size(shown.width, shown.height, 24)


def _heif(data: bytes) -> Size:
    if not names.has_heif():
        raise Unreadable(names.NO_HEIF, known=True)
    shown = boxes.shown(data)
    # libheif sets it upright itself.
    size = (shown.height, shown.width) if shown.on_its_side else (shown.width, shown.height)
    return Size(*size, 24)


_READERS = {"GIF": _gif, "BMP": _bmp, "TIFF": _tiff, "PPM": _pnm, "AVIF": _avif, "HEIF": _heif}
