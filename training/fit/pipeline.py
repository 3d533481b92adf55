"""Samples to batches: what `fit` is fed with, shuffled, augmented and normalised inside tf.data."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from training.datasets import Samples
from training.fit import distributed
from training.inputs.augmentation import augment
from training.inputs.normalisation import normalise
from training.schema import Augmentation, Recipe
from training.tasks.registry import TASKS

IN_MEMORY_BYTES = 2 * 2**30
"""A mapped array up to this size is copied into memory, which is quicker for a disk that is slow to seek."""


def pipeline(
    samples: Samples, recipe: Recipe, label_count: int, *, training: bool, epochs: tuple[int, int] = (0, 1)
) -> Any:
    """Return a tf.data.Dataset of (normalised images, targets), and of class weights where asked for.

    For training it holds the epochs from the first number up to the second, one after the other, without a
    break between them; each one's order and augmentation follow from the recipe's seed and its number alone.
    """
    arrays: dict[str, Any] = {"image": samples.images}
    task = TASKS[recipe.task]
    arrays |= task.targets(samples, label_count, recipe.training)
    pickers = {key: _picker(value) for key, value in arrays.items()}
    balance = training and recipe.training.balance and task.loss_classes(samples) is None
    weights = class_weights(samples.labels, label_count) if balance and samples.labels is not None else None

    def gather(rows: Any, seed: Any) -> Any:
        batch = {key: pick(rows) for key, pick in pickers.items()}
        batch["image"] = tf.cast(batch["image"], tf.float32)
        if training and recipe.augmentation != Augmentation():
            batch = augment(batch, recipe.augmentation, seed)
        image = normalise(batch.pop("image"), recipe.input.normalisation)
        if weights is None:
            return image, batch
        # From the scores, for these may have been blended.
        return image, batch, dict.fromkeys(batch, tf.linalg.matvec(batch[task.label_output], weights))

    size = recipe.training.batch_size
    if training:
        order = in_epochs(len(samples), recipe.training.seed, size, epochs)
    else:
        order = tf.data.Dataset.range(len(samples)).batch(size).map(lambda rows: (rows, rows[:2]))
    return distributed.share(order, training=training).map(gather, num_parallel_calls=2).prefetch(2)


def in_epochs(count: int, seed: int, size: int, epochs: tuple[int, int]) -> Any:
    """Return the batches from the first epoch up to the second, as (numbers of rows, seed of the batch)."""

    def batches(epoch: Any) -> Any:
        key = tf.random.fold_in(tf.constant([seed, 0], tf.int64), epoch)
        rows = tf.random.experimental.stateless_shuffle(tf.range(count, dtype=tf.int64), key)
        dataset = tf.data.Dataset.from_tensor_slices(rows).batch(size).enumerate()
        return dataset.map(lambda number, chosen: (chosen, tf.random.fold_in(key, number)))

    return tf.data.Dataset.range(*epochs).flat_map(batches)


def class_weights(labels: NDArray[Any], label_count: int) -> NDArray[np.float32]:
    """Return a weight per class `[K]` by which all classes count the same; the mean image (pixel) counts 1.

    `labels` are indices of any shape: one per image, or whole masks.

    Ten times the least is the most: one image that is seen a hundred times teaches nothing but itself.
    """
    # Image by image: NumPy counts in numbers of 8 bytes, and all masks together may barely fit in one each.
    counts = np.zeros(label_count, np.int64)
    for some in labels if labels.ndim > 1 else [labels]:
        counts += np.bincount(some.ravel(), minlength=label_count)
    weights = np.where(counts > 0, 1 / np.maximum(counts, 1), 0)
    weights = np.minimum(weights, 10 * weights[counts > 0].min())
    return np.asarray(weights * counts.sum() / (weights * counts).sum(), np.float32)


def _picker(array: NDArray[Any]) -> Callable[[Any], Any]:
    """Return what picks a batch of rows from an array, page by page where it is mapped and large."""
    if not isinstance(array, np.memmap) or array.nbytes <= IN_MEMORY_BYTES:
        tensor = tf.constant(array)
        return lambda rows: tf.gather(tensor, rows)

    def pick(rows: Any) -> Any:
        picked = tf.numpy_function(lambda chosen: np.asarray(array[chosen]), [rows], array.dtype)
        return tf.ensure_shape(picked, (None, *array.shape[1:]))

    return pick
