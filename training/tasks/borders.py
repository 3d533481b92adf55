"""Where objects touch: the map that a network learns beside the mask, to tell them apart.

Caicedo et al., "Evaluation of deep learning strategies for nucleus segmentation in fluorescence images"
(Cytometry A, 2019) learn the border as a class of its own; here it is an output of its own, as the border
belongs to the objects, too. `service/tasks/objects.py` starts its flood within the borders.
"""

from typing import Any

import cv2
import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from training.tasks.losses import Loss

REACH = 2
"""A pixel is a border where two objects are within so many pixels of it, in each direction."""

_WINDOW = np.ones((2 * REACH + 1, 2 * REACH + 1), np.uint8)


def between(objects: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Return 1 for the pixels that lie between two objects, uint8 `[N, H, W]`, of ids (0 is background)."""
    return np.stack([_between(ids) for ids in objects])


def _between(ids: NDArray[np.uint16]) -> NDArray[np.uint8]:
    last = np.uint16(np.iinfo(np.uint16).max)
    highest = cv2.dilate(ids, _WINDOW)
    lowest = cv2.erode(np.where(ids > 0, ids, last), _WINDOW)
    return np.asarray((highest > 0) & (lowest != last) & (highest != lowest), np.uint8)


WEIGHT = 10.0
"""Of a pixel that is a border, in the loss: hardly one is, and in many images none, so that the overlap of
Dice would teach to answer nothing. Caicedo et al. weigh it so."""


def border_loss() -> Loss:
    """Return the loss of border maps, `[N]`: cross-entropy, weighed."""

    def loss(true: Any, predicted: Any) -> Any:
        # Keras drops a last axis of 1 that the truth does not have.
        shape = (*ops.shape(true)[:3], 1)
        true, predicted = ops.cast(ops.reshape(true, shape), predicted.dtype), ops.reshape(predicted, shape)
        entropy = keras.losses.binary_crossentropy(true, predicted)
        return ops.mean(entropy * (1 + (WEIGHT - 1) * true[..., 0]), axis=(1, 2))

    return loss
