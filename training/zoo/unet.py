"""U-Net: Ronneberger, Fischer, Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation"
(MICCAI 2015), figure 1, in the lectures' smaller form: 16 to 256 filters, "same" padding, dropout between
the two convolutions of each step. With a one-channel sigmoid head on 128x128x3 it has 1,941,105 parameters.
"""

from typing import Any

from keras import Model, layers

from training.zoo.size import Shape

FILTERS = (16, 32, 64, 128, 256)
DROPOUT = (0.1, 0.1, 0.2, 0.2, 0.3)


def build(input_shape: Shape) -> Model:
    """Build the U-Net trunk: images `[N, H, W, C]` to features `[N, H, W, 16]`.

    Height and width must be multiples of 16: there are four poolings by 2.
    """
    image = layers.Input(input_shape, name="image")
    x = image
    skips = []
    for step, (filters, rate) in enumerate(zip(FILTERS[:-1], DROPOUT[:-1], strict=True), start=1):
        x = _double_convolution(x, filters, rate, f"down{step}")
        skips.append(x)
        x = layers.MaxPooling2D(2, name=f"down{step}_pool")(x)
    x = _double_convolution(x, FILTERS[-1], DROPOUT[-1], "bottom")
    for step in range(len(skips), 0, -1):
        filters = FILTERS[step - 1]
        x = layers.Conv2DTranspose(filters, 2, strides=2, padding="same", name=f"up{step}_grow")(x)
        x = layers.Concatenate(name=f"up{step}_join")([x, skips[step - 1]])
        x = _double_convolution(x, filters, DROPOUT[step - 1], f"up{step}")
    return Model(image, x, name="unet")


def _double_convolution(x: Any, filters: int, rate: float, name: str) -> Any:
    for half in ("a", "b"):
        x = layers.Conv2D(
            filters,
            3,
            padding="same",
            activation="relu",
            kernel_initializer="he_normal",
            name=f"{name}_conv_{half}",
        )(x)
        if half == "a":
            x = layers.Dropout(rate, name=f"{name}_dropout")(x)
    return x
