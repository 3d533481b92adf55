"""Many boxes on a photo: their captions lie in the picture and do not cover each other."""

import io
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from service.images import captions
from service.images.captions import Captioned, Rect
from service.images.codec import Photo

sides = st.lists(st.floats(0, 1), min_size=2, max_size=2).map(sorted)
boxes = st.tuples(sides, sides).map(
    lambda two: (two[0][0] * 300, two[1][0] * 200, two[0][1] * 300, two[1][1] * 200)
)


@given(boxes=st.lists(boxes, min_size=1, max_size=40), width=st.integers(5, 120), height=st.integers(5, 30))
def test_captions_do_not_cover_each_other(boxes: list[Rect], width: int, height: int) -> None:
    """Each that is written lies at its box, whole in the picture, and over no other."""
    found = captions.places(boxes, [(width, height)] * len(boxes), (300, 200))
    assert len(found) == len(boxes)
    assert found[0] is not None
    written = [(box, place) for box, place in zip(boxes, found, strict=True) if place is not None]
    for box, (x_min, y_min, x_max, y_max) in written:
        assert (x_max - x_min, y_max - y_min) == pytest.approx((width, height))
        assert 0 <= x_min <= x_max <= 300.001
        assert 0 <= y_min <= y_max <= 200.001
        assert x_min <= box[2]
        assert box[0] <= x_max
        assert y_min <= box[3]
        assert box[1] <= y_max
    for (_, one), (_, other) in itertools.combinations(written, 2):
        apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
        assert apart


def test_boxes_far_apart_are_all_captioned() -> None:
    """None is left out that has room."""
    far = [(float(x), float(y), x + 30.0, y + 30.0) for x in (10, 110, 210) for y in (30, 130)]
    assert None not in captions.places(far, [(60, 14)] * 6, (300, 200))


def test_300_boxes_are_drawn() -> None:
    """Each in its colour, the first on top, captions among them; of an image of one pixel as well."""
    chance = np.random.default_rng(0)
    lows = chance.random((300, 2)) * (560, 380)
    many = [
        Captioned((x, y, x + 40, y + 20), f"cell {number}", (number % 256, 90, 200))
        for number, (x, y) in enumerate(lows.tolist())
    ]
    drawn = np.asarray(
        Image.open(io.BytesIO(captions.overlay_boxes(Photo(Image.new("RGB", (600, 400)), 600, 400), many)))
    )
    assert drawn.shape == (400, 600, 3)
    colours = {tuple(each) for each in drawn.reshape(-1, 3).tolist()}
    assert len({(number % 256, 90, 200) for number in range(300)} & colours) > 200
    assert any(min(each) > 200 for each in colours)
    tiny = captions.overlay_boxes(Photo(Image.new("L", (1, 1)), 1, 1), many[:2])
    assert Image.open(io.BytesIO(tiny)).size == (1, 1)
