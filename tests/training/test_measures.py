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
    assert intervals["mean_iou"] == (1.0, 1.0)
    assert per_class.keys() == {"a", "c"}
    wrong = np.where(masks == 2, 2, 3).astype(np.uint8)
    figures, *_ = measures.measure_masks(wrong, samples, ("a", "b", "c", "d"))
    assert figures["mean_iou"] == pytest.approx(1 / 3)


def test_a_resample_without_a_class_has_no_say_in_it() -> None:
    """Where all answers are right, the interval of the macro F1 says so, though a class has one image."""
    true = np.asarray([0] * 20 + [1] * 20 + [2])
    figures, intervals, *_ = measures.measure_scores(np.eye(3)[true], true, ("a", "b", "c"))
    assert figures["macro_f1"] == 1.0
    assert intervals["macro_f1"] == (1.0, 1.0)


def test_top_five_of_many_classes() -> None:
    """The true label among the five best scores counts, the sixth does not."""
    scores = np.tile(np.arange(12.0)[::-1], (2, 1))
    figures, *_ = measures.measure_scores(scores, np.asarray([4, 5]), tuple("abcdefghijkl"))
    assert figures["top5_accuracy"] == 0.5
    assert figures["accuracy"] == 0.0
