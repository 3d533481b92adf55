"""The losses of boxes and masks. Boxes are `[N, 4]`, x_min, y_min, x_max, y_max as fractions."""

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

Loss = Callable[[Any, Any], Any]
"""(truth, outputs) to a loss per row, `[N]`."""


def _areas(boxes: Any) -> Any:
    sides = ops.maximum(boxes[:, 2:] - boxes[:, :2], 0.0)
    return sides[:, 0] * sides[:, 1]


def box_iou(true: Any, predicted: Any) -> Any:
    """Intersection over union of boxes `[N, 4]`, row by row: `[N]` in 0..1."""
    overlap = ops.concatenate(
        [ops.maximum(true[:, :2], predicted[:, :2]), ops.minimum(true[:, 2:], predicted[:, 2:])], axis=1
    )
    intersection = _areas(overlap)
    return intersection / (_areas(true) + _areas(predicted) - intersection + 1e-7)


def _hull(true: Any, predicted: Any) -> Any:
    return ops.concatenate(
        [ops.minimum(true[:, :2], predicted[:, :2]), ops.maximum(true[:, 2:], predicted[:, 2:])], axis=1
    )


def giou_loss(true: Any, predicted: Any) -> Any:
    """1 - GIoU (Rezatofighi et al., CVPR 2019, eq. 3) plus the mean absolute error of the corners."""
    true = ops.cast(true, predicted.dtype)
    iou = box_iou(true, predicted)
    union = (_areas(true) + _areas(predicted) + 1e-7) / (1 + iou)
    outer = _areas(_hull(true, predicted))
    giou = iou - (outer - union) / (outer + 1e-7)
    return 1 - giou + ops.mean(ops.abs(true - predicted), axis=1)


def ciou_loss(true: Any, predicted: Any) -> Any:
    """1 - CIoU (Zheng et al., "Distance-IoU Loss", AAAI 2020, eq. 8 to 11) plus the error of the corners.

    Besides the overlap it counts the distance of the centres and the difference of the aspect ratios.
    """
    true = ops.cast(true, predicted.dtype)
    iou = box_iou(true, predicted)
    hull = _hull(true, predicted)
    diagonal = ops.sum(ops.square(hull[:, 2:] - hull[:, :2]), axis=1) + 1e-7
    gap = (true[:, :2] + true[:, 2:] - predicted[:, :2] - predicted[:, 2:]) / 2
    distance = ops.sum(ops.square(gap), axis=1) / diagonal
    aspect = ops.square(_slant(true) - _slant(predicted)) * 4 / math.pi**2
    weight = ops.stop_gradient(aspect / (1 - iou + aspect + 1e-7))
    return 1 - iou + distance + weight * aspect + ops.mean(ops.abs(true - predicted), axis=1)


def _slant(boxes: Any) -> Any:
    sides = ops.maximum(boxes[:, 2:] - boxes[:, :2], 0.0) + 1e-4
    return ops.arctan2(sides[:, 0], sides[:, 1])


def mse_loss(true: Any, predicted: Any) -> Any:
    """Mean squared error of centre, height and width: the loss of the lectures."""
    true = ops.cast(true, predicted.dtype)
    error = true - predicted
    centre, size = (error[:, :2] + error[:, 2:]) / 2, error[:, 2:] - error[:, :2]
    return ops.mean(ops.square(ops.concatenate([centre, size], axis=1)), axis=1)


BOX_LOSSES: dict[str, Loss] = {"giou": giou_loss, "ciou": ciou_loss, "mse": mse_loss}
"""Every box loss by the name that recipes use."""


def mask_loss(kind: str, label_count: int, class_weights: Any = None) -> Loss:
    """Return the loss of masks: cross-entropy, and for `dice+cross-entropy` soft Dice loss as well.

    Dice is that of Drozdzal et al., "The Importance of Skip Connections in Biomedical Image Segmentation"
    (DLMIA 2016), with plain sums in the denominator where V-Net has squares, 1 added above and below, and
    averaged over classes. Where given, `class_weights` `[K]` weigh each pixel's cross-entropy by its true
    class.
    """

    def loss(true: Any, predicted: Any) -> Any:
        true = ops.cast(true, "int32")
        if len(predicted.shape) == len(true.shape):
            # Keras drops a last axis of 1 that the truth does not have.
            predicted = predicted[..., None]
        target, entropy = _entropy(true, predicted, label_count)
        if class_weights is not None:
            entropy = entropy * ops.take(ops.convert_to_tensor(class_weights), true)
        entropy = ops.mean(entropy, axis=(1, 2))
        return entropy + _dice(target, predicted) if kind == "dice+cross-entropy" else entropy

    return loss


def _entropy(true: Any, predicted: Any, label_count: int) -> tuple[Any, Any]:
    if label_count == 2:
        target = ops.cast(true[..., None], predicted.dtype)
        return target, keras.losses.binary_crossentropy(target, predicted)
    target = ops.one_hot(true, label_count, dtype=predicted.dtype)
    return target, keras.losses.categorical_crossentropy(target, predicted)


def _dice(target: Any, predicted: Any) -> Any:
    overlap = ops.sum(target * predicted, axis=(1, 2))
    total = ops.sum(target, axis=(1, 2)) + ops.sum(predicted, axis=(1, 2))
    return ops.mean(1 - (2 * overlap + 1.0) / (total + 1.0), axis=-1)
