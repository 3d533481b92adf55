"""Tiles: they cover an image of any size, and what is answered for them becomes one answer without a seam."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.images import tiling
from service.images.tiling import Blend

sizes = st.tuples(st.integers(1, 300), st.integers(1, 300))
tiles = st.tuples(st.integers(8, 70), st.integers(8, 70))


@given(size=sizes, tile=tiles, share=st.floats(0, 0.5))
def test_tiles_cover_every_pixel_with_their_overlap(
    size: tuple[int, int], tile: tuple[int, int], share: float
) -> None:
    """The first begins and the last ends where the image does; neighbours share as much as was asked for."""
    overlap = int(share * min(tile))
    plan = tiling.tiled(size, tile, overlap)
    for starts, side, length in zip((plan.columns, plan.rows), size, tile, strict=True):
        assert starts[0] == 0
        assert starts[-1] == max(0, side - length)
        for one, other in itertools.pairwise(starts):
            assert 1 <= other - one <= length - overlap
        # None too many: with one less they could not cover it.
        assert len(starts) == 1 or (len(starts) - 1) * (length - overlap) + overlap < side
    assert len(plan) == len(plan.corners) == len(set(plan.corners))


@given(size=sizes, tile=tiles, share=st.floats(0, 0.5), seed=st.integers(0, 2**16))
def test_what_all_tiles_say_alike_comes_out(
    size: tuple[int, int], tile: tuple[int, int], share: float, seed: int
) -> None:
    """Of a network that answers each pixel by itself, the blend is what it would answer for the image."""
    plan = tiling.tiled(size, tile, int(share * min(tile)))
    image = np.random.default_rng(seed).random((size[1], size[0], 2)).astype(np.float32)
    blend = Blend(plan, 2)
    for corner in plan.corners:
        found = tiling.cut(image, corner, tile)
        assert found.shape == (tile[1], tile[0], 2)
        blend.add(corner, found.astype(np.float32))
    assert np.abs(blend.answer() - image).max() < 1e-5


def test_beyond_a_small_image_it_is_mirrored() -> None:
    """What a tile has beside its image is the image's own, so that no edge is seen where there is none."""
    image = np.arange(6).reshape(2, 3)
    assert tiling.cut(image, (0, 0), (5, 3)).tolist() == [[0, 1, 2, 2, 1], [3, 4, 5, 5, 4], [3, 4, 5, 5, 4]]
    assert tiling.cut(np.ones((2, 2, 3)), (0, 0), (20, 30)).shape == (30, 20, 3)


def test_what_is_nearer_to_the_middle_counts_more() -> None:
    """Two tiles that contradict each other fade into each other over what they share."""
    plan = tiling.tiled((12, 4), (8, 4), 4)
    assert plan.columns == (0, 4)
    blend = Blend(plan, 1)
    blend.add((0, 0), np.zeros((4, 8, 1), np.float32))
    blend.add((4, 0), np.ones((4, 8, 1), np.float32))
    row = blend.answer()[0, :, 0]
    assert (row[:4] == 0).all()
    assert row[4:8] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert row[8:] == pytest.approx([1, 1, 1, 1])


@given(size=sizes, tile=tiles, share=st.floats(0, 0.5), seed=st.integers(0, 2**16))
def test_each_pixel_counts_once_in_the_mean_of_tiles(
    size: tuple[int, int], tile: tuple[int, int], share: float, seed: int
) -> None:
    """It is the mean over the image of what is blended of tiles that say one number each."""
    plan = tiling.tiled(size, tile, int(share * min(tile)))
    values = np.random.default_rng(seed).random(len(plan))
    blend = Blend(plan, 1)
    for corner, value in zip(plan.corners, values, strict=True):
        blend.add(corner, np.full((tile[1], tile[0], 1), value, np.float32))
    assert tiling.mean(plan, values.tolist()) == pytest.approx(float(blend.answer().mean()), abs=1e-5)
