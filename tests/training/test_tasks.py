"""Losses and metrics against numbers worked out by hand."""

import numpy as np
import pytest

from training import tasks
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
    assert float(tasks.box_iou(BOX, found)[0]) == pytest.approx(iou, abs=1e-5)
    assert box_overlaps(BOX, found)[0] == pytest.approx(iou, abs=1e-5)


def test_box_loss_falls_towards_the_truth() -> None:
    """The loss is 0 at the truth and falls steadily towards it, also where the boxes do not touch."""
    far, near, touching = ([[d, d, d + 0.5, d + 0.5]] for d in (0.5, 0.4, 0.1))
    losses = [
        float(tasks.box_loss(BOX, np.asarray(box, np.float32))[0]) for box in (far, near, touching, BOX)
    ]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("labels", [2, 3])
def test_mask_loss_is_least_at_the_truth(labels: int) -> None:
    """A perfect mask has nearly no loss, the opposite one a large one."""
    true = np.zeros((1, 8, 8), np.uint8)
    true[0, 2:6, 2:6] = 1
    if labels == 2:
        right = np.where(true[..., None] == 1, 0.999, 0.001).astype(np.float32)
    else:
        right = np.where(np.eye(3)[true] == 1, 0.998, 0.001).astype(np.float32)
    good = float(tasks.mask_loss(true, right, labels)[0])
    bad = float(tasks.mask_loss(true, 1 - right, labels)[0])
    assert good < 0.05
    assert bad > 1


def test_measures_of_a_mask_by_hand() -> None:
    """Dice and mean IoU over all pixels: 3 hits, 1 false alarm, 1 miss, 4 right rejections."""
    true = np.asarray([[[1, 1, 1], [1, 0, 0], [0, 0, 0]]], np.uint8)
    found = np.asarray([[[1, 1, 1], [0, 1, 0], [0, 0, 0]]], np.float32)[..., None]
    samples = Samples(np.zeros((1, 3, 3, 1), np.uint8), masks=true)
    result = measure({"mask": found}, samples, ("background", "nucleus"))
    assert result.headline == "dice"
    assert result.figures["dice"] == pytest.approx(6 / 8)
    assert result.figures["mean_iou"] == pytest.approx((3 / 5 + 4 / 6) / 2)


def test_measures_of_classes_by_hand() -> None:
    """Accuracy, and per class how many answers are right and how many of its images are found."""
    scores = np.asarray([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]], np.float32)
    samples = Samples(np.zeros((4, 2, 2, 1), np.uint8), np.asarray([0, 1, 1, 0], np.int32))
    result = measure({"scores": scores}, samples, ("cat", "dog"))
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
