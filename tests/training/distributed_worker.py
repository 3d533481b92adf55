"""One process of `test_distributed.py`: trains as its environment says, and keeps its weights to compare."""

import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tests import worlds
from training import distributed, loop
from training.recipes import Recipe
from training.zoo import ARCHITECTURES, Architecture


def build_plain(shape: tuple[int, int, int]) -> keras.Model:
    """Build a network without chance or statistics, so that one process can get the same weights."""
    image = keras.layers.Input(shape)
    features = keras.layers.Conv2D(4, 3, activation="relu")(image)
    return keras.Model(image, keras.layers.Flatten()(features))


def build_chancy(shape: tuple[int, int, int]) -> keras.Model:
    """Build a network with batch normalisation and dropout."""
    plain = build_plain(shape)
    features = keras.layers.BatchNormalization()(plain.layers[1].output)
    features = keras.layers.Dropout(0.5)(keras.layers.GlobalAveragePooling2D()(features))
    return keras.Model(plain.input, features)


PLAIN = Architecture(build_plain, "For tests", (32, 32, 3))


def recipe(architecture: str) -> Recipe:
    """Return a recipe whose batch is the drawn data set, so that the order of its images says nothing."""
    training = {"epochs": 2, "batch_size": 8, "learning_rate": 0.001}
    return worlds.tiny_recipe(
        "classification", name=architecture, architecture=architecture, augmentation={}, training=training
    )


def train(folder: Path, data_dir: Path, architecture: str) -> list[Any]:
    """Train into the folder and return the weights at the end of the run's best epoch."""
    return list(loop.train(recipe(architecture), folder, data_dir).model().get_weights())


if __name__ == "__main__":
    devices, kept = sys.argv[1], Path(sys.argv[2])
    ARCHITECTURES["plain"] = PLAIN
    ARCHITECTURES["chancy"] = Architecture(build_chancy, "For tests", (32, 32, 3))
    if devices == "all":
        halves = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], halves)
    for name in sys.argv[4:]:
        with distributed.scope(devices, kept.parent / name) as place:  # type: ignore[arg-type]
            np.savez(kept.with_suffix(f".{name}.npz"), *train(place.folder, Path(sys.argv[3]), name))
