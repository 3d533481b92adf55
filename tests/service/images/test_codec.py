"""Images: formats, modes, orientation, damage and limits."""

import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from service.errors import BrokenImage, ImageError, ImageTooLarge, ImageTooSmall, NotAnImage
from service.images import codec
from service.images.codec import Photo
from service.manifest import Input
from tests import worlds
from tests.images import (
    SAMPLES,
    chunk,
    encode,
    lossless_webp_header,
    noise,
    odd_metadata,
    orientation_block,
    plain_png,
    png,
)
from tests.service.manifests import make_input
from training import golden
from training.datasets.reading import read_image

MAX_PIXELS = 4096 * 4096
RGB = make_input(32, 32, 3)
GREY = make_input(32, 32, 1)


def decode(data: bytes, spec: Input, max_pixels: int, *, whole: bool = False) -> codec.Photo:
    """Decode as a request does: the header first, then the pixels."""
    return codec.decode(codec.inspect(data, max_pixels), spec, whole=whole)


def pixels(data: bytes, spec: Input = RGB, *, whole: bool = True) -> NDArray[np.int64]:
    return np.asarray(decode(data, spec, MAX_PIXELS, whole=whole).image, np.int64)


@pytest.mark.parametrize("kind", golden.DRAWINGS)
def test_every_golden_encoding_decodes_to_training_pixels(kind: str) -> None:
    """Whatever the encoding, the whole image decodes to the pixels that training reckons with."""
    for sample in golden.samples(kind):
        difference = np.abs(pixels(sample.data) - sample.pixels)
        assert difference.max() <= 1, sample.name


@pytest.mark.parametrize("channels", [1, 3])
def test_every_golden_encoding_fits_to_training_tensor(channels: int) -> None:
    """A tensor made by way of a smaller JPEG decode stays close to the one that training made."""
    spec = make_input(48, 40, channels)
    for sample in golden.samples("shapes"):
        tensor = codec.fit(decode(sample.data, spec, MAX_PIXELS), spec)
        expected = worlds.fit(sample.pixels, 48, 40, channels)
        assert np.abs(tensor.astype(int) - expected).mean() < 2, sample.name


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [28, 49, 128])
def test_tensors_are_those_that_training_reads(side: int, channels: int) -> None:
    """To the byte, whatever the encoding: a network is asked what it was trained to answer."""
    spec = make_input(side, side, channels)
    samples = golden.samples("signs")
    for sample, expected in zip(samples, golden.tensors(samples, spec, channels), strict=True):
        assert (codec.fit(decode(sample.data, spec, MAX_PIXELS), spec) == expected).all(), sample.name


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_set_upright(orientation: int, kind: str) -> None:
    """An image stored in any of the eight EXIF orientations comes out as it was meant to be seen."""
    upright = np.full((40, 64, 3), 255, np.uint8)
    upright[:20, :16] = (200, 0, 0)
    undo = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: np.rot90(upright.transpose(1, 0, 2), 2),
        8: np.rot90(upright, -1),
    }
    lossy: dict[str, dict[str, object]] = {"JPEG": {"quality": 95, "subsampling": 0}}
    options = lossy.get(kind, {"lossless": True})
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(undo[orientation]))
    photo = decode(encode(stored, kind, exif=exif, **options), RGB, MAX_PIXELS)
    assert (photo.width, photo.height) == (64, 40) == photo.image.size
    assert np.abs(np.asarray(photo.image, np.int64) - upright).max() < 12


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_large_jpeg_is_decoded_small_but_not_too_small(orientation: int) -> None:
    """A large JPEG keeps its upright size in the answer, though fewer pixels are decoded: 1.5 times."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(Image.new("RGB", (1600, 800)), "JPEG", exif=exif)
    spec = make_input(40, 60, 3)
    photo = decode(data, spec, MAX_PIXELS)
    assert (photo.width, photo.height) == ((800, 1600) if orientation >= 5 else (1600, 800))
    assert photo.image.width * photo.height == photo.image.height * photo.width
    assert photo.image.width < photo.width
    assert photo.image.width >= 1.5 * spec.width
    assert photo.image.height >= 1.5 * spec.height


@odd_metadata
@pytest.mark.parametrize(
    "exif",
    [
        orientation_block(b"6", kind=2),
        orientation_block(b"6", kind=7),
        orientation_block(b"\6", kind=1),
        orientation_block(struct.pack("<f", 6.0), kind=11),
        orientation_block(b"\x10", kind=5),
        orientation_block(b"\x09"),
        orientation_block(b"\0"),
        orientation_block(b"\xff\xff\xff\x7f", count=100),
        orientation_block(b"\6")[:16],
        b"Exif\0\0",
        b"Exif\0\0garbage",
        b"",
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_odd_orientation_counts_as_none(kind: str, exif: bytes, tmp_path: Path) -> None:
    """An orientation of a wrong type or value, or in a damaged block, leaves picture and size as stored.

    In training too, where a photo would else be left out that the service answers.
    """
    data = encode(Image.fromarray(noise()), kind, exif=exif)
    photo = decode(data, RGB, MAX_PIXELS)
    assert (photo.width, photo.height) == (40, 24) == photo.image.size
    path = tmp_path / "photo"
    path.write_bytes(data)
    assert (read_image(path, make_input(24, 40), 3) == np.asarray(photo.image)).all()


@odd_metadata
@settings(max_examples=200, deadline=None)
@given(exif=st.binary(max_size=60), kind=st.sampled_from(["JPEG", "PNG", "WEBP"]))
def test_no_exif_block_spoils_an_image(exif: bytes, kind: str) -> None:
    """Whatever stands in the EXIF block, the image is decoded and its size fits its pixels."""
    data = encode(Image.fromarray(noise()), kind, exif=b"Exif\0\0II*\0\x08\0\0\0" + exif)
    photo = decode(data, RGB, MAX_PIXELS)
    assert photo.image.size == (photo.width, photo.height)


def test_16_bit_grey_is_scaled() -> None:
    """Sixteen bits of grey keep their brightness: 65535 is white, the mean stays the mean."""
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    found = pixels(encode(Image.fromarray(ramp), "PNG"), GREY)
    assert found.min() == 0
    assert found.max() == 255
    assert found.mean() == pytest.approx(ramp.mean() / 257, abs=0.1)


def test_16_bit_rgb_is_scaled() -> None:
    """Sixteen bits per colour come out as the eight upper ones."""
    found = pixels(png((8, 8), 16, 2, b"\x40\x00\x80\x00\xff\xff" * 8))
    assert (found == (0x40, 0x80, 0xFF)).all()


@pytest.mark.parametrize(
    ("depth", "row", "level"), [(1, b"\xff", 255), (2, b"\x55\x55", 85), (4, b"\x77" * 4, 119)]
)
def test_few_bits_of_grey_are_scaled(depth: int, row: bytes, level: int) -> None:
    """One, two or four bits of grey span black to white like eight."""
    assert (pixels(png((8, 8), depth, 0, row)) == level).all()


@pytest.mark.parametrize(
    ("kind", "depth", "row", "extra"),
    [
        (0, 8, b"\x07" * 8, chunk(b"tRNS", b"\0\x07")),
        (0, 1, b"\0", chunk(b"tRNS", b"\0\0")),
        (2, 8, b"\x01\xff\x00" * 8, chunk(b"tRNS", b"\0\x01\0\xff\0\0")),
        (3, 8, b"\x01" * 8, chunk(b"PLTE", b"\1\2\3\4\5\6") + chunk(b"tRNS", b"\xff\0")),
        (4, 8, b"\x07\0" * 8, b""),
        (6, 8, b"\xff\0\xff\0" * 8, b""),
        (6, 16, b"\xff\xff\0\0\xff\xff\0\0" * 8, b""),
    ],
)
@pytest.mark.parametrize("spec", [RGB, GREY])
def test_what_is_transparent_is_white(spec: Input, kind: int, depth: int, row: bytes, extra: bytes) -> None:
    """However a PNG says that a pixel is clear, the colour beneath does not show: it is white."""
    assert (pixels(png((8, 8), depth, kind, row, extra), spec) == 255).all()


def test_half_transparent_is_mixed_with_white() -> None:
    """Half transparent black over white is middle grey."""
    assert np.abs(pixels(png((8, 8), 8, 6, b"\0\0\0\x80" * 8)) - 127).max() <= 1


@pytest.mark.parametrize("spec", [RGB, GREY])
def test_palette_shows_its_colours(spec: Input) -> None:
    """A palette image shows the palette's colours, not its indices."""
    data = png((8, 8), 8, 3, b"\x01" * 8, chunk(b"PLTE", b"\0\0\0\xc8\xc8\xc8"))
    assert (pixels(data, spec) == 200).all()


@pytest.mark.parametrize("spec", [RGB, GREY])
@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_adobe_cmyk_is_not_inverted(spec: Input, options: dict[str, object]) -> None:
    """An Adobe CMYK JPEG, stored inverted, comes out bright where there is no ink and dark where there is."""
    ink = np.zeros((32, 32, 4), np.uint8)
    ink[:, 16:, 3] = 255
    data = encode(Image.fromarray(ink, "CMYK"), "JPEG", quality=95, **options)
    assert b"Adobe" in data
    found = pixels(data, spec)
    assert found[:, :12].min() > 240
    assert found[:, 20:].max() < 15


def test_ycck_decodes_to_its_inks() -> None:
    """A JPEG whose Adobe marker says YCCK is turned to CMYK first: grey chroma means equal inks."""
    planes = np.full((32, 32, 4), 128, np.uint8)
    planes[..., 0] = 200
    planes[..., 3] = 0
    data = bytearray(encode(Image.fromarray(planes, "CMYK"), "JPEG", quality=95))
    marker = data.index(b"Adobe")
    data[marker + 11] = 2  # the transform: YCCK
    # Pillow writes the inverse, luma 55; Adobe stores inks inverted, so that means inks of 55 each.
    assert np.abs(pixels(bytes(data)) - 200).max() <= 3


@pytest.mark.parametrize("kind", ["WEBP", "PNG"])
def test_animation_shows_its_first_frame(kind: str) -> None:
    """Of an animation the first frame is taken."""
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    options: dict[str, object] = {"lossless": True} if kind == "WEBP" else {}
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:], duration=100, **options)
    assert (pixels(data) == (255, 0, 0)).all()


@odd_metadata
@pytest.mark.parametrize(
    "data",
    [
        lossless_webp_header(16383, 16383),
        lossless_webp_header(5000, 5000),
        png((65535, 65535), 8, 2, b""),
        png((5000, 5000), 8, 0, b""),
        SAMPLES["jpeg"][: SAMPLES["jpeg"].index(b"\xff\xc0") + 5]
        + struct.pack(">HH", 65500, 65500)
        + SAMPLES["jpeg"][SAMPLES["jpeg"].index(b"\xff\xc0") + 9 :],
    ],
    ids=["webp-most", "webp", "png-most", "png", "jpeg-most"],
)
def test_header_alone_tells_too_large(data: bytes) -> None:
    """A few bytes that announce a giant are refused as too large: nothing tries to decode them."""
    with pytest.raises(ImageTooLarge):
        decode(data, RGB, MAX_PIXELS)


def test_limit_is_the_callers() -> None:
    """An image passes with exactly the allowed pixels and fails with one fewer allowed."""
    assert decode(SAMPLES["png"], RGB, 40 * 24).width == 40
    with pytest.raises(ImageTooLarge, match=r"40 x 24 = 960 pixels; at most 959"):
        decode(SAMPLES["png"], RGB, 40 * 24 - 1)


@odd_metadata
def test_limit_may_exceed_pillows() -> None:
    """Where the settings allow 2**28 pixels, Pillow's own limit is not in the way."""
    data = png((16000, 12000), 8, 0, b"")
    with pytest.raises(BrokenImage):
        decode(data, RGB, 2**28)


def test_sides_have_a_least_size() -> None:
    """A side below four pixels is too small, four are enough."""
    assert decode(png((4, 4), 8, 0, b"\0" * 4), RGB, MAX_PIXELS).width == 4
    for size in ((3, 40), (40, 3), (1, 1)):
        with pytest.raises(ImageTooSmall):
            decode(png(size, 8, 0, b"\0" * size[0]), RGB, MAX_PIXELS)


@pytest.mark.parametrize("name", SAMPLES)
def test_cut_short_is_never_answered(name: str) -> None:
    """A file cut anywhere before its last pixels is refused, and as broken once its header is complete."""
    data = SAMPLES[name]
    for share in (0.0, 0.02, 0.1, 0.3, 0.5, 0.7, 0.9):
        with pytest.raises(ImageError):
            decode(data[: int(share * len(data))], RGB, MAX_PIXELS)
    if name not in {"webp", "lossless"}:
        with pytest.raises(BrokenImage):
            decode(data[: int(0.9 * len(data))], RGB, MAX_PIXELS)


def test_garbled_png_is_broken_not_black() -> None:
    """Pixels that cannot be unpacked make a broken image, though all checksums hold; never a black one."""
    whole = png((32, 32), 8, 2, bytes(96))
    start = whole.index(b"IDAT") - 4
    data = whole[:start] + chunk(b"IDAT", b"not zlib at all") + chunk(b"IEND", b"")
    with pytest.raises(BrokenImage):
        decode(data, RGB, MAX_PIXELS)


@pytest.mark.parametrize("kind", ["ICO", "PDF", "JPEG2000", "TGA", "DDS", "EPS"])
def test_other_formats_are_not_images_here(kind: str) -> None:
    """Formats that are not taken are refused as such, however well Pillow reads them."""
    with pytest.raises(NotAnImage):
        decode(encode(Image.fromarray(noise()), kind), RGB, MAX_PIXELS)


@pytest.mark.parametrize(
    "data",
    [b"", b"\0", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%!PS\n", b"RIFF\0\0\0\0WAVE", bytes(999)],
)
def test_other_bytes_are_not_images(data: bytes) -> None:
    """Text, scripts and nothing at all are refused as no image."""
    with pytest.raises(NotAnImage):
        decode(data, RGB, MAX_PIXELS)


@pytest.mark.parametrize(
    "extra",
    [
        chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(70_000_000))),
        chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(70_000_000))),
        chunk(b"iTXt", b"k\0\1\0\0\0" + zlib.compress(bytes(70_000_000))),
    ],
    ids=["zTXt", "iCCP", "iTXt"],
)
def test_metadata_bombs_are_not_unpacked(extra: bytes) -> None:
    """A small chunk of metadata that unpacks to 70 MB makes the image broken."""
    with pytest.raises(BrokenImage):
        decode(png((8, 8), 8, 0, bytes(8), extra), RGB, MAX_PIXELS)


@odd_metadata
@pytest.mark.parametrize("name", SAMPLES)
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_flipped_bytes_end_in_an_answer_or_an_image_error(name: str, data: st.DataObject) -> None:
    """Damage anywhere in a file gives a photo within limits or an ImageError, and nothing else."""
    damaged = bytearray(SAMPLES[name])
    places = st.integers(0, len(damaged) - 1)
    for place in data.draw(st.lists(places, min_size=1, max_size=4)):
        damaged[place] ^= data.draw(st.integers(1, 255))
    try:
        photo = decode(bytes(damaged), RGB, 100_000)
    except ImageError:
        return
    assert photo.image.mode == "RGB"
    assert photo.width * photo.height <= 100_000
    assert codec.fit(photo, RGB).shape == (32, 32, 3)


@settings(max_examples=200, deadline=None)
@given(
    data=st.binary(max_size=100),
    start=st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x30\0\0\0WEBP"]),
)
@odd_metadata
def test_random_bytes_end_in_an_image_error(data: bytes, start: bytes) -> None:
    """Random bytes, even behind a format's first ones, are no image."""
    with pytest.raises(ImageError):
        decode(start + data, RGB, MAX_PIXELS)


@pytest.mark.parametrize(
    "data",
    [
        encode(Image.fromarray(noise()), "JPEG", exif=orientation_block(b"\6")[:16]),
        encode(Image.fromarray(noise()), "JPEG", exif=orientation_block(b"\xff\xff\xff\x7f", count=100)),
        png((8, 8), 8, 0, bytes(8), chunk(b"acTL", bytes(8))),
        SAMPLES["jpeg"][:2] + b"\xff\xe2\0\x0eMPF\0garbage!" + SAMPLES["jpeg"][2:],
        png((11_000, 13_000), 8, 0, b""),
    ],
    ids=["cut-exif", "far-exif", "apng", "mpo", "large"],
)
def test_nothing_is_printed_about_odd_metadata(data: bytes) -> None:
    """Clients cannot fill the service's log with Pillow's warnings."""
    program = (
        "import sys\n"
        "from service import errors, manifest\n"
        "from service.images import codec\n"
        "spec = manifest.Input(height=8, width=8, channels=3, colour='rgb', resize='stretch',"
        " normalisation='')\n"
        "try:\n"
        "    codec.decode(codec.inspect(sys.stdin.buffer.read(), 2**24), spec)\n"
        "except errors.ImageTooLarge:\n"
        "    pass\n"
    )
    done = subprocess.run([sys.executable, "-c", program], input=data, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize("channels", [1, 3])
def test_fit_gives_the_tensor_asked_for(channels: int) -> None:
    """The tensor has the manifest's height, width and channels, in bytes."""
    spec = make_input(20, 30, channels)
    for data in SAMPLES.values():
        tensor = codec.fit(decode(data, spec, MAX_PIXELS), spec)
        assert tensor.shape == (20, 30, channels)
        assert tensor.dtype == np.uint8


@pytest.mark.parametrize("resize", ["stretch", "letterbox", "crop"])
def test_fit_leaves_pixels_of_the_right_size_alone(resize: str) -> None:
    """An image that has the model's size already is passed on bit for bit, by every rule."""
    spec = make_input(24, 40, 3, resize)
    assert (codec.fit(decode(SAMPLES["png"], spec, MAX_PIXELS), spec) == noise()).all()


def test_a_crop_of_a_large_jpeg_is_sharp() -> None:
    """The part that is kept is decoded at one and a half times its size at least: no detail is missing."""
    stripes = np.zeros((1024, 1024, 3), np.uint8)
    stripes[:, 256:768][:, np.arange(512) // 4 % 2 > 0] = 255
    data = encode(Image.fromarray(stripes), "JPEG", quality=95)
    # Half of the photo in 256 pixels: stripes of two pixels each.
    spec = make_input(256, 256, 3, "crop", 0.5)
    tensor = codec.fit(decode(data, spec, MAX_PIXELS), spec)
    assert decode(data, spec, MAX_PIXELS).image.width >= 768
    assert np.ptp(tensor[128].astype(int)) > 200


def test_a_crop_of_an_image_of_the_models_size_is_no_short_cut() -> None:
    """A small PNG that has the model's size is its own tensor only where the rule leaves it alone."""
    spec = make_input(24, 24, 3, "crop", 0.5)
    data = plain_png(spec, bytes(24 * (1 + 24 * 3)))
    assert codec.as_tensor(data, spec) is None
    for resize in ("stretch", "letterbox", "crop"):
        assert codec.as_tensor(data, make_input(24, 24, 3, resize)) is not None


@pytest.mark.parametrize("size", [(4, 2_000_000), (2_000_000, 4)])
def test_fit_takes_the_narrowest_images(size: tuple[int, int]) -> None:
    """A strip of millions by four pixels is fitted like any other image."""
    photo = Photo(Image.new("RGB", size, (9, 8, 7)), *size)
    assert (codec.fit(photo, RGB) == (9, 8, 7)).all()


def test_small_decode_is_close_to_whole() -> None:
    """Decoding a large JPEG at a fraction changes the tensor by no more than a few levels."""
    ramp = golden.draw_pet(np.random.default_rng(1), 1200, 900)
    data = encode(Image.fromarray(ramp), "JPEG", quality=90)
    for spec in (RGB, GREY):
        small = decode(data, spec, MAX_PIXELS)
        whole = decode(data, spec, MAX_PIXELS, whole=True)
        assert small.image.width < whole.image.width == 1200
        difference = np.abs(codec.fit(small, spec).astype(int) - codec.fit(whole, spec))
        assert difference.mean() < 1
        assert difference.max() < 16


LETTERBOX, CROP = make_input(48, 32, 3, "letterbox"), make_input(32, 32, 3, "crop", 0.75)


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("spec", [RGB, GREY, make_input(128, 96, 3), LETTERBOX, CROP])
def test_one_image_gives_one_tensor(spec: Input, name: str) -> None:
    """Whether the photo is drawn on or not: an overlay shows what JSON says."""
    plain, expected = codec.read(SAMPLES[name], spec, MAX_PIXELS, whole=False)
    photo, tensor = codec.read(SAMPLES[name], spec, MAX_PIXELS, whole=True)
    assert (tensor == expected).all()
    assert (photo.width, photo.height) == (plain.width, plain.height) == photo.image.size


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"exif": orientation_block(b"\6")}])
@pytest.mark.parametrize("spec", [RGB, GREY, LETTERBOX, CROP])
def test_a_large_jpeg_gives_one_tensor(spec: Input, options: dict[str, object]) -> None:
    """A JPEG that is decoded at a fraction for JSON is for its overlay too, and whole only to be drawn on."""
    picture = golden.draw_pet(np.random.default_rng(1), 640, 480)
    data = encode(Image.fromarray(picture), "JPEG", quality=90, **options)
    _, expected = codec.read(data, spec, MAX_PIXELS, whole=False)
    photo, tensor = codec.read(data, spec, MAX_PIXELS, whole=True)
    assert (tensor == expected).all()
    assert photo.image.size == (photo.width, photo.height)
    if spec is RGB and "exif" not in options:
        assert np.abs(np.asarray(photo.image, np.int64) - picture).mean() < 8
    # The whole photo, fitted, is another tensor: the test would see it.
    assert (codec.fit(photo, spec) != expected).any()


def test_a_photo_past_the_limit_is_drawn_on_smaller() -> None:
    """Its size is its own, its pixels are those of the largest fraction within the limit."""
    data = encode(Image.new("RGB", (640, 480), "red"), "JPEG")
    photo, _ = codec.read(data, RGB, 100_000, whole=True)
    assert (photo.width, photo.height, photo.image.size) == (640, 480, (320, 240))


def test_a_photo_that_waits_keeps_no_pixels() -> None:
    """What waits for the engine holds the size of the posted image and not its pixels."""
    photo, _ = codec.read(encode(Image.new("RGB", (4000, 3000)), "PNG"), RGB, MAX_PIXELS, whole=False)
    assert (photo.width, photo.height) == (4000, 3000)
    assert photo.image.size == (1, 1)
