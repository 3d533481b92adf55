"""Images of every kind to post or to train on: drawn here, encoded by libraries or byte by byte."""

import io
import struct
import zlib

import numpy as np
import pillow_heif
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.manifest import Input

Pixels = NDArray[np.uint8]

# What Pillow warns of is silenced for the process; pytest's own filters are in the way of that.
odd_metadata = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(width: int = 40, height: int = 24) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(size: tuple[int, int], depth: int, kind: int, row: bytes, extra: bytes = b"") -> bytes:
    """Build a PNG all of whose rows are the same; `extra` goes between header and pixels."""
    header = struct.pack(">IIBBBBB", *size, depth, kind, 0, 0, 0)
    pixels = zlib.compress((b"\0" + row) * min(size[1], 64))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def plain_png(
    spec: Input, scanlines: bytes, *, extra: bytes = b"", depth: int = 8, interlace: int = 0
) -> bytes:
    """Wrap scanlines of a model's input into a PNG, in two chunks of pixels."""
    kind = 0 if spec.channels == 1 else 2
    packed = zlib.compress(scanlines)
    half = len(packed) // 2
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", struct.pack(">IIBBBBB", spec.width, spec.height, depth, kind, 0, 0, interlace)),
            extra,
            chunk(b"IDAT", packed[:half]),
            chunk(b"IDAT", packed[half:]),
            chunk(b"IEND", b""),
        )
    )


def lossless_webp_header(width: int, height: int) -> bytes:
    bits = struct.pack("<I", (width - 1) | ((height - 1) << 14))
    return b"RIFF" + struct.pack("<I", 26) + b"WEBPVP8L" + struct.pack("<I", 13) + b"\x2f" + bits + b"\0" * 9


def orientation_block(value: bytes, kind: int = 3, count: int = 1) -> bytes:
    """Build an EXIF block whose orientation is of any type."""
    entry = struct.pack("<HHI", 0x0112, kind, count) + value.ljust(4, b"\0")
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 1) + entry + b"\0\0\0\0"


SAMPLES = {
    "jpeg": encode(Image.fromarray(noise()), "JPEG"),
    "progressive": encode(Image.fromarray(noise()), "JPEG", progressive=True),
    "turned": encode(Image.fromarray(noise()), "JPEG", exif=orientation_block(b"\6")),
    "png": encode(Image.fromarray(noise()), "PNG"),
    "palette": encode(Image.fromarray(noise()).quantize(16), "PNG", transparency=bytes(range(16))),
    "deep": encode(Image.fromarray(noise()[..., 0].astype(np.uint16) * 257), "PNG"),
    "webp": encode(Image.fromarray(noise()), "WEBP"),
    "lossless": encode(Image.fromarray(noise()), "WEBP", lossless=True, exif=orientation_block(b"\6")),
}


def heic(image: Image.Image, exif: bytes = b"", **options: object) -> bytes:
    buffer = io.BytesIO()
    file = pillow_heif.from_pillow(image)
    if exif:
        file.info["exif"] = exif
    file.save(buffer, **options)
    return buffer.getvalue()


def drawn(height: int = 37, width: int = 53) -> Pixels:
    """Draw a gradient with a square of noise, no value of it 0."""
    y, x = np.mgrid[0:height, 0:width]
    picture = np.stack([x * 4 + 1, y * 6 + 1, x + y + 1], -1).astype(np.uint8)
    picture[10:20, 10:20] = np.random.default_rng(0).integers(1, 256, (10, 10, 3))
    return picture


DRAWN = drawn()
PICTURE = Image.fromarray(DRAWN)
PALETTE = PICTURE.quantize(64)

WHOLE: dict[str, bytes] = {
    "gif": encode(PALETTE, "GIF", interlace=0),
    "interlaced gif": encode(PALETTE, "GIF", interlace=1),
    "bmp": encode(PICTURE, "BMP"),
    "palette bmp": encode(PALETTE, "BMP"),
    "tiff": encode(PICTURE, "TIFF"),
    "lzw tiff": encode(PICTURE, "TIFF", compression="tiff_lzw"),
    "deflate tiff": encode(PICTURE, "TIFF", compression="tiff_adobe_deflate"),
    "packbits tiff": encode(PICTURE, "TIFF", compression="packbits"),
    "palette tiff": encode(PALETTE, "TIFF"),
    "ppm": encode(PICTURE, "PPM"),
}

EXPECTED = {
    name: np.asarray(PALETTE.convert("RGB")) if "gif" in name or "palette" in name else DRAWN
    for name in WHOLE
}

LOSSY = {
    "avif": encode(PICTURE, "AVIF", quality=100, subsampling="4:4:4"),
    "heic": heic(PICTURE, quality=95, chroma=444),
    "jpeg tiff": encode(PICTURE, "TIFF", compression="jpeg", quality=98),
}
