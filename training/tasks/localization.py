"""Localization: a class and one box for each image.

Besides the `scores` of `classification`, `box` `[N, 4]`: x_min, y_min, x_max, y_max as fractions in 0..1.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from training.datasets import Samples
from training.schema import Training
from training.tasks import baselines, classification, losses, measures
from training.tasks.baselines import Baselines
from training.tasks.pictures import ANSWER, TRUTH, Picture, frame
from training.tasks.task import (
    WHOLE,
    Found,
    Labels,
    Measured,
    Outputs,
    OwnImages,
    Pretrained,
    TrainedTask,
    no_blends,
)
from training.zoo.votes import vote

_SIDES = ("x_min", "y_min", "x_max", "y_max")


def _head(backbone: keras.Model, label_count: int, settings: Training) -> dict[str, Any]:
    scores = classification.head(backbone, label_count, settings)
    if settings.box_head == "votes":
        return scores | {"box": vote(backbone.output)}
    return scores | {"box": _box_head(backbone.output, settings.head_dropout)}


def _box_head(features: Any, rate: float) -> Any:
    """Four numbers in 0..1: the box's centre and size through a sigmoid, then its corners.

    The lectures take them from pooled features. Pooling forgets where things are, so a feature map is
    narrowed and flattened instead.
    """
    if len(features.shape) == 4:
        side = max(features.shape[1:3])
        if side > 16:
            # A U-Net's features have full size: flattened, they would need 100 million weights.
            features = layers.AveragePooling2D(side // 8, padding="same", name="box_pool")(features)
        features = layers.Conv2D(64, 1, activation="relu", name="box_narrow")(features)
        features = layers.Flatten(name="box_flatten")(features)
    if rate:
        features = layers.Dropout(rate, name="box_dropout")(features)
    features = layers.Dense(128, activation="relu", name="box_dense")(features)
    centre_size = layers.Dense(4, activation="sigmoid", dtype="float32", name="box_centre_size")(features)
    centre, half = centre_size[:, :2], centre_size[:, 2:] / 2
    return ops.clip(ops.concatenate([centre - half, centre + half], axis=1), 0.0, 1.0)


def _goal(settings: Training, label_count: int, _: Any) -> dict[str, Any]:
    several = label_count > 1
    return {
        "loss": {
            "scores": classification.crossentropy(settings) if several else no_loss,
            "box": losses.BOX_LOSSES[settings.box_loss],
        },
        "loss_weights": {"scores": 1.0, "box": settings.box_weight},
        "metrics": {
            "scores": [classification.accuracy()] if several else [],
            "box": [keras.metrics.MeanMetricWrapper(losses.box_iou, name="mean_iou")],
        },
    }


def no_loss(true: Any, predicted: Any) -> Any:
    """Return 0 for each row `[N]`: where there is one label, there is nothing to be wrong about."""
    return 0.0 * ops.sum(predicted, axis=-1)


def _targets(samples: Samples, label_count: int, settings: Training) -> dict[str, NDArray[Any]]:
    assert samples.boxes is not None
    return classification.targets(samples, label_count, settings) | {"box": samples.boxes}


def _collect(parts: Iterable[Outputs], samples: Samples) -> Found:
    assert samples.labels is not None
    scores, boxes = zip(*((part["scores"], part["box"]) for part in parts), strict=True)
    seen = measures.in_sight(np.concatenate(boxes), samples)
    return Found(np.concatenate(scores).astype(np.float64), samples.labels, seen)


def _measure(found: Found, samples: Samples, labels: Labels, _: Any) -> Measured:
    """Measure labels and boxes; an answer is as good as its box's overlap with the true one."""
    assert found.answers is not None
    assert samples.boxes is not None
    named = classification.measure(found, samples, labels)
    overlaps = measures.box_overlaps(found.answers, samples.boxes)
    intervals = dict(named.intervals)
    bias = measures.measure_bias(found.answers, samples.boxes, intervals)
    figures = measures.measure_boxes(overlaps, intervals) | bias | named.figures
    details = {"overlaps": measures.spread(overlaps)}
    return Measured("mean_iou", figures, intervals, named.per_class, named.confusion, overlaps, details)


def _constant_answers(train: Samples, test: Samples, labels: Labels) -> Baselines:
    assert train.boxes is not None
    assert test.boxes is not None
    found = classification.constant_answers(train, test, labels)
    return baselines.of_boxes(train.boxes, test.boxes) | found


def _columns(found: Found, samples: Samples, labels: Labels) -> dict[str, Sequence[Any] | NDArray[Any]]:
    assert found.answers is not None
    assert samples.boxes is not None
    columns = classification.columns(found, samples, labels)
    columns |= {f"true {side}": samples.boxes[:, n] for n, side in enumerate(_SIDES)}
    columns |= {side: found.answers[:, n] for n, side in enumerate(_SIDES)}
    return columns | {"iou": measures.box_overlaps(found.answers, samples.boxes)}


def _draw(image: Picture, outputs: Outputs, truth: Samples | None) -> Picture:
    boxes = [(truth.boxes[0], TRUTH)] if truth is not None and truth.boxes is not None else []
    return frame(image, [*boxes, (outputs["box"][0], ANSWER)])


def _architecture(side: int) -> str:
    return "se-resnet-small" if side < 96 else "se-resnet"


LOCALIZATION = TrainedTask(
    name="localization",
    outputs={
        "scores": classification.MEANING,
        "box": "x_min, y_min, x_max, y_max as fractions of the image's width and height",
    },
    label_output="scores",
    per_pixel=False,
    head=_head,
    goal=_goal,
    targets=_targets,
    monitor=lambda _: "val_box_mean_iou",
    figures={"box_mean_iou": "mean_iou", "scores_accuracy": "accuracy"},
    collect=_collect,
    measure=_measure,
    baselines=_constant_answers,
    columns=_columns,
    shares=classification.shares,
    draw=_draw,
    words=classification.words,
    own=OwnImages(
        _architecture,
        {"box_weight": 2.0} | classification.OWN_TRAINING,
        Pretrained(
            192,
            "-pyramid",
            {"epochs": 40, "batch_size": 16, "learning_rate": 0.001, "patience": 5},
            {"frozen_epochs": 20, "frozen_learning_rate": 0.003, "backbone_rate": 0.2},
        ),
        WHOLE,
    ),
    refused=no_blends("localization")
    | {"augmentation.mirrored_border": "shows objects that no box accounts for: it is for other tasks."},
    # Where only boxes are learnt.
    one_label_is_meant=True,
)
