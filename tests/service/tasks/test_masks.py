"""Masks: what is encoded decodes to the same pixels, and sizes are bounded."""

import tracemalloc

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pycocotools import mask as coco

from service.tasks import masks


def blobs(seed: int, height: int = 60, width: int = 80) -> NDArray[np.bool_]:
    """Return smooth random regions with holes."""
    field = np.random.default_rng(seed).normal(size=(height, width)).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(field, (0, 0), 3) > 0.02)


def ring() -> NDArray[np.bool_]:
    """Return a square ring with an island in its hole."""
    binary = np.zeros((40, 40), np.bool_)
    binary[5:35, 5:35] = True
    binary[10:30, 10:30] = False
    binary[17:23, 17:23] = True
    return binary


def refill(binary: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Draw the traced outlines again: everything within an odd number of them."""
    outer, holes = masks.outlines(binary)
    contours = [np.asarray(flat, np.int32).reshape(-1, 1, 2) for flat in (*outer, *holes)]
    canvas = np.zeros(binary.shape, np.uint8)
    cv2.fillPoly(canvas, contours, 1)
    return canvas > 0


@settings(max_examples=100, deadline=None)
@given(
    height=st.integers(1, 20), width=st.integers(1, 20), seed=st.integers(0, 2**32 - 1), share=st.floats(0, 1)
)
def test_run_lengths_decode_to_the_same_mask(height: int, width: int, seed: int, share: float) -> None:
    """COCO's own tools decode the counts to exactly the mask that was encoded, of any size and density."""
    binary = np.random.default_rng(seed).random((height, width)) < share
    counts = masks.run_lengths(binary)
    decoded = coco.decode({"size": [height, width], "counts": counts.encode()})
    assert (decoded.astype(np.bool_) == binary).all()


@pytest.mark.parametrize("seed", range(8))
def test_outlines_refill_to_the_mask(seed: int) -> None:
    """Outlines and holes, filled again, give the mask back, but for pixels on the edges."""
    binary = blobs(seed)
    edge = cv2.dilate(binary.astype(np.uint8), np.ones((3, 3))) != cv2.erode(
        binary.astype(np.uint8), np.ones((3, 3))
    )
    assert ((refill(binary) == binary) | edge).all()
    assert refill(binary).sum() == pytest.approx(binary.sum(), rel=0.1)


def test_outlines_of_a_ring() -> None:
    """A ring with an island in its hole has two outlines and one hole; the island's inside is kept."""
    outer, holes = masks.outlines(ring())
    assert (len(outer), len(holes)) == (2, 1)
    assert refill(ring()).sum() == pytest.approx(ring().sum(), rel=0.01)


def test_outline_of_a_box_is_its_corners() -> None:
    """The outline of a box is its four corner pixels' centres, x before y."""
    binary = np.zeros((10, 20), np.bool_)
    binary[2:5, 7:16] = True
    outer, holes = masks.outlines(binary)
    assert holes == ()
    assert {outer[0][index : index + 2] for index in range(0, 8, 2)} == {(7, 2), (15, 2), (15, 4), (7, 4)}


def test_nothing_has_no_outlines_and_runs() -> None:
    """An empty mask has no outline, and its runs decode to nothing."""
    empty = np.zeros((5, 6), np.bool_)
    assert masks.outlines(empty) == ((), ())
    assert not coco.decode({"size": [5, 6], "counts": masks.run_lengths(empty).encode()}).any()


def test_outlines_of_a_part_are_where_it_is() -> None:
    """The outlines of a part begin at its upper left corner in the whole."""
    binary = np.zeros((10, 20), np.bool_)
    binary[2:5, 7:16] = True
    assert masks.outlines(binary[1:6, 5:18], 5, 1) == masks.outlines(binary)


@settings(max_examples=100, deadline=None)
@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    around=st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)),
    seed=st.integers(0, 2**32 - 1),
    share=st.floats(0.05, 1),
)
def test_runs_of_a_part_are_those_of_the_whole(
    size: tuple[int, int], around: tuple[int, int, int, int], seed: int, share: float
) -> None:
    """What is encoded from its box alone is what COCO's own tools make of the whole mask."""
    part = np.random.default_rng(seed).random(size) < share
    part[0, 0] = True
    top, bottom, left, right = around
    binary = np.pad(part, ((top, bottom), (left, right)))
    assert masks.run_lengths_within(part, left, top, binary.shape) == masks.run_lengths(binary)


# ---- enlarging


def halves(*values: float) -> NDArray[np.float32]:
    """Return probabilities `[8, 8, K]`: the values on the left half, and in reverse on the right."""
    left, right = np.asarray(values, np.float32), np.asarray(values[::-1], np.float32)
    return np.where(np.arange(8)[None, :, None] < 4, left, right) * np.ones((8, 1, 1), np.float32)


@pytest.mark.parametrize("size", [(8, 8), (16, 24), (3, 5), (1, 1), (300, 200)])
@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_enlarged_to_any_size(size: tuple[int, int], channels: int) -> None:
    """Class indices come at the asked size, larger or smaller than the model's, for any number of classes."""
    probabilities = np.random.default_rng(0).random((8, 8, channels), np.float32)
    mask = masks.enlarge(probabilities, *size, 0.5)
    assert mask.shape == size
    assert mask.dtype == np.uint8
    assert mask.max() < max(2, channels)


def test_same_size_is_decided_pixel_by_pixel() -> None:
    """At the model's own size the indices are those of the probabilities as they are."""
    probabilities = np.random.default_rng(0).random((8, 8, 3), np.float32)
    assert (masks.enlarge(probabilities, 8, 8, 0.0) == probabilities.argmax(axis=-1)).all()


def test_one_channel_counts_from_the_threshold_on() -> None:
    """With one channel a probability equal to the threshold counts."""
    probabilities = np.asarray([0.2, 0.5, 0.7], np.float32).reshape(1, 3, 1)
    assert masks.enlarge(probabilities, 1, 3, 0.5).tolist() == [[0, 1, 1]]
    assert masks.enlarge(probabilities, 1, 3, 0.6).tolist() == [[0, 0, 1]]
    assert masks.enlarge(probabilities, 1, 3, 0.0).tolist() == [[1, 1, 1]]
    assert masks.enlarge(probabilities, 1, 3, 1.0).tolist() == [[0, 0, 0]]


def test_weak_winner_gives_way_to_background() -> None:
    """With several classes a winner below the threshold becomes class 0, one at the threshold stays."""
    probabilities = np.asarray([[0.2, 0.5, 0.3], [0.1, 0.1, 0.75], [0.4, 0.35, 0.25]], np.float32)
    probabilities = probabilities.reshape(1, 3, 3)
    assert masks.enlarge(probabilities, 1, 3, 0.0).tolist() == [[1, 2, 0]]
    assert masks.enlarge(probabilities, 1, 3, 0.5).tolist() == [[1, 2, 0]]
    assert masks.enlarge(probabilities, 1, 3, 0.6).tolist() == [[0, 2, 0]]


def test_edges_are_interpolated() -> None:
    """Enlarging interpolates the probabilities: a weaker neighbour moves the edge to where they are equal."""
    mask = masks.enlarge(halves(0.9, 0.3), 32, 32, 0.0)
    assert (mask[:, :15] == 0).all()
    assert (mask[:, 17:] == 1).all()
    strong = masks.enlarge(halves(0.0, 1.0)[..., :1], 32, 32, 0.2)
    assert (strong[:, 15] == 1).all()


def test_far_enlarging_repeats_indices_in_place() -> None:
    """Beyond twice the model's size the picture stays where it is, to within a repeated pixel."""
    mask = masks.enlarge(halves(0.0, 1.0)[..., :1], 800, 800, 0.5)
    assert (mask[:, :375] == 0).all()
    assert (mask[:, 425:] == 1).all()


@pytest.mark.parametrize("size", [(1, 4_000_000), (4_000_000, 1), (4096, 4096)])
def test_largest_images_take_bounded_memory(size: tuple[int, int]) -> None:
    """The largest images cost a few bytes per pixel, not one float per class and pixel."""
    probabilities = np.random.default_rng(0).random((64, 64, 8), np.float32)
    tracemalloc.start()
    try:
        mask = masks.enlarge(probabilities, *size, 0.5)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert mask.shape == size
    assert peak < 2 * mask.size + 8 * 2**20


@pytest.mark.parametrize("size", [(3, 4), (300, 200), (4100, 4100)])
def test_areas_are_exact(size: tuple[int, int]) -> None:
    """Each class's pixels are counted exactly, also where float32 could not."""
    mask = np.zeros(size, np.uint8)
    mask[0, :3] = (1, 2, 2)
    assert masks.areas(mask, 4) == [mask.size - 3, 1, 2, 0]


def test_areas_cost_no_memory() -> None:
    """Counting a large mask's classes makes no copy of it: its price has none."""
    mask = np.zeros((4100, 4100), np.uint8)
    tracemalloc.start()
    try:
        masks.areas(mask, 4)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
