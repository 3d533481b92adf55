"""uint8 pixels to the numbers a network sees. Inside every exported graph, so that no client repeats it."""

from typing import Any

import tensorflow as tf

from training.schema import Normalisation


def normalise(images: Any, rule: Normalisation) -> Any:
    """Turn pixels 0..255 `[N, H, W, C]` into float32 0..1; see `schema.Input.normalisation`.

    TensorFlow's operations whatever backend Keras has: the input pipeline and the export are TensorFlow's.
    """
    x = tf.cast(images, tf.float32) / 255.0
    if rule == "light-on-dark":
        rim = tf.concat(
            [
                tf.reshape(edge, [tf.shape(x)[0], -1])
                for edge in (x[:, :1], x[:, -1:], x[:, :, :1], x[:, :, -1:])
            ],
            axis=1,
        )
        light = tf.reshape(tf.reduce_mean(rim, axis=1), [-1, 1, 1, 1]) > 0.5
        x = tf.where(light, 1.0 - x, x)
    return x
