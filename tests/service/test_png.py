"""PNG: what is damaged or missing is refused, not shown as black."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from service import images
from service.errors import BrokenImage
from tests.service.test_images import MAX_PIXELS, RGB, chunk, noise, odd_metadata

START = b"\x89PNG\r\n\x1a\n"
END = chunk(b"IEND", b"")

KINDS = [(1, 0), (2, 0), (8, 0), (16, 0), (8, 2), (16, 2), (4, 3), (8, 3), (8, 4), (8, 6), (16, 6)]
"""Bits and type of colour."""
BITS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
WIDTH, HEIGHT = 9, 7


def file(stream: bytes, depth: int = 8, kind: int = 2, interlace: int = 0, height: int = HEIGHT) -> bytes:
    header = struct.pack(">IIBBBBB", WIDTH, height, depth, kind, 0, 0, interlace)
    palette = chunk(b"PLTE", bytes(range(48))) if kind == 3 else b""
    return START + chunk(b"IHDR", header) + palette + chunk(b"IDAT", stream) + END


def rows(depth: int, kind: int, interlace: int, height: int, value: int) -> bytes:
    """Return the filtered rows of an image all of whose bytes are `value`."""
    row = (WIDTH * depth * BITS[kind] + 7) // 8
    if not interlace:
        return (b"\0" + bytes([value]) * row) * height
    found = b""
    for top, down, left, right in (
        (0, 8, 0, 8),
        (0, 8, 4, 8),
        (4, 8, 0, 4),
        (0, 4, 2, 4),
        (2, 4, 0, 2),
        (0, 2, 1, 2),
        (1, 2, 0, 1),
    ):
        columns = len(range(left, WIDTH, right))
        row = (columns * depth * BITS[kind] + 7) // 8
        found += (b"\0" + bytes([value]) * row) * len(range(top, height, down))
    return found


def decode(data: bytes) -> None:
    images.read(data, RGB, MAX_PIXELS, whole=False)


@pytest.mark.parametrize("value", [0, 255])
@pytest.mark.parametrize("height", [HEIGHT, HEIGHT + 1])
@pytest.mark.parametrize("interlace", [0, 1])
@pytest.mark.parametrize(("depth", "kind"), KINDS)
def test_missing_rows_are_never_answered(
    depth: int, kind: int, interlace: int, height: int, value: int
) -> None:
    """(D11) All rows there: taken, even black ones. One byte, a row or all missing, though all checksums are
    right: refused.
    """
    whole = rows(depth, kind, interlace, height, value if kind != 3 else value & 0x11)
    decode(file(zlib.compress(whole), depth, kind, interlace, height))
    for count in (len(whole) - 1, len(whole) - 5, len(whole) // 2, 1, 0):
        with pytest.raises(BrokenImage):
            decode(file(zlib.compress(whole[:count]), depth, kind, interlace, height))


def large(bottom: int, cut: int) -> bytes:
    """Build a PNG of noise with a last row of one value, without the last bytes of its rows."""
    pixels = np.concatenate((np.zeros((600, 1), np.uint8), noise(300, 600).reshape(600, -1)), axis=1)
    pixels[-1] = bottom
    stream = zlib.compress(pixels.tobytes()[: pixels.size - cut])
    header = struct.pack(">IIBBBBB", 300, 600, 8, 2, 0, 0, 0)
    pieces = [chunk(b"IDAT", stream[at : at + 100_000]) for at in range(0, len(stream), 100_000)]
    return START + chunk(b"IHDR", header) + b"".join(pieces) + END


def test_rows_are_counted_over_many_chunks() -> None:
    """(D11) Where the pixels are spread over chunks, a black last row is taken, and a missing one is not."""
    decode(large(0, 0))
    for cut in (1, 901, 100_000):
        with pytest.raises(BrokenImage):
            decode(large(0, cut))


@odd_metadata
def test_a_wrong_checksum_of_pixels_is_refused() -> None:
    """(D11) Pixels whose checksum is wrong are refused, though they could be inflated."""
    data = bytearray(file(zlib.compress(rows(8, 2, 0, HEIGHT, 7))))
    for place in (data.index(b"IEND") - 5, data.index(b"IDAT") + 20):
        damaged = data.copy()
        damaged[place] ^= 1
        with pytest.raises(BrokenImage):
            decode(bytes(damaged))


def test_a_missing_end_is_refused_and_what_follows_the_end_is_not_read() -> None:
    """(D11, D14) Without its last chunk a file is cut short; behind it may be anything."""
    data = file(zlib.compress(rows(8, 2, 0, HEIGHT, 7)))
    decode(data + b"PK\x03\x04 anything")
    for length in range(len(data) - 12, len(data) - 4):
        with pytest.raises(BrokenImage):
            decode(data[:length])


def test_an_animation_costs_one_frame() -> None:
    """(D20) Of an animation of 300 frames only the first is decoded, in PNG and in WebP."""
    frames = [Image.fromarray(np.roll(noise(), place, 1)) for place in range(300)]
    for kind, options in (("PNG", {}), ("WEBP", {"lossless": True, "method": 0, "quality": 0})):
        buffer = io.BytesIO()
        frames[0].save(buffer, kind, save_all=True, append_images=frames[1:], duration=10, **options)
        photo, _ = images.read(buffer.getvalue(), RGB, MAX_PIXELS, whole=True)
        assert (np.asarray(photo.image) == noise()).all()


def test_many_chunks_of_text_take_no_time() -> None:
    """(D9) 20,000 chunks of text are walked over in a fraction of a second."""
    data = file(zlib.compress(rows(8, 2, 0, HEIGHT, 7)))
    text = chunk(b"tEXt", b"k\0v") * 20_000
    decode(data[:33] + text + data[33:])


def test_the_plain_way_gives_opencv_no_text() -> None:
    """What `as_tensor` hands to OpenCV has a header, pixels and an end, and nothing else."""
    from service import png

    data = file(zlib.compress(rows(8, 2, 0, HEIGHT, 7)))
    text = chunk(b"tEXt", b"k\0v") + chunk(b"pHYs", bytes(9))
    found = png.plain(data[:33] + text + data[33:-12] + text + data[-12:], HEIGHT * (1 + 3 * WIDTH))
    assert found == (rows(8, 2, 0, HEIGHT, 7), data)
