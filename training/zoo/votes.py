"""A box from a feature map by votes: each place says where the box's sides are, and how much it counts.

As in Tian et al., "FCOS: Fully Convolutional One-Stage Object Detection" (ICCV 2019), each place of the map
regresses its distances to the four sides. The surest place alone would be a choice without a gradient; so
the box is the mean of all places' boxes, weighted by a softmax over the places: the soft-argmax of Luvizon
et al., "2D/3D Pose Estimation and Action Recognition" (CVPR 2018), of boxes. An object that moves is then
found by the same weights elsewhere, which dense layers have to learn place by place.
"""

from typing import Any

import numpy as np
from keras import initializers, layers, ops
from numpy.typing import NDArray

FIRST = -1.0986
"""Its sigmoid is 1/4: how far the sides are away at first."""


def vote(features: Any) -> Any:
    """Return boxes `[N, 4]` of 0..1, x_min, y_min, x_max, y_max, from a feature map `[N, h, w, C]`.

    Before training, every place answers a box of half the image's width and height around itself.
    """
    height, width = features.shape[1:3]
    weights = layers.Conv2D(1, 1, dtype="float32", name="box_vote")(features)
    weights = layers.Flatten(dtype="float32", name="box_places")(weights)
    weights = layers.Softmax(dtype="float32", name="box_weights")(weights)
    sides = layers.Conv2D(
        4,
        1,
        activation="sigmoid",
        bias_initializer=initializers.Constant(FIRST),
        dtype="float32",
        name="box_sides",
    )(features)
    sides = layers.Reshape((height * width, 4), dtype="float32", name="box_rows")(sides)
    boxes = sides * np.asarray([-1, -1, 1, 1], np.float32) + places(height, width)
    box = layers.Dot(axes=1, dtype="float32", name="box_mean")([weights, boxes])
    return ops.clip(box, 0.0, 1.0)


def places(height: int, width: int) -> NDArray[np.float32]:
    """Return the centres of a map's places twice over, `[1, h * w, 4]`, x, y, x, y as fractions."""
    y, x = np.mgrid[0:height, 0:width].reshape(2, -1)
    centres = np.stack([(x + 0.5) / width, (y + 0.5) / height], axis=1).astype(np.float32)
    return np.concatenate([centres, centres], axis=1)[None]
