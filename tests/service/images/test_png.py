"""The short way for a PNG that is the model's input already: the same pixels as the long way, or none."""

import io
import struct

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from service.images import codec
from service.manifest import Input
from tests.images import chunk, plain_png
from tests.service.manifests import make_input

WIDTH, HEIGHT = 7, 5
GREY, RGB = make_input(HEIGHT, WIDTH, 1), make_input(HEIGHT, WIDTH, 3)

specs = st.sampled_from([GREY, RGB])
filters = st.lists(st.integers(0, 4), min_size=HEIGHT, max_size=HEIGHT)


def filtered(tensor: NDArray[np.uint8], kinds: list[int]) -> bytes:
    """Filter each row with its own of the five filters (PNG, section 9)."""
    height, width, channels = tensor.shape
    values = np.zeros((height + 1, (width + 1) * channels), np.int64)
    values[1:, channels:] = tensor.reshape(height, -1)
    rows = []
    for row, kind in enumerate(kinds, 1):
        here, above = values[row, channels:], values[row - 1, channels:]
        left, corner = values[row, :-channels], values[row - 1, :-channels]
        distance = np.abs(left + above - corner - np.stack((left, above, corner)))
        paeth = np.stack((left, above, corner))[distance.argmin(0), np.arange(len(here))]
        expected = (0 * here, left, above, (left + above) // 2, paeth)[kind]
        rows.append(bytes([kind]) + ((here - expected) % 256).astype(np.uint8).tobytes())
    return b"".join(rows)


def tensors(spec: Input) -> st.SearchStrategy[NDArray[np.uint8]]:
    size = HEIGHT * WIDTH * spec.channels
    shape = (HEIGHT, WIDTH, spec.channels)
    return st.binary(min_size=size, max_size=size).map(
        lambda data: np.frombuffer(data, np.uint8).reshape(shape)
    )


def drawn(spec: Input) -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, (HEIGHT, WIDTH, spec.channels), np.uint8)


def long_way(data: bytes, spec: Input) -> NDArray[np.uint8]:
    return codec.fit(codec.decode(codec.inspect(data, 10_000), spec), spec)


@given(specs.flatmap(lambda spec: st.tuples(st.just(spec), tensors(spec))), filters)
def test_every_filter_gives_the_pixels(case: tuple[Input, NDArray[np.uint8]], kinds: list[int]) -> None:
    """Rows filtered in any of the five ways come out as they went in, by the short way and by the long."""
    spec, tensor = case
    data = plain_png(spec, filtered(tensor, kinds))
    found = codec.as_tensor(data, spec)
    assert found is not None
    np.testing.assert_array_equal(found, tensor)
    np.testing.assert_array_equal(long_way(data, spec), tensor)


@pytest.mark.parametrize("spec", [GREY, RGB], ids=["grey", "rgb"])
@pytest.mark.parametrize("level", [0, 1, 6, 9])
def test_what_pillow_writes_is_taken(spec: Input, level: int) -> None:
    """A file by Pillow, at any compression, with a resolution and a text in it."""
    tensor = drawn(spec)
    buffer = io.BytesIO()
    image = Image.fromarray(tensor.squeeze())
    image.info["Comment"] = "a text"
    image.save(buffer, "PNG", compress_level=level, dpi=(72, 72))
    found = codec.as_tensor(buffer.getvalue(), spec)
    assert found is not None
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, tensor)


@settings(max_examples=300)
@given(specs, st.integers(0, 10_000), st.integers(1, 255))
@example(GREY, 24, 3)
def test_no_flipped_byte_changes_a_pixel(spec: Input, place: int, mask: int) -> None:
    """A byte changed anywhere: the short way leaves it to the long one."""
    data = bytearray(plain_png(spec, filtered(drawn(spec), [4, 3, 2, 1, 0])))
    data[place % len(data)] ^= mask
    assert codec.as_tensor(bytes(data), spec) is None


@pytest.mark.parametrize("spec", [GREY, RGB], ids=["grey", "rgb"])
def test_no_part_of_a_file_is_taken(spec: Input) -> None:
    """A file cut anywhere, or with something behind its end, is left to the long way."""
    data = plain_png(spec, filtered(drawn(spec), [0] * HEIGHT))
    assert codec.as_tensor(data, spec) is not None
    assert not any(codec.as_tensor(data[:length], spec) is not None for length in range(len(data)))
    assert codec.as_tensor(data + b"\0", spec) is None


_LINES = filtered(drawn(GREY), [1] * HEIGHT)


@pytest.mark.parametrize(
    "data",
    [
        plain_png(GREY, _LINES[:-1]),
        plain_png(GREY, _LINES + b"\0"),
        plain_png(GREY, _LINES[: -WIDTH - 1]),
        plain_png(GREY, b"\5" + _LINES[1:]),
        plain_png(GREY, _LINES, interlace=1),
        plain_png(GREY, _LINES, depth=16),
        plain_png(GREY, _LINES, depth=4),
        plain_png(GREY, _LINES, extra=chunk(b"tRNS", b"\0\7")),
        plain_png(GREY, _LINES, extra=chunk(b"gAMA", struct.pack(">I", 100_000))),
        plain_png(GREY, _LINES, extra=chunk(b"eXIf", b"II*\0")),
        plain_png(GREY, _LINES, extra=chunk(b"acTL", struct.pack(">II", 1, 0))),
        plain_png(GREY, _LINES, extra=chunk(b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 0, 0, 0, 0))),
        plain_png(GREY, _LINES, extra=chunk(b"IEND", b"")),
        plain_png(GREY, _LINES, extra=chunk(b"tEXt", b"k\0" + b"x" * codec.SMALL_BYTES)),
        plain_png(RGB, filtered(drawn(RGB), [0] * HEIGHT)),
        b"",
        b"\x89PNG\r\n\x1a\n",
    ],
    ids=[
        "pixels short by a byte",
        "a byte too many",
        "a row short",
        "a sixth filter",
        "interlaced",
        "16 bits",
        "4 bits",
        "transparency",
        "gamma",
        "orientation",
        "animation",
        "two headers",
        "two ends",
        "large",
        "other colours",
        "empty",
        "signature only",
    ],
)
def test_all_else_is_left_to_the_long_way(data: bytes) -> None:
    """Whatever is not plain and whole."""
    assert codec.as_tensor(data, GREY) is None


def test_other_sizes_are_left_to_the_long_way() -> None:
    """An image that would have to be fitted."""
    data = plain_png(GREY, _LINES)
    assert codec.as_tensor(data, make_input(WIDTH, HEIGHT, 1)) is None
    assert codec.as_tensor(data, GREY) is not None
