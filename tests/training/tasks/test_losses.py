"""Losses of boxes and masks against numbers worked out by hand."""

import math

import numpy as np
import pytest

from training.tasks import losses
from training.tasks.measures import box_overlaps

BOX = np.asarray([[0.0, 0.0, 0.5, 0.5]], np.float32)


@pytest.mark.parametrize("name", losses.BOX_LOSSES)
def test_box_losses_fall_towards_the_truth(name: str) -> None:
    """A loss is 0 at the truth and falls steadily towards it, also where the boxes do not touch."""
    loss = losses.BOX_LOSSES[name]
    boxes = [[[d, d, d + 0.5, d + 0.5]] for d in (0.5, 0.4, 0.1, 0.0)]
    values = [float(loss(BOX, np.asarray(box, np.float32))[0]) for box in boxes]
    assert values == sorted(values, reverse=True)
    assert values[-1] == pytest.approx(0, abs=1e-5)


def test_giou_by_hand() -> None:
    """Side by side, a quarter apart: no overlap, union 0.5, hull 0.625; the corners 0.375 off on average."""
    found = np.asarray([[0.75, 0.0, 1.25, 0.5]], np.float32)
    giou = 0 - (0.625 - 0.5) / 0.625
    assert float(losses.giou_loss(BOX, found)[0]) == pytest.approx(1 - giou + 0.375, abs=1e-4)


def test_ciou_by_hand() -> None:
    """Half the box, the same corner: IoU 1/2, centres 1/8 apart on a diagonal of sqrt(1/2), aspect 2:1."""
    found = np.asarray([[0.0, 0.0, 0.5, 0.25]], np.float32)
    aspect = 4 / math.pi**2 * (math.atan2(0.5, 0.5) - math.atan2(0.5, 0.25)) ** 2
    ciou = 0.5 - (1 / 64) / 0.5 - aspect * aspect / (0.5 + aspect)
    assert float(losses.ciou_loss(BOX, found)[0]) == pytest.approx(1 - ciou + 0.0625, abs=1e-3)


def test_mse_is_that_of_centre_and_size() -> None:
    """A box half as high: its centre is 1/8 off, its height 1/4, of four numbers."""
    found = np.asarray([[0.0, 0.0, 0.5, 0.25]], np.float32)
    assert float(losses.mse_loss(BOX, found)[0]) == pytest.approx((1 / 64 + 1 / 16) / 4)


@pytest.mark.parametrize("labels", [2, 3])
@pytest.mark.parametrize("kind", ["dice+cross-entropy", "cross-entropy"])
def test_mask_loss_is_least_at_the_truth(labels: int, kind: str) -> None:
    """A perfect mask has nearly no loss, the opposite one a large one."""
    true = np.zeros((1, 8, 8), np.uint8)
    true[0, 2:6, 2:6] = 1
    if labels == 2:
        right = np.where(true[..., None] == 1, 0.999, 0.001).astype(np.float32)
    else:
        right = np.where(np.eye(3)[true] == 1, 0.998, 0.001).astype(np.float32)
    loss = losses.mask_loss(kind, labels)
    assert float(loss(true, right)[0]) < 0.05
    assert float(loss(true, 1 - right)[0]) > 1


def test_class_weights_weigh_pixels() -> None:
    """The cross-entropy of a pixel counts as much as the weight of its true class says."""
    true = np.asarray([[[0, 1], [1, 1]]], np.uint8)
    half = np.full((1, 2, 2, 1), 0.5, np.float32)
    loss = losses.mask_loss("cross-entropy", 2, np.asarray([3.0, 1.0], np.float32))
    assert float(loss(true, half)[0]) == pytest.approx(math.log(2) * (3 + 1 + 1 + 1) / 4, rel=1e-4)


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
