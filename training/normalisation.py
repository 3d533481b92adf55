"""uint8 pixels to the numbers a network sees. Inside every exported graph, so that no client repeats it."""

from typing import Any

from keras import ops

from training.recipes import Normalisation


def normalise(images: Any, rule: Normalisation) -> Any:
    """Turn pixels 0..255 `[N, H, W, C]` into float32 0..1; see `recipes.Input.normalisation`."""
    x = ops.cast(images, "float32") / 255.0
    if rule == "light-on-dark":
        rim = ops.concatenate(
            [
                ops.reshape(edge, (ops.shape(x)[0], -1))
                for edge in (x[:, :1], x[:, -1:], x[:, :, :1], x[:, :, -1:])
            ],
            axis=1,
        )
        light = ops.reshape(ops.mean(rim, axis=1), (-1, 1, 1, 1)) > 0.5
        x = ops.where(light, 1.0 - x, x)
    return x
