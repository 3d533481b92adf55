"""Objects out of masks, and their score."""

import numpy as np
from numpy.typing import NDArray

from training.instances import f1, separate, tally


def discs(*places: tuple[int, int, int]) -> NDArray[np.int32]:
    """Draw discs of (row, column, radius), numbered from 1."""
    rows, columns = np.mgrid[0:48, 0:48]
    ids = np.zeros((48, 48), np.int32)
    for number, (row, column, radius) in enumerate(places, start=1):
        ids[(rows - row) ** 2 + (columns - column) ** 2 <= radius**2] = number
    return ids


def test_touching_objects_are_told_apart() -> None:
    """Two discs that overlap become two objects that cover the same pixels; a lone one stays whole."""
    true = discs((12, 14, 8), (12, 28, 8), (36, 36, 5), (40, 8, 1))
    found = separate(true > 0)
    assert found.max() == 4
    assert ((found > 0) == (true > 0)).all()
    assert tally(found, true).hits.tolist()[:7] == [4] * 7


def test_an_empty_mask_has_no_objects() -> None:
    """Nothing in, nothing out; and nothing to find in nothing is no error."""
    empty = np.zeros((16, 16), np.uint8)
    assert separate(empty).max() == 0
    counted = tally(empty, empty)
    assert (counted.true, counted.found, counted.hits.sum()) == (0, 0, 0)


def test_a_full_mask_is_one_object() -> None:
    """Without any background the whole picture is one object."""
    assert (separate(np.ones((16, 16), np.uint8)) == 1).all()


def test_objects_count_above_the_threshold_only() -> None:
    """An object found three quarters counts up to 0.7; a missed and an invented one lower the F1."""
    true, found = np.zeros((10, 20), int), np.zeros((10, 20), int)
    true[:, :4], true[:, 10:12] = 7, 9
    found[:, 1:4], found[:, 16:] = 3, 5
    counted = tally(found, true)
    assert (counted.true, counted.found) == (2, 2)
    assert counted.hits.tolist() == [1, 1, 1, 1, 1, 0, 0, 0, 0, 0]
    assert f1(counted.as_row().astype(float))[0] == 0.5
