"""Segmentation: a class for every pixel.

`mask` `[N, H, W, K]` are probabilities per pixel; with two classes `[N, H, W, 1]`, that of the second.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from training.datasets import DatasetError, Samples
from training.schema import Training
from training.tasks import baselines, borders, losses, measures
from training.tasks.baselines import Baselines
from training.tasks.measures import class_map
from training.tasks.pictures import Picture, colour
from training.tasks.task import (
    Found,
    Labels,
    Measured,
    Outputs,
    OwnImages,
    Pretrained,
    TrainedTask,
    no_blends,
)
from training.zoo.decoder import decode

PIXELS = 200_000
"""So many pixels, drawn by chance, stand for all where masks are calibrated."""


def _head(backbone: keras.Model, label_count: int, settings: Training) -> dict[str, Any]:
    features = backbone.output
    if len(features.shape) != 4 or features.shape[1:3] != backbone.input.shape[1:3]:
        features = decode(backbone)
    channels, activation = (1, "sigmoid") if label_count == 2 else (label_count, "softmax")
    planes = {"mask": layers.Conv2D(channels, 1, activation=activation, dtype="float32", name="mask")}
    if settings.mask_border:
        planes["border"] = layers.Conv2D(1, 1, activation="sigmoid", dtype="float32", name="border")
    return {name: plane(features) for name, plane in planes.items()}


def _goal(settings: Training, label_count: int, class_weights: Any) -> dict[str, Any]:
    loss = losses.mask_loss(settings.mask_loss, label_count, class_weights)
    border = {"border": borders.border_loss()} if settings.mask_border else {}
    return {"loss": {"mask": loss} | border, "metrics": {"mask": [_mean_iou(label_count)]}}


def _mean_iou(label_count: int) -> keras.metrics.Metric:
    if label_count == 2:
        # Of both classes, as in the evaluation: one name for one figure.
        return keras.metrics.BinaryIoU(target_class_ids=[0, 1], name="mean_iou")
    return keras.metrics.MeanIoU(label_count, sparse_y_pred=False, name="mean_iou")


def _targets(samples: Samples, label_count: int, settings: Training) -> dict[str, NDArray[Any]]:
    assert samples.masks is not None
    if not settings.mask_border:
        return {"mask": samples.masks}
    if samples.instances is None or label_count != 2:
        raise DatasetError(
            "training.mask_border: the borders between objects are learnt from masks of one label whose "
            "values number the objects; here they do not. Leave it out, or say --masks instances if they do."
        )
    return {"mask": samples.masks, "border": borders.between(samples.instances)}


def _collect(parts: Iterable[Outputs], samples: Samples) -> Found:
    """Keep the class maps `[N, H, W]`, the objects where their borders are told, and the probabilities of
    some pixels.
    """
    assert samples.masks is not None
    rows: list[NDArray[np.float32]] = []
    maps: list[NDArray[np.uint8]] = []
    objects: list[NDArray[np.int32]] = []
    count = samples.masks.size
    drawn = np.random.default_rng(0).integers(count, size=PIXELS) if count > PIXELS else np.arange(count)
    pixels = np.sort(drawn if samples.contents is None else drawn[_inside(drawn, samples)])
    start = 0
    for part in parts:
        flat = part["mask"].reshape(-1, part["mask"].shape[-1])
        first, last = np.searchsorted(pixels, (start, start + len(flat)))
        rows.append(flat[pixels[first:last] - start])
        maps.append(class_map(part["mask"]))
        for found, border in zip(maps[-1], part.get("border", ()), strict=False):
            inside = measures.within(samples.contents, len(objects))
            objects.append(measures.separated(found, inside, border[..., 0]))
        start += len(flat)
    some = np.concatenate(rows).astype(np.float64)
    if some.shape[1] == 1:
        some = np.hstack([1 - some, some])
    true = samples.masks.ravel()[pixels]
    return Found(some, true, np.concatenate(maps), np.stack(objects) if objects else None)


def _inside(pixels: NDArray[np.intp], samples: Samples) -> NDArray[np.bool_]:
    """Tell which of all masks' pixels, by their numbers `[M]`, are of an image and not of its padding."""
    assert samples.masks is not None
    assert samples.contents is not None
    rows, ys, xs = np.unravel_index(pixels, samples.masks.shape)
    x_min, y_min, x_max, y_max = samples.contents[rows].T
    return np.asarray((xs >= x_min) & (xs < x_max) & (ys >= y_min) & (ys < y_max))


def _measure(
    found: Found, samples: Samples, labels: Labels, objects: NDArray[np.int32] | None = None
) -> Measured:
    """Measure masks; where objects are not given, the service's way of separating finds them."""
    assert found.answers is not None
    objects = found.objects if objects is None else objects
    parts = measures.measure_masks(found.answers, samples, labels, objects)
    headline = "dice" if len(labels) == 2 else "mean_iou"
    return Measured(headline, *parts, measures.mask_quality(found.answers, samples))


def _constant_answers(train: Samples, test: Samples, labels: Labels) -> Baselines:
    assert train.masks is not None
    return baselines.of_masks(train.masks, test, labels, train.contents)


def _columns(found: Found, samples: Samples, _: Labels) -> dict[str, Sequence[Any] | NDArray[Any]]:
    assert found.answers is not None
    return {"dice": measures.mask_quality(found.answers, samples)}


def _shares(outputs: Outputs, label_count: int) -> NDArray[Any]:
    classes = class_map(outputs["mask"]).ravel()
    return np.asarray(np.bincount(classes, minlength=label_count) / len(classes))


def _draw(image: Picture, outputs: Outputs, truth: Samples | None) -> Picture:
    """Draw the answer, on the right of the truth where that is given."""
    answer = colour(image, class_map(outputs["mask"])[0])
    if truth is None or truth.masks is None:
        return answer
    return np.hstack([colour(image, truth.masks[0]), answer])


def _tolerance(answers: Outputs) -> dict[str, float]:
    """Allow for masks what a difference of 0.02 in a probability makes, for a sample, and 1 % at the least.

    A network that has hardly been trained, or knows nothing that is drawn here, is undecided in many pixels;
    which of them turn says nothing of how the picture was decoded.
    """
    rows = answers["mask"]
    leads = np.abs(2 * rows[..., 0] - 1) if rows.shape[-1] == 1 else np.ptp(np.sort(rows)[..., -2:], axis=-1)
    return {"mask": float(np.clip((leads < 0.04).mean(axis=(1, 2)).max(), 0.01, 0.1))}


_NOTHING = "does nothing to masks: leave it out."

SEGMENTATION = TrainedTask(
    name="segmentation",
    outputs={
        "mask": "probability of each label, pixel by pixel; with one channel, of the second label",
        "border": "probability that a pixel lies between two objects",
    },
    label_output="mask",
    per_pixel=True,
    head=_head,
    goal=_goal,
    targets=_targets,
    # Keras names figures by their output where there are several.
    monitor=lambda settings: "val_mask_mean_iou" if settings.mask_border else "val_mean_iou",
    figures={"mask_mean_iou": "mean_iou"},
    loss_classes=lambda samples: samples.masks,
    collect=_collect,
    measure=_measure,
    baselines=_constant_answers,
    columns=_columns,
    shares=_shares,
    draw=_draw,
    words=lambda _, __, ___: [],
    own=OwnImages(
        lambda side: "unet" if side % 32 else "se-resnet-unet",
        {},
        Pretrained(
            192,
            "-unet",
            {"epochs": 24, "batch_size": 8, "learning_rate": 0.001, "patience": 4},
            {"frozen_epochs": 12, "frozen_learning_rate": 0.003, "backbone_rate": 0.2},
        ),
        ("stretch", "stretched, so that masks have all of the network's pixels"),
        least_side=64,
        mirrored=True,
    ),
    refused=no_blends("segmentation")
    | {"training.label_smoothing": _NOTHING, "training.head_dropout": _NOTHING},
    # Of several classes the most probable one counts, however sure; of two, whichever is above half.
    threshold=lambda label_count: 0.5 if label_count == 2 else 0.0,
    tolerance=_tolerance,
    # Its probabilities take most of the room.
    golden_bytes=frozenset({"mask", "border"}),
)
