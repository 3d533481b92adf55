"""One process of `test_distributed.py`: trains as its environment says, and keeps its weights to compare."""

import json
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tests import worlds
from training.fit import distributed, loop
from training.zoo import ARCHITECTURES, Architecture


def build_plain(shape: tuple[int, int, int]) -> keras.Model:
    """Build a network whose batch normalisation and dropout count nothing, though they are computed.

    Thus one process, which sees whole batches at once, can get the same trained weights.
    """
    image = keras.layers.Input(shape)
    features = keras.layers.Flatten()(keras.layers.Conv2D(4, 3, activation="relu", name="conv")(image))
    chance = keras.layers.Dropout(0.5)(keras.layers.BatchNormalization(name="statistics")(features))
    return keras.Model(image, keras.layers.Add()([features, keras.layers.Rescaling(0.0)(chance)]))


PLAIN = Architecture("plain", build_plain, "For tests", (32, 32, 3))


def train(folder: Path, data_dir: Path) -> dict[str, Any]:
    """Train the plain network into the folder, and return the weights of the best epoch by their paths.

    A batch is the whole drawn data set: the order of its images says nothing.
    """
    ARCHITECTURES["plain"] = PLAIN
    # Adam would hide a gradient of the wrong size, and blow up the last digit of one that is all but zero;
    # clipping is each device's own.
    training = {"epochs": 2, "batch_size": 8, "learning_rate": 0.001, "optimizer": "sgd", "gradient_clip": 0}
    recipe = worlds.tiny_recipe(
        "classification", name="plain", architecture="plain", augmentation={}, training=training
    )
    model = loop.train(recipe, folder, data_dir).model()
    return {variable.path.replace("/", "."): np.asarray(variable) for variable in model.weights}


def tell() -> dict[str, Any]:
    """Return how many rows each device here gets of batches that do not divide, and what hosts agree on."""
    strategy = tf.distribute.get_strategy()
    batches = distributed.share(tf.data.Dataset.range(5).batch(4), training=True)
    agree = distributed.agreement()
    if agree is None:
        dealt = strategy.experimental_distribute_dataset(batches)
        return {"parts": [[len(part) for part in strategy.experimental_local_results(b)] for b in dealt]}
    index = strategy.cluster_resolver.task_id
    mean = distributed.mean_over_hosts(np.asarray([index, 1.0]))
    return {"parts": [[len(part)] for part in batches], "agreed": agree(10 + index), "mean": mean.tolist()}


if __name__ == "__main__":
    devices, kept, data = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    if devices == "all":
        halves = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], halves)
    with distributed.scope(devices, kept.parent / "plain") as worker:  # type: ignore[arg-type]
        np.savez(kept, **train(worker.folder, data))
        kept.with_suffix(".json").write_text(json.dumps(tell()))
