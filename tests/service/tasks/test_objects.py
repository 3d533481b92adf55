"""Objects out of masks: the one separation of both halves."""

import numpy as np
import pytest
from numpy.typing import NDArray

from service.tasks.objects import separate


def discs(*places: tuple[int, int, int]) -> NDArray[np.bool_]:
    """Draw discs of (row, column, radius)."""
    rows, columns = np.mgrid[0:48, 0:48]
    inside = [(rows - r) ** 2 + (columns - c) ** 2 <= radius**2 for r, c, radius in places]
    return np.asarray(np.any(inside, axis=0))


def test_touching_objects_are_told_apart() -> None:
    """Two discs that overlap become two objects that cover the same pixels; lone ones stay whole."""
    true = discs((12, 14, 8), (12, 28, 8), (36, 36, 5), (40, 8, 1))
    found = separate(true)
    assert found.max() == 4
    assert ((found > 0) == true).all()
    assert found[12, 14] != found[12, 28]
    assert (found[:, :20][true[:, :20] & (np.arange(48)[:, None] < 25)] == found[12, 14]).all()


def test_an_empty_mask_has_no_objects() -> None:
    """Nothing in, nothing out."""
    assert separate(np.zeros((16, 16), np.uint8)).max() == 0


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (16, 16), (3, 40)])
def test_a_full_mask_is_one_object(size: tuple[int, int]) -> None:
    """Without any background the whole picture is one object."""
    assert (separate(np.ones(size, np.uint8)) == 1).all()


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_every_pixel_of_the_mask_is_in_one_connected_object(share: float) -> None:
    """Whatever the mask, its pixels are all numbered, none beside them, and the numbers have no gaps."""
    mask = np.random.default_rng(0).random((40, 30)) < share
    found = separate(mask)
    assert ((found > 0) == mask).all()
    assert set(np.unique(found)) - {0} == set(range(1, found.max() + 1))


def test_borders_that_are_told_separate_what_no_shape_does() -> None:
    """Four squares that make one, by a border with a hole in it; each pixel goes to its own object."""
    mask, border = np.zeros((44, 44), np.uint8), np.zeros((44, 44), np.float32)
    mask[2:42, 2:42] = 1
    border[2:42, 21:23] = border[21:23, 2:42] = 0.9
    border[10, 21:23] = 0.3
    assert separate(mask).max() == 1
    found = separate(mask, border)
    assert found.max() == 4
    assert ((found > 0) == (mask > 0)).all()
    corners = [found[5, 5], found[5, 38], found[38, 5], found[38, 38]]
    assert sorted(corners) == [1, 2, 3, 4]
    for corner, rows in zip(corners, ((2, 21, 2, 21), (2, 21, 23, 42), (23, 42, 2, 21)), strict=False):
        top, bottom, left, right = rows
        assert (found[top:bottom, left:right] == corner).all()
    # Each of them gets its half of the border.
    assert np.bincount(found.ravel())[1:].tolist() == pytest.approx([400] * 4, abs=40)


def test_what_is_all_border_is_separated_by_its_shape() -> None:
    """An object too small to have an inside, or one whose inside was missed, is not lost."""
    mask = np.zeros((20, 40), np.uint8)
    mask[5:15, 5:15] = mask[8:10, 30:32] = 1
    found = separate(mask, np.ones((20, 40), np.float32))
    assert ((found > 0) == (mask > 0)).all()
    assert found[9, 9] != found[9, 31]
    assert found.max() == 2
    assert (separate(mask, np.zeros((20, 40), np.float32)) == separate(mask)).all()
