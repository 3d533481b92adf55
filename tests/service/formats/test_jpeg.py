"""JPEG: answered where every row is there, refused where one is not, whatever follows (D10)."""

import contextlib
import io
import random
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service.errors import BrokenImage
from service.formats.scans import Layout
from service.images import codec
from tests.images import encode
from tests.service.manifests import make_input
from training import golden
from training.datasets.dataset import DatasetError
from training.datasets.reading import read_image

MAX_PIXELS = 2**24

END = b"\xff\xd9"
SPEC = make_input(16, 16, 3)
FIXTURES = Path(__file__).parents[2] / "fixtures" / "jpeg"
_PET = golden.draw_pet(np.random.default_rng(1), 330, 210)
_PAGE = np.full((200, 160, 3), 255, np.uint8)
_PAGE[20:60, 10:150] = _PET[:40, :140]


def drawn(pixels: np.ndarray, mode: str = "RGB", **options: object) -> bytes:
    return encode(Image.fromarray(pixels).convert(mode), "JPEG", **options)


WHOLE = {
    "baseline": drawn(_PET),
    "optimised": drawn(_PET, optimize=True, quality=95, subsampling=0),
    "grey": drawn(_PET, "L"),
    "cmyk": drawn(_PET, "CMYK"),
    "progressive": drawn(_PET, progressive=True),
    "restarts": drawn(_PET, restart_marker_rows=1),
    "many restarts": drawn(_PET, restart_marker_blocks=3),
    "progressive restarts": drawn(_PET, progressive=True, restart_marker_rows=2),
    "white below": drawn(_PAGE),
    "white below, optimised": drawn(_PAGE, optimize=True),
    "white below, progressive": drawn(_PAGE, progressive=True),
    "black": drawn(np.zeros((80, 90, 3), np.uint8), optimize=True),
    "tiny": drawn(_PET[:5, :4]),
    **{file.stem: file.read_bytes() for file in sorted(FIXTURES.glob("*.jpg")) if file.stem != "baseline"},
}
BEHIND = {
    "nothing": b"",
    "zeros": bytes(5000),
    "ones": b"\xff" * 5000,
    "stuffed ones": b"\xff\0" * 2000,
    "stuffed ones, odd": b"\0\xff" * 2000,
    "the end again": END * 3,
    "zeros and the end": bytes(512) + END,
    "fill bytes and the end": b"\xff\xff\xff" + END,
    "a few bytes and the end": b"\0\x11\x22" + END,
    "another": WHOLE["grey"],
    "a few zeros": bytes(16),
    "a few words": b"trailing garbage",
    "a few bytes": random.Random(1).randbytes(20),
    "text": b"<html><body>504 Gateway Time-out</body></html>\r\n",
}


def tensor(data: bytes, whole: bool = False) -> np.ndarray:
    photo = codec.decode(codec.inspect(data, MAX_PIXELS), SPEC, whole=whole)
    return np.asarray(photo.image)


def reference(data: bytes) -> np.ndarray:
    """Decode as Pillow does by itself."""
    with Image.open(io.BytesIO(data)) as opened:
        return np.asarray(opened.convert("RGB"))


@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("name", WHOLE)
def test_what_has_every_row_is_answered(name: str, behind: str) -> None:
    """Without its end mark, and with it, whatever stands behind: the pixels are those of the whole file."""
    data = WHOLE[name]
    expected = reference(data)
    if name == "arithmetic_progressive" and behind in ("a few words", "a few bytes"):
        pytest.skip("nothing tells these from its codes")
    assert (tensor(data[:-2] + BEHIND[behind], whole=True) == expected).all()
    assert (tensor(data + BEHIND[behind], whole=True) == expected).all()


def test_random_bytes_behind_the_end_are_no_damage() -> None:
    """Behind the end mark anything may stand, with all its chance markers; so do films behind photos."""
    for name, data in WHOLE.items():
        behind = b"\0\0\0\x18ftypmp42" + random.Random(name).randbytes(20_000) + END
        assert (tensor(data + behind, whole=True) == reference(data)).all(), name


@pytest.mark.parametrize("name", ["baseline", "optimised", "grey", "progressive", "restarts"])
def test_random_bytes_in_place_of_the_end_are_no_damage(name: str) -> None:
    """Without an end mark, chance markers, with what they say as their length, end no picture early."""
    data, rng = WHOLE[name], random.Random(name)
    expected = reference(data)
    for marker in (b"", b"\xff\x3a", b"\xff\xc5", b"\xff\xc4", b"\xff\xe1", b"\xff\xd8"):
        behind = rng.randbytes(40).replace(b"\xff", b"") + marker + bytes(2) + rng.randbytes(2000)
        assert (tensor(data[:-2] + behind, whole=True) == expected).all(), marker


def test_zeros_that_cannot_be_pixels_are_refused() -> None:
    """A sector of zeros amid a photo is a hole, wherever the rest happens to end."""
    data = WHOLE["baseline"]
    start = data.index(b"\xff\xda") + 14
    layout = Layout(data)
    assert layout.first.busy
    assert not layout.first.has_hole(data, len(data))
    for at in range(start, len(data) - 600, 97):
        broken = data[:at] + bytes(512) + data[at + 512 :]
        assert layout.first.has_hole(broken, len(data)), at
        with pytest.raises(BrokenImage, match="not every row"):
            tensor(broken)
    # Where zeros end a block, as in a chroma table by itself, a plain surface may be made of them.
    assert not Layout(WHOLE["black"]).first.busy


@pytest.mark.parametrize("name", ["baseline", "optimised"])
def test_its_own_data_again_is_no_end(name: str) -> None:
    """A photo cut short and filled with what stood before the cut is refused, unless it fits to the byte."""
    data = WHOLE[name]
    start = data.rindex(b"\xff\xda") + 14
    answered, tried = 0, 0
    for cut in range(start + (len(data) - start) // 3, len(data) - 600, 131):
        for length in range(len(data) - cut - 200, len(data) - cut + 900, 97):
            piece = data[max(start, cut - 512) : cut]
            with contextlib.suppress(BrokenImage):
                tensor(data[:cut] + (piece * (length // len(piece) + 1))[:length])
                answered += 1
            tried += 1
    assert answered <= tried // 50


def between_scans(data: bytes) -> list[range]:
    """Return where a file may be cut without cutting a scan."""
    found = []
    for scan in re.finditer(rb"\xff\xda", data):
        table = max(data.rfind(b"\xff\xc4", 0, scan.start()), data.rfind(b"\xff\xda", 0, scan.start()) + 20)
        found.append(range(table - 16, scan.end() + 16))
    return found


@pytest.mark.parametrize("name", sorted(set(WHOLE) - {"black", "tiny"}))
@pytest.mark.parametrize("behind", BEHIND)
def test_what_lacks_rows_is_never_answered(name: str, behind: str) -> None:
    """Cut anywhere before its last rows, with anything behind: refused, as JSON and drawn upon."""
    data = WHOLE[name]
    start, last = data.index(b"\xff\xda"), len(data)
    if name.startswith("white below"):
        # Where only white is left, there is nothing to miss in a few bytes of it.
        last = start + (last - start) // 3
    gaps = between_scans(data)
    for cut in range(start + 20, last - max(40, last // 12), max(1, last // 23)):
        if any(cut in gap for gap in gaps):
            continue
        for whole in (False, True):
            with pytest.raises(BrokenImage, match="not every row"):
                tensor(data[:cut] + BEHIND[behind], whole)


@pytest.mark.parametrize("name", ["baseline", "optimised", "grey", "cmyk", "restarts"])
def test_a_cut_filled_to_its_length_is_never_answered(name: str) -> None:
    """The first 30 to 80 % of a file, filled to its length with zeros, ones or noise, are refused."""
    data = WHOLE[name]
    start = data.index(b"\xff\xda")
    noise = random.Random(5)
    for percent in range(30, 81, 7):
        cut = start + (len(data) - start) * percent // 100
        missing = len(data) - cut
        for fill in (bytes(missing), b"\xff" * missing, noise.randbytes(missing), bytes(missing - 2) + END):
            with pytest.raises(BrokenImage):
                tensor(data[:cut] + fill)


@pytest.mark.parametrize("name", ["baseline", "optimised", "restarts", "progressive"])
def test_a_hole_is_never_answered(name: str) -> None:
    """A download that was resumed too late, zeros where a part is missing, the rest and its end in place."""
    data = WHOLE[name]
    start = data.index(b"\xff\xda") + 20
    hole = (len(data) - start) // 3
    for first in range(start, len(data) - hole - 50, hole // 3):
        with pytest.raises(BrokenImage):
            tensor(data[:first] + bytes(hole) + data[first + hole :])
        with pytest.raises(BrokenImage):
            tensor(data[:first] + data[first + hole :])


def test_missing_components_are_refused() -> None:
    """A file that ends properly after the scans of two of its three components has no whole row."""
    data = WHOLE["scans"]
    third = data.rindex(b"\xff\xda")
    with pytest.raises(BrokenImage):
        tensor(data[:third] + END)


def test_a_progressive_one_needs_all_its_bits_or_its_end() -> None:
    """Fewer scans and the end mark are an encoder's choice; without the mark, a scan could be missing."""
    data = WHOLE["progressive"]
    scan = data.rindex(b"\xff\xda")
    table = data.rindex(b"\xff\xc4")
    assert table < scan
    fewer = tensor(data[:table] + END, whole=True).astype(int)
    assert np.abs(fewer - reference(data)).mean() < 8
    for behind in (b"", bytes(100), b"\xff\xd8"):
        with pytest.raises(BrokenImage):
            tensor(data[:table] + behind)


def test_many_scans_are_refused() -> None:
    """A progressive file whose last scan is repeated 600 times is refused before it takes seconds."""
    data = WHOLE["progressive"]
    last = data.rindex(b"\xff\xda")
    with pytest.raises(BrokenImage):
        tensor(data[:-2] + data[last:-2] * 600 + END)


def test_many_segments_are_refused() -> None:
    """Thousands of empty segments in front of the pixels are refused in milliseconds."""
    data = WHOLE["baseline"]
    scan = data.index(b"\xff\xda")
    with pytest.raises(BrokenImage):
        tensor(data[:scan] + b"\xff\xfe\0\2" * 100_000 + data[scan:])


def test_a_lossless_one_larger_than_the_draft_is_answered() -> None:
    """It cannot be decoded at a fraction of its size, so it is decoded whole, to a PNG's tensor."""
    data = WHOLE["lossless"]
    pixels = reference(data)
    assert pixels.shape == (56, 72, 3)
    for spec in (SPEC, make_input(16, 16, 1)):
        _, found = codec.read(data, spec, MAX_PIXELS, whole=False)
        _, expected = codec.read(encode(Image.fromarray(pixels), "PNG"), spec, MAX_PIXELS, whole=False)
        assert (found == expected).all()


def test_two_pictures_in_one_file() -> None:
    """Of an MPO the first picture counts: cut in the second it is answered, cut in the first it is not."""
    second = Image.fromarray(_PET[::-1])
    data = encode(Image.fromarray(_PET), "MPO", save_all=True, append_images=[second])
    first = data.index(END + b"\xff\xd8") + 2
    expected = reference(data)
    for end in (len(data), len(data) - 2, (first + len(data)) // 2, first + 2, first):
        assert (tensor(data[:end], whole=True) == expected).all()
    for cut in (first - 40, first // 2):
        with pytest.raises(BrokenImage):
            tensor(data[:cut] + data[first:])


@pytest.mark.parametrize("name", WHOLE)
def test_training_reads_what_is_answered(name: str, tmp_path: Path) -> None:
    """To the byte, with and without the end mark; and what lacks rows it refuses, with the reason."""
    data = WHOLE[name]
    path = tmp_path / "photo.jpg"
    for variant in (data, data[:-2], data[:-2] + bytes(300)):
        path.write_bytes(variant)
        for channels in (1, 3):
            spec = make_input(16, 16, channels)
            _, expected = codec.read(variant, spec, MAX_PIXELS, whole=False)
            assert (read_image(path, spec, channels) == expected).all()
    path.write_bytes(data[: data.index(b"\xff\xda") + 16] + bytes(300))
    if name not in {"black", "tiny"}:
        with pytest.raises(DatasetError, match="not every row"):
            read_image(path, SPEC, 3)
