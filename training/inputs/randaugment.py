"""RandAugment: a few changes per image, drawn from one list, all of one strength.

Cubuk et al., "RandAugment: Practical automated data augmentation with a reduced search space" (NeurIPS 2020),
section 3 and appendix A. Its geometric changes are matrices, and so carry boxes and masks along; equalisation
is left out, for it needs each image's histogram.
"""

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from training.inputs.chance import Chance

GEOMETRIC = ("rotate", "shear-x", "shear-y", "translate-x", "translate-y")
PHOTOMETRIC = ("brightness", "contrast", "colour", "sharpness", "solarize", "posterize", "autocontrast")
CHANGES = ("identity", *GEOMETRIC, *PHOTOMETRIC)


@dataclass(frozen=True)
class Picks:
    """`change` int32 `[N, R]`, an index into CHANGES; `strength` float32 `[N, R]` in -1..1."""

    change: Any
    strength: Any

    def of(self, name: str, turn: int) -> Any:
        """Return the strength `[N]` with which the change is made in that turn; 0 where another one is."""
        chosen = self.change[:, turn] == CHANGES.index(name)
        return tf.where(chosen, self.strength[:, turn], 0.0)

    @property
    def turns(self) -> range:
        """The turns, in order."""
        return range(int(self.change.shape[1]))


def pick(count: Any, changes: int, magnitude: float, chance: Chance) -> Picks:
    """Draw `changes` for each of `count` images, each of strength `magnitude` and random sign."""
    sign = tf.where(chance.uniform([count, changes]) < 0.5, -1.0, 1.0)
    return Picks(chance.integers([count, changes], len(CHANGES)), magnitude * sign)


def geometry(picks: Picks) -> Any:
    """Return the geometric picks as matrices `[N, 3, 3]`; see `augmentation.random_matrices`.

    At strength 1: 30 degrees, a shear of 0.3, a shift of 0.45 of the image.
    """
    count = tf.shape(picks.change)[0]
    result = tf.eye(3, batch_shape=[count])
    zero, one = tf.zeros([count]), tf.ones([count])
    for turn in picks.turns:
        angle = picks.of("rotate", turn) * 0.5236
        shear_x, shear_y = picks.of("shear-x", turn) * 0.3, picks.of("shear-y", turn) * 0.3
        shift_x, shift_y = picks.of("translate-x", turn) * 0.9, picks.of("translate-y", turn) * 0.9
        rows = [
            [tf.cos(angle), shear_x - tf.sin(angle), shift_x],
            [shear_y + tf.sin(angle), tf.cos(angle), shift_y],
            [zero, zero, one],
        ]
        result = tf.stack([tf.stack(row, axis=-1) for row in rows], axis=1) @ result
    return result


def recolour(image: Any, picks: Picks) -> Any:
    """Make the photometric changes to images `[N, H, W, C]` of 0..255."""
    for turn in picks.turns:
        strength = {name: picks.of(name, turn)[:, None, None, None] for name in PHOTOMETRIC}
        image = _levels(_blends(image, strength), strength)
    return image


def _blends(image: Any, strength: dict[str, Any]) -> Any:
    """Move away from black, grey, the mean and the blurred image, or towards them (strength below 0)."""
    image = image * (1 + 0.9 * strength["brightness"])
    mean = tf.reduce_mean(image, axis=(1, 2, 3), keepdims=True)
    image = mean + (image - mean) * (1 + 0.9 * strength["contrast"])
    grey = tf.reduce_mean(image, axis=3, keepdims=True)
    image = grey + (image - grey) * (1 + 0.9 * strength["colour"])
    blurred = tf.nn.avg_pool2d(image, 3, 1, "SAME")
    image = blurred + (image - blurred) * (1 + 0.9 * strength["sharpness"])
    return tf.clip_by_value(image, 0.0, 255.0)


def _levels(image: Any, strength: dict[str, Any]) -> Any:
    """Invert the lightest, keep fewer levels, or stretch to black and white."""
    threshold = 256 * (1 - tf.abs(strength["solarize"]))
    image = tf.where(image >= threshold, 255 - image, image)
    step = tf.pow(2.0, tf.round(4 * tf.abs(strength["posterize"])))
    image = tf.where(strength["posterize"] == 0, image, tf.floor(image / step) * step)
    low = tf.reduce_min(image, axis=(1, 2), keepdims=True)
    span = tf.reduce_max(image, axis=(1, 2), keepdims=True) - low
    stretched = (image - low) * 255 / tf.maximum(span, 1.0)
    return tf.where((strength["autocontrast"] != 0) & (span > 1), stretched, image)
