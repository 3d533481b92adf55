"""Answers as pictures: masks as palette PNGs, and boxes and masks drawn on photos."""

import struct
import zlib

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ImageDraw, ImageFont

from service.images.codec import Photo

_STRIP = 64
"""Rows that are painted at a time."""


def palette_png(mask: NDArray[np.uint8], colours: list[tuple[int, int, int]]) -> bytes:
    """Encode class indices `[H, W]` as a palette PNG (RFC 2083); pixel values stay the indices.

    Written here because it is every mask's last step: a few bits per pixel, unfiltered, at zlib's fastest
    level take an eighth to a third of Pillow's time, for a file up to a quarter larger.
    """
    height, width = mask.shape
    bits = next(bits for bits in (1, 2, 4, 8) if len(colours) <= 1 << bits)
    rows = _packed(mask, bits)
    # Each row begins with its filter type, 0 for none.
    scanlines = np.zeros((height, rows.shape[1] + 1), np.uint8)
    scanlines[:, 1:] = rows
    header = struct.pack(">IIBBBBB", width, height, bits, 3, 0, 0, 0)
    palette = bytes(channel for colour in colours for channel in colour)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in (
            (b"IHDR", header),
            (b"PLTE", palette),
            (b"IDAT", zlib.compress(scanlines.tobytes(), 1)),
            (b"IEND", b""),
        )
    )


def _packed(mask: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Put 8 / bits neighbouring values of a row into one byte, the first in the highest bits."""
    if bits in (1, 8):
        return np.packbits(mask, axis=1) if bits == 1 else mask
    per_byte = 8 // bits
    padded = np.pad(mask, ((0, 0), (0, -mask.shape[1] % per_byte)))
    # One multiplication moves the values of a word to their places in its highest byte: four values of two
    # bits to shifts of 6, 4, 2 and 0, or two of four bits to 4 and 0.
    kind, factor, top = ("<u4", 0x40100401, 24) if bits == 2 else ("<u2", 0x1001, 8)
    words = np.ascontiguousarray(padded).view(kind)
    return np.asarray((words * words.dtype.type(factor)) >> words.dtype.type(top), np.uint8)


def overlay_mask(
    photo: Photo,
    mask: NDArray[np.uint8],
    colours: list[tuple[int, int, int]],
    edges: NDArray[np.bool_] | None = None,
) -> bytes:
    """Lay the mask's colours over the photo at half strength, class 0 left clear, `edges` white; a PNG."""
    blended = np.array(photo.image.convert("RGB"))
    paint = np.asarray(colours, np.uint16)
    # By strips: of all rows at once it would take ten times the memory of the photo.
    for start in range(0, photo.height, _STRIP):
        rows, classes = blended[start : start + _STRIP], mask[start : start + _STRIP]
        rows[:] = np.where(classes[..., None] > 0, (rows + paint[classes]) // 2, rows)
        if edges is not None:
            rows[edges[start : start + _STRIP]] = 255
    return rgb_png(blended)


_HEAT = cv2.applyColorMap(np.arange(256, dtype=np.uint8), cv2.COLORMAP_INFERNO).reshape(256, 3)[:, ::-1]
"""RGB of 256 values, from black over red to yellow: as bright as they are large, also to the colour-blind."""


def overlay_heat(photo: Photo, heat: NDArray[np.float32], place: tuple[int, int, int, int]) -> bytes:
    """Lay a coarse map `[rows, columns]` in 0..1 over a place of the photo (x_min, y_min, x_max, y_max in its
    pixels), smooth and at half strength, from black over red to yellow; a PNG.
    """
    blended = np.array(photo.image.convert("RGB"))
    left, top, right, bottom = place
    rows, columns = heat.shape
    across = (np.arange(right - left) + 0.5) * columns / (right - left) - 0.5
    wide = np.stack([np.interp(across, np.arange(columns), each) for each in heat])
    down = np.clip((np.arange(bottom - top) + 0.5) * rows / (bottom - top) - 0.5, 0, rows - 1)
    above = np.floor(down).astype(np.intp)
    below, part = np.minimum(above + 1, rows - 1), (down - above)[:, None]
    # By strips, as masks.
    for start in range(0, bottom - top, _STRIP):
        strip = slice(start, start + _STRIP)
        fine = wide[above[strip]] * (1 - part[strip]) + wide[below[strip]] * part[strip]
        lying = blended[top:bottom][strip, left:right]
        lying[:] = lying // 2 + _HEAT[(fine * 255).astype(np.uint8)] // 2
    return rgb_png(blended)


def overlay_box(photo: Photo, box: tuple[float, float, float, float], caption: str) -> bytes:
    """Draw the box and its caption on the photo; a PNG."""
    image = photo.image.convert("RGB")
    draw = ImageDraw.Draw(image)
    stroke = max(2, min(image.size) // 150)
    font = ImageFont.load_default(max(12, min(image.size) // 24))
    draw.rectangle(box, outline=(255, 176, 0), width=stroke)
    anchor = (box[0] + 2 * stroke, box[1] + 2 * stroke)
    draw.rectangle(draw.textbbox(anchor, caption, font=font), fill=(0, 0, 0))
    draw.text(anchor, caption, fill=(255, 255, 255), font=font)
    return rgb_png(np.asarray(image))


_PNG_OPTIONS = (
    *(cv2.IMWRITE_PNG_COMPRESSION, 1),
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE),
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP),
)
"""One filter, runs and Huffman codes: of photos, as small as Pillow's PNGs in a quarter of the time."""


def rgb_png(pixels: NDArray[np.uint8]) -> bytes:
    """Encode RGB pixels, `[height, width, 3]`."""
    return cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), _PNG_OPTIONS)[1].tobytes()
