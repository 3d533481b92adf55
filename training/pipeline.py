"""Samples to batches: what `fit` is fed with, shuffled, augmented and normalised inside tf.data."""

from typing import Any

import numpy as np
import tensorflow as tf

from training.augmentation import augment
from training.datasets import Samples
from training.normalisation import normalise
from training.recipes import Recipe


def pipeline(samples: Samples, recipe: Recipe, label_count: int, *, training: bool) -> Any:
    """Return a tf.data.Dataset of (normalised images, targets); shuffled and augmented for training."""
    arrays: dict[str, Any] = {"image": samples.images}
    if recipe.task != "segmentation" and samples.labels is not None:
        arrays["scores"] = np.eye(label_count, dtype=np.float32)[samples.labels]
    if recipe.task == "localization":
        arrays["box"] = samples.boxes
    if recipe.task == "segmentation":
        arrays["mask"] = samples.masks
    tensors = {key: tf.constant(value) for key, value in arrays.items()}

    def gather(rows: Any) -> Any:
        batch = {key: tf.gather(value, rows) for key, value in tensors.items()}
        batch["image"] = tf.cast(batch["image"], tf.float32)
        if training:
            batch = augment(batch, recipe.augmentation)
        image = normalise(batch.pop("image"), recipe.input.normalisation)
        return image, batch

    rows = tf.data.Dataset.range(len(samples))
    if training:
        rows = rows.shuffle(len(samples), reshuffle_each_iteration=True)
    batches = rows.batch(recipe.training.batch_size).map(gather, num_parallel_calls=2)
    return batches.prefetch(2)
