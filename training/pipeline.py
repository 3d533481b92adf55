"""Samples to batches: what `fit` is fed with, shuffled, augmented and normalised inside tf.data."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from training.augmentation import augment
from training.datasets import Samples
from training.normalisation import normalise
from training.recipes import Augmentation, Recipe

IN_MEMORY_BYTES = 2 * 2**30
"""A mapped array up to this size is copied into memory, which is quicker for a disk that is slow to seek."""


def pipeline(samples: Samples, recipe: Recipe, label_count: int, *, training: bool) -> Any:
    """Return a tf.data.Dataset of (normalised images, targets); shuffled and augmented for training."""
    arrays: dict[str, Any] = {"image": samples.images}
    if recipe.task != "segmentation" and samples.labels is not None:
        arrays["scores"] = np.eye(label_count, dtype=np.float32)[samples.labels]
    if recipe.task == "localization":
        arrays["box"] = samples.boxes
    if recipe.task == "segmentation":
        arrays["mask"] = samples.masks
    pickers = {key: _picker(value) for key, value in arrays.items()}

    def gather(rows: Any) -> Any:
        batch = {key: pick(rows) for key, pick in pickers.items()}
        batch["image"] = tf.cast(batch["image"], tf.float32)
        if training and recipe.augmentation != Augmentation():
            batch = augment(batch, recipe.augmentation)
        image = normalise(batch.pop("image"), recipe.input.normalisation)
        return image, batch

    rows = tf.data.Dataset.range(len(samples))
    if training:
        rows = rows.shuffle(len(samples), reshuffle_each_iteration=True)
    batches = rows.batch(recipe.training.batch_size).map(gather, num_parallel_calls=2)
    return batches.prefetch(2)


def _picker(array: NDArray[Any]) -> Callable[[Any], Any]:
    """Return what picks a batch of rows from an array, page by page where it is mapped and large."""
    if not isinstance(array, np.memmap) or array.nbytes <= IN_MEMORY_BYTES:
        tensor = tf.constant(array)
        return lambda rows: tf.gather(tensor, rows)

    def pick(rows: Any) -> Any:
        picked = tf.numpy_function(lambda chosen: np.asarray(array[chosen]), [rows], array.dtype)
        return tf.ensure_shape(picked, (None, *array.shape[1:]))

    return pick
