"""Maps of objects that say exactly what is true, and what is answered of maps."""

import keras
import numpy as np
from numpy.typing import NDArray

from training.tasks.centres import aims
from training.zoo.centres import SIDES, UNIT, objects_of
from training.zoo.votes import places

LABELS = 3


def perfect(objects: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return the maps `[N, h, w, K + 4]` that say exactly what is true."""
    height, width = shape
    aim = aims(objects, shape, LABELS)
    away = np.abs(np.asarray(aim.boxes) - places(height, width)) * np.asarray([width, height] * 2, np.float32)
    sides = np.log(np.maximum(away, 1e-3) / UNIT).reshape(len(objects), height, width, SIDES)
    return np.concatenate([np.asarray(aim.heat), sides], axis=-1).astype(np.float32)


def answered(maps: NDArray[np.float32], most: int) -> dict[str, NDArray[np.float32]]:
    found = objects_of(keras.ops.convert_to_tensor(maps), most)
    return {name: np.asarray(values) for name, values in found.items()}
