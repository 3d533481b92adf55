"""All objects of an image from one feature map: at each place a score for each label, and a box around it.

After Zhou et al., "Objects as Points" (2019): an object is the peak of its label's map at its centre, so that
nothing has to be suppressed afterwards. As in Tian et al., "FCOS: Fully Convolutional One-Stage Object
Detection" (ICCV 2019), each place says how far away the box's four sides are, which the places around a
centre learn, too (Liu et al., "Training-Time-Friendly Network for Real-Time Object Detection", AAAI 2020).
"""

import math
from typing import Any

import keras
import numpy as np
from keras import initializers, layers, ops

from training.zoo.decoder import decode
from training.zoo.votes import places

STRIDE = 4
"""The paper's: pixels of the input for each place of the map."""
COARSEST = 8
"""Features of this stride are taken as they are; from coarser ones a decoder leads back to `STRIDE`."""
WIDTH = 64
PRIOR = 0.1
"""Every place's score at first, as in the paper, so that the many places without an object weigh little."""
UNIT = 4.0
"""The sides are so many places away at first: exp(x) of it, for they are of all sizes."""
REACH = 5.0
"""The largest x, and the least: from a part of a place to hundreds of them."""
SIDES = 4

APART = 1e-6
"""Scores of neighbours are made to differ by this: of two that are alike one is the peak, and not both."""


def object_maps(backbone: keras.Model, label_count: int, dropout: float = 0.0) -> Any:
    """Return `[N, h, w, K + 4]` from any backbone with feature maps: K scores, and four numbers for a box."""
    features = _features(backbone)
    if dropout:
        features = layers.SpatialDropout2D(dropout, name="head_dropout")(features)
    scores = layers.Conv2D(
        label_count,
        1,
        activation="sigmoid",
        bias_initializer=initializers.Constant(math.log(PRIOR / (1 - PRIOR))),
        dtype="float32",
        name="scores",
    )(_branch(features, "scores"))
    sides = layers.Conv2D(SIDES, 1, dtype="float32", name="boxes_sides")(_branch(features, "boxes"))
    return layers.Concatenate(dtype="float32", name="boxes_beside_scores")([scores, sides])


def _features(backbone: keras.Model) -> Any:
    features, side = backbone.output, backbone.input.shape[1]
    if len(features.shape) != 4 or side > COARSEST * features.shape[1]:
        return decode(backbone, STRIDE)
    surplus = STRIDE * features.shape[1] // side
    if surplus > 1:
        features = layers.AveragePooling2D(surplus, padding="same", name="head_pool")(features)
    return features


def _branch(features: Any, name: str) -> Any:
    x = layers.SeparableConv2D(WIDTH, 3, padding="same", use_bias=False, name=f"{name}_conv")(features)
    x = layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def boxes_of(maps: Any, label_count: int) -> Any:
    """Return every place's box `[N, h * w, 4]`: x_min, y_min, x_max, y_max as fractions, unclipped."""
    height, width = maps.shape[1:3]
    away = UNIT * ops.exp(ops.clip(maps[..., label_count:], -REACH, REACH))
    scale = np.asarray([-1 / width, -1 / height, 1 / width, 1 / height], np.float32)
    return ops.reshape(away * scale, (-1, height * width, SIDES)) + places(height, width)


def objects_of(maps: Any, most: int) -> dict[str, Any]:
    """Return the `most` probable peaks of maps `[N, h, w, K + 4]`, the most probable first.

    `boxes` `[N, most, 4]` within 0..1, `scores` `[N, most]`, and `labels` `[N, most]`, whole numbers, all
    float32; fewer than `most` only where the maps have fewer places. What is no peak has the score 0.
    """
    height, width, depth = maps.shape[1:]
    count = depth - SIDES
    heat = maps[..., :count]
    values = ops.reshape(heat * peaks(heat), (-1, height * width * count))
    scores, found = ops.top_k(values, min(most, height * width * count))
    rows = ops.floor_divide(found, count)
    boxes = ops.take_along_axis(boxes_of(maps, count), rows[..., None], axis=1)
    labels = ops.cast(found - rows * count, "float32")
    return {"boxes": ops.clip(boxes, 0.0, 1.0), "scores": scores, "labels": labels}


def peaks(heat: Any) -> Any:
    """Return 1 where no neighbour in maps `[N, h, w, K]` is larger, else 0; of equal ones one is a peak."""
    height, width = heat.shape[1:3]
    y, x = np.mgrid[0:height, 0:width]
    # Nine numbers, of which no place and its eight neighbours share one.
    order = (3 * (y % 3) + x % 3).astype(np.float32)[None, :, :, None]
    distinct = heat + APART * order
    return ops.cast(distinct >= ops.max_pool(distinct, 3, 1, padding="same"), heat.dtype)
