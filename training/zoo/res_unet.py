"""Residual U-Net: Zhang, Liu, Wang, "Road Extraction by Deep Residual U-Net" (IEEE Geoscience and Remote
Sensing Letters 2018), figure 2 and table I.

Its 3x3 convolutions have 7,780,032 weights, the paper's 7.8 million; the 1x1 convolutions that match the
channels of a shortcut and the normalisations come on top.
"""

from typing import Any

from keras import Model, layers

from training.zoo.size import Shape

FILTERS = (64, 128, 256, 512)


def build(input_shape: Shape) -> Model:
    """Build the residual U-Net trunk: images `[N, H, W, C]` to features `[N, H, W, 64]`."""
    image = layers.Input(input_shape, name="image")
    x = image
    skips = []
    for step, filters in enumerate(FILTERS, start=1):
        x = _unit(x, filters, 1 if step == 1 else 2, f"down{step}")
        skips.append(x)
    for step in range(len(FILTERS) - 1, 0, -1):
        x = layers.UpSampling2D(2, name=f"up{step}_grow")(x)
        x = layers.Concatenate(name=f"up{step}_join")([x, skips[step - 1]])
        x = _unit(x, FILTERS[step - 1], 1, f"up{step}")
    return Model(image, x, name="res-unet")


def _unit(x: Any, filters: int, stride: int, name: str) -> Any:
    y = x
    for half, step in (("a", stride), ("b", 1)):
        # Nothing has been computed yet that the first convolution's input could be normalised for.
        if not (name == "down1" and half == "a"):
            y = layers.BatchNormalization(name=f"{name}_{half}_norm")(y)
            y = layers.ReLU(name=f"{name}_{half}_relu")(y)
        y = layers.Conv2D(
            filters,
            3,
            strides=step,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
            name=f"{name}_{half}_conv",
        )(y)
    shortcut = layers.Conv2D(filters, 1, strides=stride, use_bias=False, name=f"{name}_skip")(x)
    return layers.Add(name=f"{name}_add")([shortcut, y])
