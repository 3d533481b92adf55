"""The objects of an answer: what was separated at the model's size, shown at the posted image's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.tasks import instances, masks
from service.tasks.objects import separate


def drawn(*places: tuple[int, int, int], side: int = 48) -> NDArray[np.float32]:
    """Draw discs of (row, column, radius) as probabilities `[side, side, 1]` with soft edges."""
    rows, columns = np.mgrid[0:side, 0:side]
    depth = [radius + 0.5 - np.hypot(rows - r, columns - c) for r, c, radius in places]
    return np.asarray(1 / (1 + np.exp(-2 * np.max(depth, axis=0))), np.float32)[..., None]


TWINS = drawn((12, 14, 8), (12, 28, 8), (36, 36, 6))


def whole(objects: instances.Objects, height: int, width: int) -> NDArray[np.int64]:
    """Put the masks of all objects back where their boxes are: numbers from 1 `[height, width]`."""
    ids = np.zeros((height, width), np.int64)
    for number, one in enumerate(objects.found, start=1):
        x_min, y_min, x_max, y_max = one.box
        part = ids[y_min:y_max, x_min:x_max]
        pixels = np.asarray(objects.pixels(one))
        assert pixels.shape == part.shape, "the mask is as large as the box"
        assert pixels[:, [0, -1]].any(axis=0).all(), "the box is tight"
        assert pixels[[0, -1]].any(axis=1).all(), "the box is tight"
        assert not part[pixels].any(), "no pixel belongs to two objects"
        part[pixels] = number
    return ids


@pytest.mark.parametrize("size", [(48, 48), (20, 31), (96, 96), (97, 150), (480, 480), (1201, 333)])
def test_what_touches_is_told_apart_at_any_size(size: tuple[int, int]) -> None:
    """A pair of overlapping discs and a lone one are three objects, however large the posted image is."""
    objects = instances.find(TWINS, *size, 0.5)
    assert len(objects.found) == 3
    ids = whole(objects, *size)
    middle = [
        ids[int(row * size[0] / 48), int(column * size[1] / 48)] for row, column in ((12, 11), (12, 31))
    ]
    assert 0 < middle[0] != middle[1] > 0


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    channels=st.integers(1, 4),
    threshold=st.sampled_from((0.0, 0.3, 0.5, 0.9)),
    seed=st.integers(0, 2**32 - 1),
)
def test_objects_cover_exactly_the_class_mask(
    height: int, width: int, channels: int, threshold: float, seed: int
) -> None:
    """Of any answer at any size: areas, boxes and masks agree, and add up to the mask that is answered."""
    probabilities = np.random.default_rng(seed).random((12, 16, channels), np.float32)
    shown = masks.enlarge(probabilities, height, width, threshold)
    objects = instances.find(probabilities, height, width, threshold)
    ids = whole(objects, height, width)
    assert ((ids > 0) == (shown > 0)).all()
    for number, one in enumerate(objects.found, start=1):
        assert one.area == (ids == number).sum()
        assert (shown[ids == number] == one.index).all()
        assert 0 <= one.score <= 1


def test_at_the_models_size_they_are_what_is_measured() -> None:
    """At the model's own size the objects are those of `separate`, which training's figures come from."""
    objects = instances.find(TWINS, 48, 48, 0.5)
    assert (objects.ids == separate(TWINS[..., 0] >= 0.5)).all()


def test_objects_of_two_classes_are_separate() -> None:
    """Where an object of one class touches one of another, each has its own class, area and number."""
    probabilities = np.zeros((8, 8, 3), np.float32)
    probabilities[..., 0] = 0.2
    probabilities[2:6, 1:4, 1] = 0.7
    probabilities[2:6, 4:7, 2] = 0.5
    found = instances.find(probabilities, 8, 8, 0.0).found
    assert [(one.index, one.box, one.area) for one in found] == [(1, (1, 2, 4, 6), 12), (2, (4, 2, 7, 6), 12)]
    assert [one.score for one in found] == pytest.approx([0.7, 0.5])


def test_the_score_is_the_mean_probability() -> None:
    """An object's score is the mean of its class's probability over its pixels, not of the whole image."""
    probabilities = np.full((4, 6, 1), 0.1, np.float32)
    probabilities[1, 1:3, 0] = 0.6, 1.0
    (one,) = instances.find(probabilities, 4, 6, 0.5).found
    assert one.score == pytest.approx(0.8)


def test_a_class_that_only_wins_between_pixels_is_found() -> None:
    """Where interpolation alone lets a third class win, its pixels are an object too."""
    probabilities = np.zeros((1, 2, 3), np.float32)
    probabilities[0, 0] = 0.56, 0.44, 0.0
    probabilities[0, 1] = 0.0, 0.44, 0.56
    assert 1 in masks.enlarge(probabilities, 2, 4, 0.0)
    objects = instances.find(probabilities, 2, 4, 0.0)
    assert {one.index for one in objects.found} == {1, 2}
    assert ((whole(objects, 2, 4) > 0) == (masks.enlarge(probabilities, 2, 4, 0.0) > 0)).all()


def test_of_many_objects_the_largest_are_listed() -> None:
    """More than the most are cut to the largest, and all of them are still known."""
    probabilities = np.zeros((90, 90, 1), np.float32)
    probabilities[::2, ::2] = 1
    probabilities[40:42, 40:42] = 1
    objects = instances.find(probabilities, 90, 90, 0.5)
    assert len(objects.found) > instances.MOST
    listed = objects.largest(drawn=False)
    assert len(listed) == instances.MOST
    assert listed[0].area == max(one.area for one in objects.found)


def test_masks_of_nested_objects_are_bounded() -> None:
    """Rings around each other have a box of nearly all of a large photo each: not all of them are drawn."""
    rows, columns = np.mgrid[0:64, 0:64]
    rings = (np.maximum(abs(rows - 32), abs(columns - 32)) % 2 == 0).astype(np.float32)[..., None]
    objects = instances.find(rings, 4000, 4000, 0.5)
    listed = objects.largest(drawn=True)
    assert 1 <= len(listed) < len(objects.found) == len(objects.largest(drawn=False))
    boxes = [(x_max - x_min) * (y_max - y_min) for x_min, y_min, x_max, y_max in (one.box for one in listed)]
    assert sum(boxes) <= 4 * 4000 * 4000


def test_edges_are_the_outermost_pixels_of_each() -> None:
    """An outline follows each object within its own pixels, also where two touch."""
    objects = instances.find(TWINS, 48, 48, 0.5)
    edges, inside = objects.edges(), objects.ids > 0
    assert edges.shape == (48, 48)
    assert not edges[~inside].any()
    assert edges[12, 20:23].any(), "between the twins"
    assert not edges[12, 10:16].any(), "within one"
