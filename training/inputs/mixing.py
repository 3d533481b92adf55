"""Blends of two images of one batch, with their scores: for classification only.

A blend has no one box or mask; recipes that ask for it are refused (`registry.check_craft`).
"""

from typing import Any

import tensorflow as tf

from training.inputs.chance import Chance


def mix(batch: dict[str, Any], mixup: float, cutmix: float, chance: Chance) -> dict[str, Any]:
    """Blend each image and its scores with the next one's; with both strengths, a coin decides per batch."""
    if mixup and cutmix:
        first = {"mixed": mix_up(batch, mixup, chance), "cut": cut_mix(batch, cutmix, chance)}
        coin = chance.uniform([]) < 0.5
        return {key: tf.where(coin, first["mixed"][key], first["cut"][key]) for key in batch}
    if mixup:
        return mix_up(batch, mixup, chance)
    return cut_mix(batch, cutmix, chance) if cutmix else batch


def mix_up(batch: dict[str, Any], alpha: float, chance: Chance) -> dict[str, Any]:
    """Blend whole images: Zhang et al., "mixup: Beyond Empirical Risk Minimization" (ICLR 2018), eq. 1."""
    share = chance.beta(tf.shape(batch["image"])[0], alpha)
    share = tf.maximum(share, 1 - share)[:, None]
    image, scores = batch["image"], batch["scores"]
    weight = share[:, :, None, None]
    return {
        **batch,
        "image": weight * image + (1 - weight) * tf.roll(image, 1, axis=0),
        "scores": share * scores + (1 - share) * tf.roll(scores, 1, axis=0),
    }


def cut_mix(batch: dict[str, Any], alpha: float, chance: Chance) -> dict[str, Any]:
    """Paste a rectangle of the next image: Yun et al., "CutMix" (ICCV 2019), eq. 1 and 2.

    The scores are shared by the area that was really pasted, which the edge may have cut.
    """
    image, scores = batch["image"], batch["scores"]
    count, height, width = (tf.shape(image)[axis] for axis in range(3))
    side = tf.sqrt(1 - chance.beta(count, alpha))[:, None]

    def band(length: Any) -> Any:
        centre = chance.uniform([count, 1])
        place = (tf.cast(tf.range(length), tf.float32)[None] + 0.5) / tf.cast(length, tf.float32)
        return tf.abs(place - centre) < side / 2

    hole = band(height)[:, :, None] & band(width)[:, None, :]
    share = 1 - tf.reduce_mean(tf.cast(hole, tf.float32), axis=(1, 2))[:, None]
    return {
        **batch,
        "image": tf.where(hole[..., None], tf.roll(image, 1, axis=0), image),
        "scores": share * scores + (1 - share) * tf.roll(scores, 1, axis=0),
    }
