"""What maps of objects are to learn, and how far they are from it: see `zoo/centres.py` for the maps.

The truth `[N, M, 5]` is that of `Samples.objects`: a box in fractions and a label's index, `NOTHING` where an
image has fewer, `IGNORED` where neither finding nor missing an object counts.
"""

from typing import Any, NamedTuple

import numpy as np
from keras import ops

from training.datasets.dataset import IGNORED
from training.tasks.losses import BOX_LOSSES, Loss
from training.zoo.centres import SIDES, boxes_of

SPREAD = 0.54 / 6
"""The standard deviation of a peak, as a part of its object's sides (Liu et al., alpha / 6)."""
LEAST_SPREAD = 0.5
"""And at least this, in places."""
EDGE = 0.0111
"""So far down, at three standard deviations, a place still learns the box: their beta."""
LIKE_A_MISS = 1e-4
"""Scores are kept this far from 0 and 1, of which the logarithm has none."""


class Aims(NamedTuple):
    """`heat` `[N, h, w, K]`, 1 at the centres of objects; `counted` `[N, h, w]`, 0 where no score is wrong;
    `boxes` `[N, h * w, 4]` with their `weights` `[N, h * w]`, which are 1 in sum for each object; `count`
    `[N]`, the objects.
    """

    heat: Any
    counted: Any
    boxes: Any
    weights: Any
    count: Any


def aims(objects: Any, shape: tuple[int, int], label_count: int) -> Aims:
    """Draw the objects `[N, M, 5]` into maps of the shape (h, w)."""
    height, width = shape
    box, label = objects[..., :SIDES], objects[..., SIDES]
    real = ops.cast(label >= 0, "float32")
    size = np.asarray([width, height], np.float32)
    centre = ops.clip(ops.floor((box[..., :2] + box[..., 2:]) / 2 * size), 0.0, size - 1)
    sides = ops.maximum(box[..., 2:] - box[..., :2], 0.0)
    spread = ops.maximum(SPREAD * sides * size, LEAST_SPREAD)
    across, down = (_bell(centre[..., axis], spread[..., axis], shape[1 - axis]) for axis in (0, 1))
    bells = down[..., :, None] * across[..., None, :] * real[..., None, None]
    heat = ops.stack(
        [
            ops.max(bells * ops.cast(label == index, "float32")[..., None, None], axis=1)
            for index in range(label_count)
        ],
        axis=-1,
    )
    # Where two are equally near, the smaller one is on top.
    area = sides[..., 0] * sides[..., 1]
    owner = ops.argmax(bells * (2 - area)[..., None, None], axis=1)
    own = ops.cast(
        owner[:, None] == np.arange(objects.shape[1], dtype=np.int32)[None, :, None, None], "float32"
    )
    own = own * bells * ops.cast(bells > EDGE, "float32")
    own = own / ops.maximum(ops.sum(own, axis=(2, 3), keepdims=True), 1e-6)
    places = ops.reshape(owner, (-1, height * width, 1))
    return Aims(
        heat,
        1 - _inside(box, ops.cast(label == IGNORED, "float32"), shape),
        ops.take_along_axis(box, places, axis=1),
        ops.reshape(ops.sum(own, axis=1), (-1, height * width)),
        ops.sum(real, axis=1),
    )


def _bell(centre: Any, spread: Any, length: int) -> Any:
    """Return a Gaussian around each centre `[N, M]` at each of `length` places: `[N, M, length]`."""
    away = (np.arange(length, dtype=np.float32) - centre[..., None]) / spread[..., None]
    return ops.exp(-0.5 * ops.square(away))


def _inside(box: Any, chosen: Any, shape: tuple[int, int]) -> Any:
    """Return 1 at the places `[N, h, w]` that lie in one of the chosen boxes."""
    within = []
    for axis, length in ((1, shape[0]), (0, shape[1])):
        middle = (np.arange(length, dtype=np.float32) + 0.5) / length
        low, high = box[..., axis, None], box[..., axis + 2, None]
        within.append(ops.cast((middle >= low) & (middle <= high), "float32"))
    covered = within[0][..., :, None] * within[1][..., None, :] * chosen[..., None, None]
    return ops.max(covered, axis=1)


def objects_loss(kind: str, label_count: int, box_weight: float) -> Loss:
    """Return the loss of maps: Zhou et al.'s penalty-reduced focal loss (eq. 1) of the scores, and the loss
    `kind` of the boxes around each centre, both divided by how many objects an image has in the mean.
    """

    def loss(true: Any, maps: Any) -> Any:
        height, width = maps.shape[1:3]
        aim = aims(ops.cast(true, "float32"), (height, width), label_count)
        score = ops.clip(maps[..., :label_count], LIKE_A_MISS, 1 - LIKE_A_MISS)
        there = ops.cast(aim.heat == 1, "float32")
        found = there * ops.square(1 - score) * ops.log(score)
        invented = (1 - there) * (1 - aim.heat) ** 4 * ops.square(score) * ops.log(1 - score)
        focal = -ops.sum(found + invented * aim.counted[..., None], axis=(1, 2, 3))
        apart = BOX_LOSSES[kind](ops.reshape(aim.boxes, (-1, SIDES)), _rows(boxes_of(maps, label_count)))
        boxed = ops.sum(ops.reshape(apart, (-1, height * width)) * aim.weights, axis=1)
        return (focal + box_weight * boxed) / ops.maximum(ops.mean(aim.count), 1.0)

    return loss


def _rows(boxes: Any) -> Any:
    return ops.reshape(boxes, (-1, SIDES))
