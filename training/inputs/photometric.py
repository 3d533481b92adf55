"""Random changes of light, colour and sharpness; nothing here moves a pixel."""

import math
from typing import Any

import tensorflow as tf

from training.inputs.chance import Chance
from training.schema import Augmentation

LEAST_STEP = 0.1
"""Two random colours of a stain differ so much in the mean of their channels, or nothing could be seen."""


def change(image: Any, ranges: Augmentation, chance: Chance) -> Any:
    """Return float32 images `[N, H, W, C]`, 0..255, each changed by its own chance within `ranges`."""
    if ranges.resolution:
        image = _coarser(image, ranges.resolution, chance)
    shape = [tf.shape(image)[0], 1, 1, 1]
    if ranges.invert:
        image = tf.where(chance.uniform(shape) < ranges.invert, 255.0 - image, image)
    if ranges.stain:
        image = tf.where(chance.uniform(shape) < ranges.stain, _stained(image, chance), image)
    image = _light(image, ranges, chance)
    if ranges.saturation:
        grey = tf.reduce_mean(image, axis=3, keepdims=True)
        factor = chance.uniform(shape, 1 - ranges.saturation, 1 + ranges.saturation)
        image = grey + (image - grey) * factor
    return tf.clip_by_value(image, 0.0, 255.0)


def _light(image: Any, ranges: Augmentation, chance: Chance) -> Any:
    count = tf.shape(image)[0]
    shape = [count, 1, 1, 1]
    if ranges.gamma:
        power = tf.exp(chance.uniform(shape, -ranges.gamma, ranges.gamma))
        image = 255.0 * tf.pow(tf.maximum(image / 255.0, 1e-6), power)
    if ranges.tint:
        image *= 1.0 + chance.uniform([count, 1, 1, image.shape[3]], -ranges.tint, ranges.tint)
    if ranges.brightness:
        image += 255 * chance.uniform(shape, -ranges.brightness, ranges.brightness)
    if ranges.contrast:
        mean = tf.reduce_mean(image, axis=(1, 2, 3), keepdims=True)
        limit = math.log1p(ranges.contrast)
        image = mean + (image - mean) * tf.exp(chance.uniform(shape, -limit, limit))
    return image


def _coarser(image: Any, part: float, chance: Chance) -> Any:
    """Shrink half of the images to no less than 1 - `part`, a batch by one factor, and enlarge them again."""
    size = tf.cast(tf.shape(image)[1:3], tf.float32)
    small = tf.cast(tf.round(size * (1 - chance.uniform([], 0.0, part))), tf.int32)
    coarse = tf.image.resize(tf.image.resize(image, small, antialias=True), tf.shape(image)[1:3])
    picked = chance.uniform([tf.shape(image)[0], 1, 1, 1]) < 0.5
    return tf.where(picked, tf.ensure_shape(coarse, image.shape), image)


def _stained(image: Any, chance: Chance) -> Any:
    """Paint each image's brightness in the colours between two random ones, as another dye might.

    Where the two are too like each other, the image stays as it is.
    """
    count, channels = tf.shape(image)[0], image.shape[3]
    grey = tf.reduce_mean(image, axis=3, keepdims=True)
    low = tf.reduce_min(grey, axis=(1, 2, 3), keepdims=True)
    high = tf.reduce_max(grey, axis=(1, 2, 3), keepdims=True)
    share = (grey - low) / tf.maximum(high - low, 1.0)
    first, second = (chance.uniform([count, 1, 1, channels], 0.0, 255.0) for _ in range(2))
    step = tf.abs(tf.reduce_mean(second - first, axis=3, keepdims=True))
    return tf.where(step >= 255.0 * LEAST_STEP, first + (second - first) * share, image)
