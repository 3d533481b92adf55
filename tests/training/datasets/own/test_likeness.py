"""Near-duplicates are found whatever was done to a photo, and different photos are not taken for any."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter

from benchmarks.doubts import cut, encoded
from tests.worlds import photo
from training.datasets.own.likeness import look, near


def noisy(image: Image.Image) -> Image.Image:
    grains = np.random.default_rng(0).normal(0, 6, (image.height, image.width, 3))
    return Image.fromarray(np.clip(np.asarray(image) + grains, 0, 255).astype(np.uint8))


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "re-encoded": lambda image: encoded(image, 40),
    "half the size": lambda image: image.reduce(2),
    "twice the size": lambda image: image.resize((640, 480), Image.Resampling.BICUBIC),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.15),
    "more contrast": lambda image: ImageEnhance.Contrast(image).enhance(1.2),
    "slightly blurred": lambda image: image.filter(ImageFilter.GaussianBlur(1)),
    "cut by 2 %": lambda image: cut(image, 0.02),
    "noise": noisy,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_changed_photo_is_a_near_duplicate(change: Callable[[Image.Image], Image.Image]) -> None:
    """Each of ten photos is found to be near its changed self, and none near any other."""
    photos = [photo(seed) for seed in range(10)]
    looks = {number: look(one) for number, one in enumerate(photos)}
    looks |= {100 + number: look(change(one)) for number, one in enumerate(photos)}
    assert near(looks) == {number: number % 100 for number in looks}


def test_what_only_differs_in_colour_is_another_picture() -> None:
    """A red sign and a blue one of the same form are two pictures; so is no sign at all, however plain."""
    red = photo(1)
    blue = Image.fromarray(np.asarray(red)[..., ::-1])
    assert near({1: look(red), 2: look(blue)}) == {}
    plain = {number: look(Image.new("RGB", (64, 64), (number, 9, 9))) for number in (3, 4)}
    assert near(plain) == {}


def test_groups_are_found_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many photos are compared at a time, the groups are the same, and go by the photos' numbers."""
    looks = {7 * number: look(photo(number % 6)) for number in range(15)}
    expected = {7 * number: 7 * (number % 6) for number in range(15)}
    assert near(looks) == expected
    for block in (1, 4, 14, 15):
        monkeypatch.setattr("training.datasets.own.likeness._BLOCK", block)
        assert near(looks) == expected
    assert near({}) == near({1: looks[0]}) == {}


def test_what_is_near_to_the_same_belongs_together() -> None:
    """Frames of a slow pan, of which the last is no near-duplicate of the first, are one group."""
    wide = photo(5, (640, 240))
    frames = {number: look(wide.crop((4 * number, 0, 320 + 4 * number, 240))) for number in range(60)}
    assert near({0: frames[0], 59: frames[59]}) == {}
    assert near(frames) == dict.fromkeys(range(60), 0)


def test_brightness_and_sharpness_are_measured() -> None:
    """In known pictures: a grey ramp's ends and deviation; a blurred photo is much less sharp than itself."""
    ramp = Image.fromarray(np.arange(200, dtype=np.uint8)[None].repeat(200, axis=0))
    seen = look(ramp)
    assert seen.dark_end == pytest.approx(10, abs=2)
    assert seen.bright_end == pytest.approx(197, abs=2)
    assert seen.deviation == pytest.approx(200 / 12**0.5, abs=1)
    sharp, blurred = look(photo(1)), look(photo(1).filter(ImageFilter.GaussianBlur(12)))
    assert sharp.sharpness is not None
    assert blurred.sharpness is not None
    assert blurred.sharpness < sharp.sharpness / 4
    assert look(photo(1, (90, 60))).sharpness is None
