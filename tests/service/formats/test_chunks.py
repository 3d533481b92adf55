"""PNG: what is damaged or missing is refused, not shown as black."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.errors import BrokenImage
from service.images import codec
from service.images import png as plain
from tests.images import chunk, noise, odd_metadata, png
from tests.service.manifests import make_input
from training.datasets.dataset import DatasetError
from training.datasets.reading import read_image

MAX_PIXELS = 2**24
RGB = make_input(32, 32, 3)

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
    codec.read(data, RGB, MAX_PIXELS, whole=False)


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
        photo, _ = codec.read(buffer.getvalue(), RGB, MAX_PIXELS, whole=True)
        assert (np.asarray(photo.image) == noise()).all()


def test_many_chunks_of_text_take_no_time() -> None:
    """(D9) 20,000 chunks of text are walked over in a fraction of a second."""
    data = file(zlib.compress(rows(8, 2, 0, HEIGHT, 7)))
    text = chunk(b"tEXt", b"k\0v") * 20_000
    decode(data[:33] + text + data[33:])


def test_the_plain_way_gives_opencv_no_text() -> None:
    """What `as_tensor` hands to OpenCV has a header, pixels and an end, and nothing else."""
    data = file(zlib.compress(rows(8, 2, 0, HEIGHT, 7)))
    text = chunk(b"tEXt", b"k\0v") + chunk(b"pHYs", bytes(9))
    found = plain.plain(data[:33] + text + data[33:-12] + text + data[-12:], HEIGHT * (1 + 3 * WIDTH))
    assert found == (rows(8, 2, 0, HEIGHT, 7), data)


def damaged(kind: bytes, body: bytes) -> bytes:
    """Build a chunk with a wrong checksum."""
    whole = chunk(kind, body)
    return whole[:-1] + bytes([whole[-1] ^ 1])


def read_by_training(data: bytes, folder: Path) -> NDArray[np.uint8]:
    path = folder / "photo.png"
    path.write_bytes(data)
    return read_image(path, _SPEC, 3)


_SPEC = make_input(8, 8, 3)
_RAMP = bytes(range(192))
_PLAIN = png((8, 8), 8, 2, _RAMP[:24])

ANCILLARY = {
    b"iCCP": b"icc\0\0" + zlib.compress(b"not a profile"),
    b"tEXt": b"Comment\0made by hand",
    b"zTXt": b"k\0\0" + zlib.compress(b"text"),
    b"iTXt": b"k\0\0\0\0\0text",
    b"gAMA": struct.pack(">I", 45_455),
    b"cHRM": bytes(32),
    b"sRGB": b"\0",
    b"pHYs": bytes(9),
    b"tIME": bytes(7),
    b"bKGD": bytes(6),
    b"acTL": struct.pack(">II", 2, 0),
    b"eXIf": b"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0",
    b"prVt": b"anything",
}


@pytest.mark.parametrize("kind", ANCILLARY)
def test_an_ancillary_chunk_with_a_wrong_checksum_is_dropped(kind: bytes, tmp_path: Path) -> None:
    """(D11) Wherever it stands: the tensor is that of the file without it, as served and as trained."""
    _, expected = codec.read(_PLAIN, _SPEC, MAX_PIXELS, whole=False)
    pixels, end = _PLAIN.index(b"IDAT") - 4, _PLAIN.index(b"IEND") - 4
    for at in (33, pixels, end):
        data = _PLAIN[:at] + damaged(kind, ANCILLARY[kind]) + _PLAIN[at:]
        photo, found = codec.read(data, _SPEC, MAX_PIXELS, whole=False)
        assert (photo.width, photo.height) == (8, 8)
        assert (found == expected).all()
        assert (read_by_training(data, tmp_path) == expected).all()
    many = _PLAIN[:33] + damaged(kind, ANCILLARY[kind]) * 3 + chunk(b"tEXt", b"k\0v") + _PLAIN[33:]
    assert (codec.read(many, _SPEC, MAX_PIXELS, whole=False)[1] == expected).all()


@pytest.mark.parametrize("kind", ANCILLARY)
@pytest.mark.parametrize("length", [0, 1, 300])
def test_a_malformed_ancillary_chunk_is_passed_over(kind: bytes, length: int, tmp_path: Path) -> None:
    """One with a right checksum that has not what its kind always has hides no pixels."""
    _, expected = codec.read(_PLAIN, _SPEC, MAX_PIXELS, whole=False)
    # A long eXIf is a valid one.
    content = (ANCILLARY[kind] + b"x" * 300)[:length] if kind != b"eXIf" else b"x" * length
    data = _PLAIN[:33] + chunk(kind, content) + _PLAIN[33:]
    assert (codec.read(data, _SPEC, MAX_PIXELS, whole=False)[1] == expected).all()
    assert (read_by_training(data, tmp_path) == expected).all()


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (b"IHDR", _PLAIN[:32] + b"\0" + _PLAIN[33:]),
        (b"PLTE", png((8, 8), 8, 3, bytes(8), damaged(b"PLTE", b"\1\2\3"))),
        (b"tRNS", png((8, 8), 8, 0, bytes(8), damaged(b"tRNS", b"\0\0"))),
        (b"IDAT", _PLAIN[: _PLAIN.index(b"IEND") - 5] + b"\0" + _PLAIN[_PLAIN.index(b"IEND") - 4 :]),
        (b"IEND", _PLAIN[:-1] + b"\0"),
        (b"CRIT", png((8, 8), 8, 0, bytes(8), damaged(b"CRIT", b""))),
    ],
)
def test_a_wrong_checksum_of_what_is_needed_is_named(kind: bytes, data: bytes, tmp_path: Path) -> None:
    """(D11) A critical chunk, or one whose loss shows hidden colours: refused, and the error says why."""
    with pytest.raises(BrokenImage, match=f"checksum of its {kind.decode()} chunk is wrong"):
        codec.read(data, _SPEC, MAX_PIXELS, whole=False)
    with pytest.raises(DatasetError, match=f"checksum of its {kind.decode()} chunk is wrong"):
        read_by_training(data, tmp_path)


def trns(*values: int) -> bytes:
    return chunk(b"tRNS", struct.pack(f">{len(values)}H", *values))


BY_VALUE: dict[str, tuple[int, int, bytes, bytes, int, int | tuple[int, ...]]] = {
    "grey 1, black": (1, 0, b"\x0f", trns(0), 255, 255),
    "grey 1, white": (1, 0, b"\x0f", trns(1), 0, 255),
    "grey 2": (2, 0, b"\x55\xaa", trns(1), 255, 170),
    "grey 4": (4, 0, b"\x77\x77\x11\x11", trns(7), 255, 17),
    "grey 8": (8, 0, b"\7" * 4 + b"\x10" * 4, trns(7), 255, 16),
    "grey 8, of 16": (8, 0, b"\7" * 4 + b"\x10" * 4, trns(0x107), 255, 16),
    "grey 4, of 16": (4, 0, b"\x77\x77\x11\x11", trns(0x107), 255, 17),
    "grey 16": (16, 0, b"\1\7" * 4 + b"\1\x08" * 4, trns(0x107), 255, 1),
    "grey 16, black": (16, 0, b"\0\0" * 4 + b"\0\xff" * 4, trns(0), 255, 1),
    "grey 16, white": (16, 0, b"\xff\xff" * 4 + b"\xff\0" * 4, trns(0xFFFF), 255, 254),
    "rgb 8": (8, 2, b"\1\1\1" * 4 + b"\1\1\2" * 4, trns(1, 1, 1), 255, (1, 1, 2)),
    "rgb 8, of 16": (8, 2, b"\1\1\1" * 4 + b"\1\1\2" * 4, trns(0x101, 1, 0x301), 255, (1, 1, 2)),
    "rgb 16": (16, 2, b"\4\1\4\2\4\3" * 4 + b"\4\1\4\2\4\2" * 4, trns(0x401, 0x402, 0x403), 255, 4),
    "rgb 16, black": (16, 2, bytes(24) + b"\0\1" * 12, trns(0, 0, 0), 255, 0),
    "palette": (
        8,
        3,
        b"\0" * 4 + b"\1" * 4,
        chunk(b"PLTE", b"\1\2\3\7\7\7") + chunk(b"tRNS", b"\0"),
        255,
        7,
    ),
}


@pytest.mark.parametrize("name", BY_VALUE)
def test_what_is_clear_by_its_value_is_white(name: str, tmp_path: Path) -> None:
    """(D19) At every depth just the pixels of the value that is clear are white, as served and as trained."""
    depth, kind, row, extra, left, right = BY_VALUE[name]
    data = png((8, 8), depth, kind, row, extra)
    expected = np.empty((8, 8, 3), np.uint8)
    expected[:, :4], expected[:, 4:] = left, right
    for whole in (False, True):
        assert (codec.read(data, _SPEC, MAX_PIXELS, whole=whole)[1] == expected).all()
    assert (read_by_training(data, tmp_path) == expected).all()


def test_what_is_clear_by_its_value_is_turned_too(tmp_path: Path) -> None:
    """(D15, D19) An orientation is applied to an image with a transparent value of 16 bits."""
    rows = np.zeros((8, 8), ">u2")
    rows[0] = 0x1234
    pixels = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", 8, 8, 16, 0, 0, 0, 0)
    data = START + chunk(b"IHDR", header) + trns(0x1234) + chunk(b"eXIf", ANCILLARY[b"eXIf"])
    data += chunk(b"IDAT", zlib.compress(pixels)) + END
    expected = np.zeros((8, 8, 3), np.uint8)
    expected[:, 7] = 255
    assert (codec.read(data, _SPEC, MAX_PIXELS, whole=False)[1] == expected).all()
    assert (read_by_training(data, tmp_path) == expected).all()
