"""Losses and metrics against numbers worked out by hand."""

import numpy as np
import pytest

from training import losses
from training.datasets import Samples
from training.evaluate import measure
from training.measures import box_overlaps, class_map

BOX = np.asarray([[0.0, 0.0, 0.5, 0.5]], np.float32)


@pytest.mark.parametrize(
    ("other", "iou"),
    [
        ([0.0, 0.0, 0.5, 0.5], 1.0),
        ([0.25, 0.0, 0.75, 0.5], 1 / 3),
        ([0.5, 0.5, 1.0, 1.0], 0.0),
        ([0.0, 0.0, 1.0, 1.0], 0.25),
        ([0.3, 0.3, 0.3, 0.3], 0.0),
    ],
)
def test_box_iou(other: list[float], iou: float) -> None:
    """Intersection over union is right in training and in evaluation."""
    found = np.asarray([other], np.float32)
    assert float(losses.box_iou(BOX, found)[0]) == pytest.approx(iou, abs=1e-5)
    assert box_overlaps(BOX, found)[0] == pytest.approx(iou, abs=1e-5)


def test_measures_of_a_mask_by_hand() -> None:
    """Dice and mean IoU over all pixels: 3 hits, 1 false alarm, 1 miss, 4 right rejections."""
    true = np.asarray([[[1, 1, 1], [1, 0, 0], [0, 0, 0]]], np.uint8)
    found = np.asarray([[[1, 1, 1], [0, 1, 0], [0, 0, 0]]], np.float32)[..., None]
    samples = Samples(np.zeros((1, 3, 3, 1), np.uint8), masks=true)
    result = measure([{"mask": found}], samples, ("background", "nucleus"))
    assert result.headline == "dice"
    assert result.figures["dice"] == pytest.approx(6 / 8)
    assert result.figures["mean_iou"] == pytest.approx((3 / 5 + 4 / 6) / 2)


def test_measures_of_classes_by_hand() -> None:
    """Accuracy, and per class how many answers are right and how many of its images are found."""
    scores = np.asarray([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]], np.float32)
    samples = Samples(np.zeros((4, 2, 2, 1), np.uint8), np.asarray([0, 1, 1, 0], np.int32))
    result = measure([{"scores": scores}], samples, ("cat", "dog"))
    assert result.figures["accuracy"] == 0.75
    assert result.figures["macro_recall"] == 0.75
    assert result.figures["macro_f1"] == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert result.per_class["cat"] == pytest.approx(
        {"precision": 2 / 3, "recall": 1, "f1": 4 / 5, "count": 2}
    )
    assert result.per_class["dog"] == pytest.approx({"precision": 1, "recall": 0.5, "f1": 2 / 3, "count": 2})
    assert result.details["confusion"] == [[2, 0], [1, 1]]


def test_class_map_of_three_classes_is_the_most_probable() -> None:
    """Of several channels the largest wins."""
    probabilities = np.asarray([[[[0.2, 0.5, 0.3], [0.6, 0.1, 0.3]]]], np.float32)
    assert class_map(probabilities).tolist() == [[[1, 0]]]
