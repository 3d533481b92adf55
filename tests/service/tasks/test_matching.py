"""Rows of detection are compared by their objects, in whatever order these are listed."""

import numpy as np
from numpy.typing import NDArray

from service.tasks.matching import differences, overlaps, pairs

Row = dict[str, NDArray[np.float32]]


def make_row(*objects: tuple[float, int, tuple[float, float, float, float]]) -> Row:
    """Return a row of (score, label, box)."""
    scores, labels, boxes = zip(*objects, strict=True)
    return {
        "boxes": np.asarray(boxes, np.float32),
        "scores": np.asarray(scores, np.float32),
        "labels": np.asarray(labels, np.float32),
    }


LEFT, RIGHT, LOW = (0.1, 0.1, 0.3, 0.3), (0.5, 0.1, 0.7, 0.3), (0.1, 0.6, 0.3, 0.8)


def test_overlaps_are_those_of_all_pairs() -> None:
    """A box with itself is 1, with one moved by half of its side a third, with one apart or empty 0."""
    first = np.asarray([(0.0, 0.0, 0.2, 0.2)], np.float32)
    second = np.asarray([first[0], (0.1, 0, 0.3, 0.2), (0.2, 0, 0.4, 0.2), (0, 0, 0, 0)], np.float32)
    np.testing.assert_allclose(overlaps(first, second), [[1, 1 / 3, 0, 0]], atol=1e-6)


def test_order_alone_is_no_difference() -> None:
    """Two objects whose scores tie may come in either order, and by ever so little as the next."""
    one = make_row((0.8, 0, LEFT), (0.8, 1, RIGHT), (0.01, 0, LOW))
    other = make_row((0.81, 1, RIGHT), (0.8, 0, (0.1, 0.1, 0.3, 0.31)), (0.01, 1, LEFT))
    found = differences(one, other, 0.2)
    np.testing.assert_allclose([found["boxes"], found["scores"]], [0.01, 0.01], atol=1e-6)


def test_what_one_row_lacks_is_told_by_its_score() -> None:
    """A missing, an added and a doubled object differ by what lies between their score and the least."""
    whole, less = make_row((0.9, 0, LEFT), (0.6, 0, RIGHT)), make_row((0.9, 0, LEFT), (0.0, 0, LOW))
    doubled = make_row((0.9, 0, LEFT), (0.6, 0, (0.1, 0.1, 0.3, 0.31)))
    for one, other in ((whole, less), (less, whole), (less, doubled)):
        assert abs(differences(one, other, 0.2)["scores"] - 0.4) < 1e-6


def test_another_label_is_another_object() -> None:
    """Where the same box has another label, neither row has the other's object."""
    one, other = make_row((0.9, 0, LEFT), (0.0, 0, LOW)), make_row((0.7, 1, LEFT), (0.0, 1, LOW))
    labels = {(float(one["labels"][a]), float(other["labels"][b])) for a, b in pairs(one, other)}
    assert labels <= {(0.0, 0.0), (1.0, 1.0)}
    assert abs(differences(one, other, 0.2)["scores"] - 0.7) < 1e-6


def test_a_full_list_owes_nothing_to_the_less_probable() -> None:
    """What is less probable than the last one of a full list cannot be in it."""
    one, other = make_row((0.9, 0, LEFT), (0.5, 0, RIGHT)), make_row((0.9, 0, LEFT), (0.51, 0, LOW))
    assert abs(differences(one, other, 0.2)["scores"] - 0.01) < 1e-6
