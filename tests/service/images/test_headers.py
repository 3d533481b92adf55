"""Headers: the size is Pillow's, the limits hold at their boundary, the price covers what decoding takes."""

import io
import math
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from service.errors import BrokenImage, ImageTooLarge, ImageTooSmall, NotAnImage
from service.images import codec, fitting, headers
from tests.images import SAMPLES, chunk, encode, heic, lossless_webp_header, noise, png
from tests.patches import P3
from tests.service.manifests import make_input
from tests.tiffs import tiff

MAX_PIXELS = 2**24


def jpeg_head(*segments: bytes, width: int = 40, height: int = 24) -> bytes:
    """Build the start of a JPEG, up to its frame's header."""
    frame = (
        b"\xff\xc0\x00\x11\x08" + height.to_bytes(2, "big") + width.to_bytes(2, "big") + b"\x03" + bytes(9)
    )
    return b"\xff\xd8" + b"".join(segments) + frame


@pytest.mark.parametrize("name", SAMPLES)
def test_size_is_that_of_the_decoder(name: str) -> None:
    """Whatever the format, the size that is checked is the size that Pillow decodes."""
    head = headers.read(SAMPLES[name], MAX_PIXELS)
    with Image.open(io.BytesIO(SAMPLES[name])) as opened:
        assert (head.width, head.height) == opened.size


@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"exif": b"Exif\0\0II*\0"}])
@pytest.mark.parametrize("size", [(5, 7), (300, 6), (1000, 999)])
def test_every_kind_of_webp_tells_its_size(size: tuple[int, int], options: dict[str, object]) -> None:
    """Lossy, lossless and extended WebPs tell their size at their own places."""
    head = headers.read(encode(Image.new("RGB", size), "WEBP", **options), MAX_PIXELS)
    assert (head.width, head.height) == size


def test_bombs_cost_nothing() -> None:
    """(D1, D2, D3) A few bytes that announce 81, 169 or 4295 megapixels are refused within 1 ms, unopened."""
    bombs = [
        lossless_webp_header(9000, 9000),
        png((13000, 13000), 1, 0, bytes(1625)),
        png((65535, 65535), 8, 2, b""),
    ]
    bombs.append(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", b"\x7f\xff\xff\xff\0\0\0\1\x08\2\0\0\0"))
    for data in bombs:
        started = time.thread_time()
        with pytest.raises(ImageTooLarge):
            headers.read(data, MAX_PIXELS)
        assert time.thread_time() - started < 0.001


@pytest.mark.parametrize(
    ("size", "error"),
    [
        ((4, 4), None),
        ((3, 4), ImageTooSmall),
        ((1, 1), ImageTooSmall),
        ((1, 60000), ImageTooLarge),
        ((60000, 1), ImageTooLarge),
        ((0, 0), ImageTooSmall),
        ((40, 0), ImageTooSmall),
        ((200, 4), None),
        ((201, 4), ImageTooSmall),
        ((4, 201), ImageTooSmall),
        ((16384, 1000), None),
        ((16385, 1000), ImageTooLarge),
        ((16384, 12288), None),
        ((16384, 12289), ImageTooLarge),
    ],
)
def test_limits_hold_at_their_boundary(size: tuple[int, int], error: type[Exception] | None) -> None:
    """(D21, D22, F17) Sides, their ratio and their product are taken at the limit and refused past it."""
    data = jpeg_head(width=size[0], height=size[1])
    if error is None:
        assert headers.read(data, MAX_PIXELS).width == size[0]
    else:
        with pytest.raises(error):
            headers.read(data, MAX_PIXELS)


def frame(kind: int, size: tuple[int, int], factors: bytes, scan: int | None = None) -> bytes:
    """Build the start of a JPEG: its frame, and a scan of that many components."""
    planes = b"".join(bytes((number, factor, 0)) for number, factor in enumerate(factors, 1))
    header = (
        b"\x08" + size[1].to_bytes(2, "big") + size[0].to_bytes(2, "big") + bytes([len(factors)]) + planes
    )
    found = b"\xff\xd8\xff" + bytes([kind]) + (len(header) + 2).to_bytes(2, "big") + header
    if scan is None:
        return found
    body = bytes([scan]) + b"\1\0" * scan + b"\0\x3f\0"
    return found + b"\xff\xda" + (len(body) + 2).to_bytes(2, "big") + body


_420, _444, _GREY, _CMYK = b"\x22\x11\x11", b"\x11\x11\x11", b"\x11", b"\x11\x11\x11\x11"


@pytest.mark.parametrize(
    ("kind", "factors", "scan", "most"),
    [
        (0xC0, _420, 3, 12 * MAX_PIXELS),
        (0xC0, _GREY, 1, 12 * MAX_PIXELS),
        (0xC1, _CMYK, 4, 12 * MAX_PIXELS),
        (0xC0, _420, 1, 4 * MAX_PIXELS),
        (0xC2, _420, 3, 4 * MAX_PIXELS),
        (0xC2, _444, 3, 2 * MAX_PIXELS),
        (0xC2, _GREY, 1, 6 * MAX_PIXELS),
        (0xC2, _CMYK, 4, 3 * MAX_PIXELS // 2),
        (0xC3, _444, 3, MAX_PIXELS),
        (0xC9, _420, 3, MAX_PIXELS),
        (0xCA, _420, 3, MAX_PIXELS),
    ],
)
def test_a_jpeg_is_limited_by_what_it_costs(kind: int, factors: bytes, scan: int, most: int) -> None:
    """(D4, D6) By its time where it is decoded at a fraction, by its memory where all of it is collected
    first, by its pixels where neither can be saved; the error says how many it may have.
    """
    side = math.isqrt(most)
    assert headers.read(frame(kind, (side, side), factors, scan), MAX_PIXELS).width == side
    with pytest.raises(ImageTooLarge, match=f"at most {most:,} are allowed here"):
        headers.read(frame(kind, (side + 2, side + 2), factors, scan), MAX_PIXELS)


@pytest.mark.parametrize("size", [(6000, 4000), (8064, 6048), (8160, 6120), (12000, 9000), (16320, 12240)])
def test_phones_photos_are_taken(size: tuple[int, int]) -> None:
    """(D4) Of 24, 48, 50, 108 and 200 megapixels, by default, for a few megabytes of memory each one asks."""
    head = headers.read(frame(0xC0, size, _420, 3), MAX_PIXELS)
    assert head.price(192, MAX_PIXELS) <= 12 * (size[0] // 8 + 1) * (size[1] // 8 + 1)
    # To draw on it, it is decoded at the largest size within the limit.
    assert head.price(None, MAX_PIXELS) <= 24 * MAX_PIXELS


@pytest.mark.parametrize("size", [(4096, 4097), (8064, 6048)])
def test_other_formats_are_limited_by_their_pixels(size: tuple[int, int]) -> None:
    """(D4) A PNG of a phone's size is refused, and the error says that a JPEG of that size would be taken."""
    words = "at most 16,777,216 .* or as a plain JPEG, which may have 201,326,592"
    with pytest.raises(ImageTooLarge, match=words):
        headers.read(png(size, 8, 2, b""), MAX_PIXELS)


@pytest.mark.parametrize(
    ("size", "side", "scale"),
    [
        ((4000, 3000), 192, 8),
        ((1000, 800), 192, 4),
        ((300, 200), 192, 1),
        ((4000, 3000), None, 1),
        ((8064, 6048), None, 2),
        ((12000, 9000), None, 4),
        ((16320, 12240), None, 4),
        ((16320, 12240), 4096, 4),
    ],
)
def test_a_fraction_is_small_enough_and_not_too_small(
    size: tuple[int, int], side: int | None, scale: int
) -> None:
    """(D6) Sides stay above what the model needs, and the pixels within what may be decoded."""
    assert headers.fraction(*size, side, MAX_PIXELS) == scale


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (frame(0xC5, (40, 40), _420), "hierarchical"),
        (frame(0xC0, (40, 40), b"\x11\x11"), "2 components"),
        (frame(0xC1, (40, 40), _420).replace(b"\x08\0\x28", b"\x0c\0\x28"), "12 bits"),
    ],
)
def test_rare_jpegs_are_refused_by_name(data: bytes, words: str) -> None:
    """(D13) Kinds of JPEG that no decoder here reads are not called damaged: the error names them."""
    with pytest.raises(NotAnImage, match=words):
        headers.read(data, MAX_PIXELS)


def test_a_mask_is_limited_by_its_pixels() -> None:
    """(D4) A photo of 50 megapixels has a mask, one of 108 has none."""
    headers.check_mask(headers.read(frame(0xC0, (8160, 6120), _420, 3), MAX_PIXELS), MAX_PIXELS)
    with pytest.raises(ImageTooLarge, match="at most 67,108,864"):
        headers.check_mask(headers.read(frame(0xC0, (12000, 9000), _420, 3), MAX_PIXELS), MAX_PIXELS)


def test_what_decoders_skip_is_skipped() -> None:
    """Fill bytes and stray data between a JPEG's segments do not hide its size."""
    data = jpeg_head(
        b"\xff\xe0\x00\x04\xff\xc0", b"\xff\xff\xff", b"\xfe\x00\x02", b"stray", b"\xff\x00\xff\xd0"
    )
    assert headers.read(data, MAX_PIXELS).width == 40


@pytest.mark.parametrize("filler", [b"\xff\xe0\x00\x02", b"\xff", b"\xff\x00", b"\xff\xe0\x00\x00"])
def test_a_long_way_to_the_size_is_cut_short(filler: bytes) -> None:
    """20 MB of empty segments or fill bytes cost the event loop at most a few milliseconds."""
    data = jpeg_head(filler * (20_000_000 // len(filler)))
    started = time.thread_time()
    with pytest.raises(BrokenImage):
        headers.read(data, MAX_PIXELS)
    assert time.thread_time() - started < 0.02


def test_a_second_size_is_refused() -> None:
    """(D1) A JPEG that first announces a small frame and then another is not decoded at the other's size."""
    start = SAMPLES["jpeg"].index(b"\xff\xc0")
    small = b"\xff\xc0\x00\x11\x08\x00\x08\x00\x08" + SAMPLES["jpeg"][start + 9 : start + 19]
    with pytest.raises(BrokenImage):
        codec.inspect(SAMPLES["jpeg"][:start] + small + SAMPLES["jpeg"][start:], MAX_PIXELS)


_PEAK = """
import sys
from pathlib import Path
from service import manifest
from service.images import codec, fitting, headers
spec = manifest.Input(height=64, width=64, channels=3, colour="rgb", resize="stretch", normalisation="")
data = sys.stdin.buffer.read()
whole = sys.argv[1] == "whole"
codec.warm_up_all()
def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
Path("/proc/self/clear_refs").write_text("5")
before = peak()
codec.read(data, spec, 2**24, whole=whole)
print(peak() - before, headers.read(data, 2**24).price(None if whole else fitting.least_side(spec), 2**24))
"""


@pytest.mark.parametrize("whole", ["small", "whole"])
@pytest.mark.parametrize(
    ("kind", "mode", "options"),
    [
        ("JPEG", "RGB", {}),
        ("JPEG", "CMYK", {"progressive": True, "subsampling": 0}),
        ("PNG", "RGBA", {"compress_level": 1}),
        ("PNG", "I;16", {"compress_level": 1}),
        ("WEBP", "RGB", {"lossless": True, "method": 0, "quality": 0}),
        ("WEBP", "RGBA", {"lossless": True, "method": 0, "quality": 0}),
    ],
)
def test_the_price_covers_the_peak(kind: str, mode: str, options: dict[str, object], whole: str) -> None:
    """(D4, D5, D6) Decoding, even on its side, never takes more memory than it was priced at."""
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = Image.fromarray(noise(300, 200)).resize((2000, 1500))
    picture = picture.convert("L").convert(mode) if mode == "I;16" else picture.convert(mode)
    data = encode(picture, kind, exif=exif, **options)
    done = subprocess.run([sys.executable, "-c", _PEAK, whole], input=data, capture_output=True, check=True)
    peak, price = map(int, done.stdout.split())
    assert peak <= price + 2**20


@pytest.mark.parametrize(
    ("kind", "mode", "options"),
    [
        ("GIF", "P", {"transparency": 1}),
        ("BMP", "RGB", {}),
        ("TIFF", "RGBA", {}),
        ("TIFF", "I;16", {}),
        ("TIFF", "CMYK", {"compression": "tiff_lzw"}),
        ("AVIF", "RGBA", {"speed": 10, "subsampling": "4:4:4"}),
        ("HEIF", "RGBA", {"quality": 50, "chroma": 420}),
        ("PNG", "RGB", {"icc_profile": P3, "compress_level": 1}),
        ("JPEG", "RGB", {"icc_profile": P3}),
    ],
)
def test_the_price_covers_the_peak_of_rarer_formats(kind: str, mode: str, options: dict[str, object]) -> None:
    """(D4) Nor does decoding one of the rarer formats, or converting colours."""
    picture = Image.fromarray(noise(300, 200)).resize((1200, 900))
    picture = picture.convert("L").convert(mode) if mode in ("I;16", "P") else picture.convert(mode)
    data = heic(picture, b"", **options) if kind == "HEIF" else encode(picture, kind, **options)
    done = subprocess.run([sys.executable, "-c", _PEAK, "small"], input=data, capture_output=True, check=True)
    peak, price = map(int, done.stdout.split())
    assert peak <= price + 2**20


@pytest.mark.parametrize(
    "data",
    [
        b"P3 1000 700 65535\n" + b"65535 " * 2_100_000,
        b"P6 1000 700 65535\n" + bytes(4_200_000),
        b"P1 1000 700\n" + b"0 1 " * 350_000,
        tiff(np.zeros((700, 1000, 4), np.uint16), 2, deflate=True, more=[(338, 3, [2])]),
    ],
    ids=["text", "16 bits", "bits", "TIFF"],
)
def test_the_price_covers_the_peak_of_deep_pixels(data: bytes) -> None:
    """(D4) Nor do 16 bits, or numbers written as text."""
    done = subprocess.run([sys.executable, "-c", _PEAK, "small"], input=data, capture_output=True, check=True)
    peak, price = map(int, done.stdout.split())
    assert peak <= price + 2**20


def test_a_photo_for_a_tensor_is_cheap() -> None:
    """(D6) A JPEG of 12 megapixels that is decoded at an eighth is priced below a megabyte per megapixel."""
    head = headers.read(jpeg_head(width=4000, height=3000), MAX_PIXELS)
    small = head.price(fitting.least_side(make_input(32, 32, 3)), MAX_PIXELS)
    assert small < 12_000_000 < head.price(None, MAX_PIXELS)
