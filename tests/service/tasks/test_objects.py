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
