"""What maps of objects are to learn."""

import keras
import numpy as np
import pytest

from tests.training.maps import LABELS, perfect
from training.datasets.dataset import IGNORED, NOTHING
from training.tasks.centres import aims, objects_loss

SHAPE = (16, 16)
LARGE, SMALL = (0.1, 0.1, 0.9, 0.9, 0), (0.3, 0.3, 0.4, 0.4, 2)
NONE = (0, 0, 0, 0, NOTHING)


def test_a_centre_is_one_and_falls_off() -> None:
    """An object is 1 at its centre's place, less around it, and 0 in other labels' maps; of none all is 0."""
    aim = aims(np.asarray([[SMALL, NONE], [NONE, NONE]], np.float32), SHAPE, LABELS)
    heat = np.asarray(aim.heat)
    assert np.argwhere(heat == 1).tolist() == [[0, 5, 5, 2]]
    assert 0 < heat[0, 5, 6, 2] < 1
    assert heat[0, :, :, :2].max() == heat[1].max() == 0
    assert np.asarray(aim.count).tolist() == [1, 0]


def test_each_object_weighs_the_same_and_the_smaller_lies_on_top() -> None:
    """Places near a centre learn its box, large or small, and where both could, that of the smaller one."""
    aim = aims(np.asarray([[LARGE, SMALL]], np.float32), SHAPE, LABELS)
    boxes, weights = np.asarray(aim.boxes).reshape(16, 16, 4), np.asarray(aim.weights).reshape(16, 16)
    small = (boxes == np.asarray(SMALL[:4], np.float32)).all(axis=2) & (weights > 0)
    assert small[5, 5]
    assert weights[small].sum() == pytest.approx(1, abs=1e-5)
    assert weights.sum() == pytest.approx(2, abs=1e-5)


def test_in_a_crowd_nothing_is_invented() -> None:
    """Scores within a box that does not count cost nothing; elsewhere they do."""
    crowd = np.asarray([[(0.0, 0.0, 0.5, 0.5, IGNORED)]], np.float32)
    loss = objects_loss("giou", LABELS, 1.0)

    def cost(row: int) -> float:
        maps = np.zeros((1, *SHAPE, LABELS + 4), np.float32)
        maps[0, row, 4, 1] = 0.9
        return float(loss(crowd, keras.ops.convert_to_tensor(maps))[0])

    assert cost(4) == pytest.approx(0, abs=1e-3)
    assert cost(12) > 1


def test_the_loss_falls_towards_the_truth() -> None:
    """Boxes that are off, scores that are lower, and a second peak that is none all cost more."""
    objects = np.asarray([[LARGE, SMALL]], np.float32)
    right = perfect(objects, SHAPE)
    loss = objects_loss("giou", LABELS, 1.0)

    def cost(maps: object) -> float:
        return float(loss(objects, keras.ops.convert_to_tensor(maps))[0])

    off, unsure, invented = right.copy(), right.copy(), right.copy()
    off[..., LABELS:] += 0.3
    unsure[..., :LABELS] *= 0.5
    invented[0, 14, 2, 1] = 0.9
    least = cost(right)
    assert all(cost(worse) > least + 0.1 for worse in (off, unsure, invented))
