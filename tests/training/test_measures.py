"""Figures of answers that are known beforehand."""

import numpy as np
import pytest

from training import measures
from training.datasets import Samples


def test_classes_that_are_nowhere_have_no_say_in_masks() -> None:
    """Perfect answers are 1, whatever labels there are besides; a class that is only answered counts 0."""
    masks = np.zeros((3, 8, 8), np.uint8)
    masks[:, :4] = 2
    samples = Samples(np.zeros((3, 8, 8, 3), np.uint8), masks=masks)
    figures, intervals, per_class, _ = measures.measure_masks(masks, samples, ("a", "b", "c", "d"))
    assert figures["mean_iou"] == 1.0
    assert intervals == {}
    assert per_class.keys() == {"a", "c"}
    wrong = np.where(masks == 2, 2, 3).astype(np.uint8)
    figures, *_ = measures.measure_masks(wrong, samples, ("a", "b", "c", "d"))
    assert figures["mean_iou"] == pytest.approx(1 / 3)


def test_a_resample_without_a_class_has_no_say_in_it() -> None:
    """Where one of 41 answers is wrong, no resample takes the class of one image for a failure."""
    true = np.asarray([0] * 20 + [1] * 20 + [2])
    answered = true.copy()
    answered[0] = 1
    figures, intervals, *_ = measures.measure_scores(np.eye(3)[answered], true, ("a", "b", "c"))
    assert figures["macro_f1"] == pytest.approx((38 / 39 + 40 / 41 + 1) / 3)
    low, high = intervals["macro_f1"]
    assert 0.9 < low < figures["macro_f1"] < high <= 1.0


def test_of_a_class_without_images_nothing_is_told() -> None:
    """It is in no mean and in no row; but one that was answered is there, with its false alarms."""
    true = np.asarray([0, 0, 1])
    _, _, per_class, _ = measures.measure_scores(np.eye(4)[[0, 2, 1]], true, ("a", "b", "c", "d"))
    assert per_class.keys() == {"a", "b", "c"}
    assert per_class["c"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "count": 0.0}


def test_top_five_of_many_classes() -> None:
    """The true label among the five best scores counts, the sixth does not."""
    scores = np.tile(np.arange(12.0)[::-1], (2, 1))
    figures, *_ = measures.measure_scores(scores, np.asarray([4, 5]), tuple("abcdefghijkl"))
    assert figures["top5_accuracy"] == 0.5
    assert figures["accuracy"] == 0.0
