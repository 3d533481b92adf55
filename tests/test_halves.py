"""What both halves do must be the same: an image gives the tensor that training made of it, to the byte."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service.errors import ImageError
from service.images import codec
from tests import images, patches, profiles
from tests.service.manifests import make_input
from tests.tiffs import tiff
from training.datasets.dataset import DatasetError
from training.datasets.reading import read_image


def large(kind: str, **options: object) -> bytes:
    """Encode a picture that a JPEG decoder makes smaller."""
    buffer = io.BytesIO()
    Image.fromarray(images.drawn(600, 800)).save(buffer, kind, **options)
    return buffer.getvalue()


GREY16 = np.linspace(0, 65_535, 40 * 30).reshape(40, 30).astype(np.uint16)
CASES: dict[str, bytes] = {
    **images.WHOLE,
    **images.LOSSY,
    **{f"P3 {kind}": patches.with_profile(kind, patches.P3) for kind in ("JPEG", "PNG", "HEIC")},
    "large P3 JPEG": large("JPEG", icc_profile=patches.P3),
    "large Adobe RGB JPEG": large("JPEG", icc_profile=profiles.rgb(profiles.ADOBE, 2.2)),
    "large P3 WebP": large("WEBP", icc_profile=patches.P3),
    "PNG by numbers": patches.png_with(images.chunk(b"cICP", bytes((12, 13, 0, 1)))),
    "linear PNG": patches.png_with(images.chunk(b"gAMA", struct.pack(">I", 100_000))),
    "grey TIFF": tiff(GREY16, 1, order=">", tile=16, more=[(274, 3, [6])]),
    "grey PGM": b"P5 30 40 65535\n" + GREY16.astype(">u2").tobytes(),
}


RULES = [("stretch", 1.0), ("letterbox", 1.0), ("crop", 1.0), ("crop", 0.7), ("tile", 1.0)]


@pytest.mark.parametrize(("resize", "share"), RULES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", CASES)
def test_an_image_gives_one_tensor(
    tmp_path: Path, name: str, channels: int, resize: str, share: float
) -> None:
    """To the byte, whatever the format, its colours and the rule: what is served is what was trained on."""
    path = tmp_path / "photo"
    path.write_bytes(CASES[name])
    spec = make_input(48, 40, channels, resize, share)
    _, served = codec.read(CASES[name], spec, 2**24, whole=False)
    assert served.shape == (48, 40, channels)
    assert (served == read_image(path, spec, channels)).all()
    # Whether it is drawn on or not.
    _, drawn = codec.read(CASES[name], spec, 2**24, whole=True)
    assert (drawn == served).all()


@pytest.mark.parametrize(
    "data",
    [
        b"8BPS\0\1" + bytes(50),
        b"hello",
        images.encode(Image.fromarray(np.ones((8, 8), np.float32)), "TIFF"),
        CASES["heic"][:-3] + bytes(3),
        CASES["ppm"][:-100],
        CASES["bmp"][:-100],
    ],
    ids=["PSD", "text", "float TIFF", "zeros in HEIC", "cut PPM", "cut BMP"],
)
def test_both_halves_refuse_the_same(tmp_path: Path, data: bytes) -> None:
    """What the service does not answer is not trained on either, with the same reason where it is ours."""
    path = tmp_path / "photo"
    path.write_bytes(data)
    with pytest.raises(ImageError) as served:
        codec.read(data, make_input(32, 32, 3), 2**24, whole=False)
    with pytest.raises(DatasetError) as trained:
        read_image(path, make_input(32, 32, 3), 3)
    if "its pixels cannot" not in served.value.detail:
        assert served.value.detail in f"{trained.value}"
