"""Colours by a profile become sRGB, by the books' formulas; others are left alone and pay nothing."""

import io
import struct

import numpy as np
import pillow_heif
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from service.formats import colours
from service.formats.names import Kind
from service.images import codec
from service.manifest import Input
from tests import profiles
from tests.images import chunk, encode
from tests.patches import IN_P3, P3, PATCHES, PICTURE, png_with, with_profile
from tests.service.manifests import make_input

MAX_PIXELS = 2**24
RGB = make_input(32, 32, 3)
GREY = make_input(32, 32, 1)


def patches(data: bytes, spec: Input = RGB, *, whole: bool = True) -> NDArray[np.float64]:
    """Return the middle colour of each patch, `[8, 3]` or `[8]`."""
    photo = codec.decode(codec.inspect(data, MAX_PIXELS), spec, whole=whole)
    image = photo.image.resize((64, 32), Image.Resampling.NEAREST)
    return np.asarray(image, float)[8::16, 8::16].reshape(8, *np.asarray(image).shape[2:])


def heic(**options: object) -> bytes:
    buffer = io.BytesIO()
    pillow_heif.from_pillow(PICTURE).save(buffer, quality=100, chroma=444, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIC"])
@pytest.mark.parametrize("whole", [False, True])
def test_display_p3_becomes_srgb(kind: str, whole: bool) -> None:
    """A photo in Display P3 has the colours that formulas give, whatever it comes in and is wanted for."""
    found = patches(with_profile(kind, P3), whole=whole)
    assert np.abs(found - IN_P3).max() <= (2 if kind in ("PNG", "TIFF", "WEBP") else 6)
    assert np.abs(found - PATCHES).max() > 15


@pytest.mark.parametrize(
    ("primaries", "gamma", "white"),
    [
        (profiles.ADOBE, 563 / 256, profiles.D65),
        (profiles.PROPHOTO, 1.8, (0.3457, 0.3585)),
        (profiles.SRGB, 1.0, profiles.D65),
    ],
    ids=["Adobe RGB", "ProPhoto", "linear"],
)
def test_working_spaces_become_srgb(
    primaries: tuple[profiles.XY, profiles.XY, profiles.XY], gamma: float, white: profiles.XY
) -> None:
    """Adobe RGB, ProPhoto and linear sRGB have the colours that formulas give, cut off at sRGB's edge."""
    data = with_profile("PNG", profiles.rgb(primaries, gamma, white))
    assert np.abs(patches(data) - profiles.in_srgb(PATCHES, primaries, gamma, white)).max() <= 3


def test_grey_models_see_the_luma_of_srgb() -> None:
    """For a model of grey, colours become sRGB first and grey then; a JPEG's own luma would be another."""
    luma = IN_P3 @ (0.299, 0.587, 0.114)
    for kind in ("JPEG", "PNG"):
        for whole in (False, True):
            assert np.abs(patches(with_profile(kind, P3), GREY, whole=whole) - luma).max() <= 4


@pytest.mark.parametrize("gamma", [1.0, 1.8])
@pytest.mark.parametrize("spec", [RGB, GREY])
def test_grey_profiles(spec: Input, gamma: float) -> None:
    """Grey by a gamma of its own becomes sRGB's grey, of 8 bits and of 16."""
    levels = np.repeat(np.arange(8, dtype=np.uint8) * 34 + 8, 16)
    expected = profiles.in_srgb(np.repeat(levels[8::16, None], 3, 1), profiles.SRGB, gamma)[:, 0]
    for stored in (levels, levels.astype(np.uint16) * 257):
        image = Image.fromarray(np.repeat(stored[None], 32, 0))
        data = encode(image, "PNG", icc_profile=profiles.grey(gamma))
        photo = codec.decode(codec.inspect(data, MAX_PIXELS), spec, whole=True)
        found = np.asarray(photo.image.convert("RGB"), float)[8, 8::16]
        assert np.abs(found - expected[:, None]).max() <= 2


def test_cmyk_by_its_profile() -> None:
    """Inks are what their press prints: cyan as the profile says, not as a formula; paper is white."""
    paper, cyan = (100.0, 0.0, 0.0), (60.0, -30.0, -35.0)
    ink = np.zeros((32, 64, 4), np.uint8)
    ink[:, 32:, 0] = 255
    data = encode(Image.fromarray(ink, "CMYK"), "JPEG", quality=100, icc_profile=profiles.cmyk(paper, cyan))
    for whole in (False, True):
        photo = codec.decode(codec.inspect(data, MAX_PIXELS), RGB, whole=whole)
        found = np.asarray(photo.image, float)
        height, width = found.shape[:2]
        assert np.abs(found[height // 2, width // 4] - profiles.srgb_of_lab(paper)).max() <= 3
        assert np.abs(found[height // 2, width * 3 // 4] - profiles.srgb_of_lab(cyan)).max() <= 3


def test_alpha_is_white_in_any_colours() -> None:
    """What is transparent is white, and what is not has its own colours."""
    image = PICTURE.convert("RGBA")
    image.paste((10, 200, 10, 0), (0, 0, 16, 16))
    found = patches(encode(image, "PNG", icc_profile=P3))
    assert np.abs(found[0] - 255).max() <= 1
    assert np.abs(found[1:] - IN_P3[1:]).max() <= 2


# ---- colours told by numbers


CHRM = struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        (chunk(b"cICP", bytes((12, 13, 0, 1))), IN_P3),
        (chunk(b"cICP", bytes((1, 13, 0, 1))), PATCHES),
        (chunk(b"cICP", bytes((9, 16, 0, 1))), PATCHES),
        (chunk(b"cHRM", CHRM), IN_P3),
        (chunk(b"gAMA", struct.pack(">I", 45455)), PATCHES),
        (chunk(b"gAMA", struct.pack(">I", 100_000)), profiles.in_srgb(PATCHES, profiles.SRGB, 1.0)),
        (chunk(b"sRGB", b"\0") + chunk(b"gAMA", struct.pack(">I", 100_000)), PATCHES),
        (chunk(b"gAMA", struct.pack(">I", 0)), PATCHES),
        (chunk(b"cHRM", bytes(32)), PATCHES),
        (chunk(b"cHRM", struct.pack(">8I", *[31270, 32900] * 4)), PATCHES),
    ],
)
def test_pngs_tell_colours_by_numbers(extra: bytes, expected: NDArray[np.float64]) -> None:
    """CICP, cHRM and gAMA count as in browsers; sRGB's own numbers and impossible ones change nothing."""
    assert np.abs(patches(png_with(extra)) - expected).max() <= 3


def test_a_pngs_cicp_comes_before_its_profile() -> None:
    """Where both are there, cICP counts (PNG, third edition, 4.3)."""
    data = encode(PICTURE, "PNG", icc_profile=profiles.rgb(profiles.SRGB, 1.0))
    found = patches(data[:33] + chunk(b"cICP", bytes((12, 13, 0, 1))) + data[33:])
    assert np.abs(found - IN_P3).max() <= 2


@pytest.mark.parametrize("kind", ["AVIF", "HEIC"])
def test_code_points_of_boxes_count(kind: str) -> None:
    """Primaries of Display P3 in an AVIF's or HEIC's `colr` box make the colours of Display P3."""
    data = heic() if kind == "HEIC" else encode(PICTURE, "AVIF", quality=100, subsampling="4:4:4")
    assert np.abs(patches(data) - PATCHES).max() <= 6
    at = data.index(b"colrnclx") + 8
    found = patches(data[:at] + struct.pack(">HH", 12, 13) + data[at + 4 :])
    assert np.abs(found - IN_P3).max() <= 6


# ---- what changes nothing


@pytest.mark.parametrize(
    "profile",
    [
        bytes(200),
        b"not a profile" * 20,
        P3[:200],
        P3[:128] + struct.pack(">I", 2**31) + P3[132:],
        P3.replace(b"mntr", b"link"),
        profiles.grey(1.0),
        profiles.cmyk((95, 0, 5), (60, -30, -35)),
        P3 + bytes(5 * 2**20),
        b"",
    ],
    ids=["zeros", "text", "cut", "endless", "link", "grey", "cmyk", "huge", "empty"],
)
def test_a_broken_profile_is_passed_over(profile: bytes) -> None:
    """A profile that is damaged, for other channels or too large leaves the picture as it is."""
    data = encode(PICTURE, "TIFF", icc_profile=profile) if profile else encode(PICTURE, "TIFF")
    assert (patches(data) == PATCHES).all()


@pytest.mark.parametrize(
    "profile",
    [
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        profiles.rgb(profiles.SRGB, None),
    ],
    ids=["LittleCMS", "table"],
)
def test_srgb_profiles_change_nothing(profile: bytes) -> None:
    """Whoever wrote it, a profile of sRGB leaves every pixel as it is, and no transform is applied."""
    opened = codec.inspect(encode(PICTURE, "PNG", icc_profile=profile), MAX_PIXELS)
    assert opened.info["icc_profile"] == profile
    assert colours.transform_of(opened) is None
    assert (patches(encode(PICTURE, "PNG", icc_profile=profile)) == PATCHES).all()


def test_a_name_does_not_make_a_profile_srgb() -> None:
    """A linear profile that calls itself sRGB is linear: what a profile does counts, not its name."""
    linear = profiles.rgb(profiles.SRGB, 1.0) + b"sRGB IEC61966-2.1"
    found = patches(encode(PICTURE, "PNG", icc_profile=linear))
    assert np.abs(found - profiles.in_srgb(PATCHES, profiles.SRGB, 1.0)).max() <= 3


def test_transforms_are_kept_but_not_all() -> None:
    """A profile is looked at once; a stream of new ones takes the room of a few."""
    image = Image.new("RGB", (8, 8))
    image.info["icc_profile"] = P3
    first = colours.transform_of(image)
    assert first is not None
    assert colours.transform_of(image) is first
    for step in range(2 * colours.KEPT):
        image.info["icc_profile"] = profiles.rgb(profiles.DISPLAY_P3, 1 + step / 64)
        assert colours.transform_of(image) is not None
    assert len(colours._transforms) == colours.KEPT


def test_small_images_with_a_profile_are_not_decoded_on_the_event_loop() -> None:
    """Whatever may carry a profile is told by its bytes, so that no transform is made where all wait."""
    kinds: tuple[Kind, ...] = ("JPEG", "PNG", "WEBP")
    for kind in kinds:
        assert colours.mentioned(with_profile(kind, P3), kind)
        assert not colours.mentioned(encode(PICTURE, kind), kind)
    assert colours.mentioned(png_with(chunk(b"gAMA", struct.pack(">I", 100_000))), "PNG")
