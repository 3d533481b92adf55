"""The score of objects that were told apart."""

import numpy as np

from training.tasks.instances import f1, tally


def test_nothing_is_found_in_nothing() -> None:
    """Nothing to find and nothing found is no error."""
    empty = np.zeros((16, 16), np.uint8)
    counted = tally(empty, empty)
    assert (counted.true, counted.found, counted.hits.sum()) == (0, 0, 0)


def test_objects_count_above_the_threshold_only() -> None:
    """An object found three quarters counts up to 0.7; a missed and an invented one lower the F1."""
    true, found = np.zeros((10, 20), int), np.zeros((10, 20), int)
    true[:, :4], true[:, 10:12] = 7, 9
    found[:, 1:4], found[:, 16:] = 3, 5
    counted = tally(found, true)
    assert (counted.true, counted.found) == (2, 2)
    assert counted.hits.tolist() == [1, 1, 1, 1, 1, 0, 0, 0, 0, 0]
    assert f1(counted.as_row().astype(float))[0] == 0.5
