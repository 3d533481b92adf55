"""Hands images to their libraries: Pillow with libtiff, libavif, and libheif by way of pi-heif.

Whoever calls has read the header (`sizes`) and knows that the size is within limits.
"""

import importlib
import io
from functools import cache
from typing import Any

from PIL import Image, ImageFile

from . import bitmaps, boxes, chunks, colours, jpeg, pnm, tiff, webp
from .names import Kind, Unreadable

_PLUGINS: dict[Kind, str] = {
    "GIF": "PIL.GifImagePlugin",
    "BMP": "PIL.BmpImagePlugin",
    "TIFF": "PIL.TiffImagePlugin",
    "AVIF": "PIL.AvifImagePlugin",
    "HEIF": "pi_heif",
}
"""What decodes them. PPM is read here."""

_CHECKS = {
    "WEBP": webp.check,
    "BMP": bitmaps.check_bmp,
    "TIFF": tiff.check,
    "AVIF": boxes.check,
    "HEIF": boxes.check,
}
"""What the libraries leave out: whether all pixels are there."""


@cache
def prepare(kind: Kind) -> None:
    """Import what decodes a format, once. Raises ImportError where that is not installed."""
    if kind not in _PLUGINS:
        return
    module: Any = importlib.import_module(_PLUGINS[kind])
    if kind == "TIFF":
        # Pillow's own way, for uncompressed ones, reads 16 bits in planes of their own as 8.
        module.READ_LIBTIFF = True
    if kind == "AVIF":
        # One thread a photo: others are decoded beside it.
        module.DEFAULT_MAX_THREADS = 1
    if kind == "HEIF":
        module.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)


def open_image(data: bytes, kind: Kind) -> Image.Image:
    """Open an image; no other parser than that of `kind` sees the data. Its pixels come with `load`."""
    prepare(kind)
    if kind == "PPM":
        decoded = Image.fromarray(pnm.decode(data))
        decoded.format = kind
        return decoded
    opened = Image.open(io.BytesIO(data), formats=(kind,))
    if kind in ("AVIF", "HEIF"):
        colours.state(opened, boxes.shown(data).colours)
    return opened


def bytes_of(opened: Image.Image) -> bytes:
    """Return the file that an image was opened from; nothing of one that needs no decoding any more."""
    if not isinstance(opened, ImageFile.ImageFile) or not opened.fp:
        return b""
    if isinstance(opened.fp, io.BytesIO):
        return opened.fp.getvalue()
    opened.fp.seek(0)
    return opened.fp.read()


def load(opened: Image.Image, data: bytes, mode: str | None = None, side: int | None = None) -> Image.Image:
    """Decode an opened image, whose file is `data`: the whole first frame.

    A JPEG is decoded to a fraction of its size, with no side below `side` pixels, and grey where `mode` is L.
    Raises Unreadable, or whatever the library raises, for what is damaged or cut short.
    """
    kind, size = opened.format, opened.size
    if not isinstance(opened, ImageFile.ImageFile) or not data:
        return opened
    if kind == "PNG":
        return chunks.load(opened, data)
    if kind in ("JPEG", "MPO"):
        jpeg.load(opened, data, mode, side)
        return opened
    if kind in _CHECKS:
        _CHECKS[kind](data)
    opened.load()
    if opened.size != size:
        raise Unreadable("The image has another size than its header says.")
    return _on_white(opened, bitmaps.gif(data)[2]) if kind == "GIF" else opened


def _on_white(opened: Image.Image, frame: bitmaps.Box) -> Image.Image:
    """Lay a GIF's frame over white where it does not cover its canvas; Pillow has colour 0 there."""
    if frame == (0, 0, *opened.size):
        return opened
    free = Image.new("RGBA", opened.size, "white")
    part = opened.crop(frame).convert("RGBA")
    free.paste(part, frame[:2], part)
    return free
