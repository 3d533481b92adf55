"""Files are read upright, whatever holds the orientation, or refused with what would be right."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.datasets import DatasetError
from training.datasets.framing import fit_mask
from training.datasets.reading import MAX_PIXELS, read_photo, read_values

UPRIGHT = np.repeat(np.repeat(np.arange(6, dtype=np.uint8).reshape(3, 2) * 50, 8, axis=0), 8, axis=1)
"""Six squares of different greys, 16 wide and 24 high: no turn and no mirror image is the same."""
_STORED = {
    1: UPRIGHT,
    2: UPRIGHT[:, ::-1],
    3: UPRIGHT[::-1, ::-1],
    4: UPRIGHT[::-1],
    5: UPRIGHT.T,
    6: np.rot90(UPRIGHT),
    7: UPRIGHT[::-1, ::-1].T,
    8: np.rot90(UPRIGHT, -1),
}


def stored(path: Path, orientation: int, **options: object) -> Path:
    """Save the upright picture as a camera does that was held in this way."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(np.ascontiguousarray(_STORED[orientation]))
    image.save(path, exif=exif, **options)  # type: ignore[arg-type]
    return path


FILES = [
    ("0.tif", {}),
    ("0.tif", {"compression": "tiff_lzw"}),
    ("0.png", {}),
    ("0.webp", {"lossless": True}),
    ("0.jpg", {"quality": 100}),
]


@pytest.mark.parametrize("least", [None, 4])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("name", "options"), FILES)
def test_photos_are_upright(
    tmp_path: Path, name: str, options: dict[str, object], orientation: int, least: int | None
) -> None:
    """Width, height and pixels are those of the upright image in every format, decoded whole or in part."""
    photo = read_photo(stored(tmp_path / name, orientation, **options), 1, least)
    assert (photo.width, photo.height) == (16, 24)
    assert photo.turned == (orientation > 1)
    smaller = photo.image.resize((2, 3), Image.Resampling.BOX)
    assert np.abs(np.asarray(smaller, np.int32) - UPRIGHT[4::8, 4::8]).max() <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("name", "options"), FILES[:-1])
def test_masks_are_upright(tmp_path: Path, name: str, options: dict[str, object], orientation: int) -> None:
    """A mask's own EXIF orientation is applied as its image's is, in every format."""
    path = stored(tmp_path / name, orientation, **options)
    assert (read_values(path)[0] == UPRIGHT).all()
    assert (fit_mask(read_values(path)[0], (2, 3)) == UPRIGHT[4::8, 4::8]).all()


@pytest.mark.parametrize("mode", ["P", "1", "I;16"])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_masks_of_every_mode_are_upright(tmp_path: Path, suffix: str, mode: str) -> None:
    """Palette numbers, single bits and 16 bits are turned as they are, not blended or converted."""
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = np.ascontiguousarray(_STORED[6])
    if mode == "I;16":
        image, upright = Image.fromarray(lying.astype(np.uint16) * 200), UPRIGHT.astype(np.int32) * 200
    elif mode == "1":
        image, upright = Image.fromarray(lying > 100), (UPRIGHT > 100).astype(np.int32)
    else:
        image, upright = Image.fromarray(lying), UPRIGHT.astype(np.int32)
        image.putpalette(list(range(255, -1, -1)) * 3)
    image.save(tmp_path / f"0.{suffix}", exif=exif)
    assert image.mode == mode
    assert (read_values(tmp_path / f"0.{suffix}")[0] == upright).all()


def announced(width: int, height: int) -> bytes:
    """Return the start of a grey PNG of this size, without its pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


READ = "the formats that are read: JPEG, PNG, WebP, GIF, BMP, TIFF, PPM (or PGM, PBM), AVIF, HEIC"
UNREADABLE = [
    (b"", "the file is empty"),
    (b"8BPS\0\1" + bytes(50), f"The data is a Photoshop file (PSD); {READ}"),
    (b"no picture at all", f"The data is of no image format that is known here; {READ}"),
    (announced(20_000, 20_000), "it has more than 268 million pixels; make it smaller"),
]


@pytest.mark.parametrize(("data", "reason"), UNREADABLE)
def test_unreadable_files_say_what_would_be_right(tmp_path: Path, data: bytes, reason: str) -> None:
    """Images and masks that cannot be read are refused with the reason, and with the path only once."""
    path = tmp_path / "0.jpg"
    path.write_bytes(data)
    with pytest.raises(DatasetError) as raised:
        read_photo(path, 3)
    assert str(raised.value) == f"{path} cannot be read as an image: {reason}."
    with pytest.raises(DatasetError) as raised:
        read_values(path)
    assert str(raised.value) == f"{path} cannot be read as a mask: {reason}."


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_large_photos_are_read(tmp_path: Path) -> None:
    """A panorama of 192 million pixels, more than Pillow takes by itself, is read and has its own size."""
    Image.new("L", (16_000, 12_000), 100).save(tmp_path / "0.jpg")
    photo = read_photo(tmp_path / "0.jpg", 1, 64)
    assert (photo.width, photo.height) == (16_000, 12_000)
    assert photo.width * photo.height < MAX_PIXELS
    assert photo.image.getextrema() == (100, 100)
