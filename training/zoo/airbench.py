"""The network of Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU" (arXiv 2404.00498, 2024), section
3.1.

Made to be quick to train: a convolution without padding on 2x2 pixels, then three groups of two 3x3
convolutions, where the first is pooled before it is normalised, so that only convolutions, which processors
do well, work at full size. The normalisations have no scale, as what follows undoes it. With a ten-class head
on 32x32x3 there are 1,971,650 trained parameters: those of the paper's airbench94.py, counted from its code,
and the head's bias.

Here the first convolution learns, where the paper gives it the principal patches of the training images, and
rectifiers take the place of GELU, which takes a CPU longer.
"""

from typing import Any

from keras import Model, layers

from training.zoo.size import Shape


def build(input_shape: Shape, *, widths: tuple[int, ...], name: str) -> Model:
    """Build the network: images `[N, H, W, C]` of 9 pixels or more to a feature map `[N, h, w, widths[-1]]`.

    `widths` are the filters of the groups, each of which halves the size; of `(H - 1) // 8` rows after three
    of them, the last pooling leaves a third, rounded up: 1 of 32 pixels, 2 of 49.
    """
    image = layers.Input(input_shape, name="image")
    # As many filters as the patches of two by two pixels of three colours have directions, each up and down.
    x = layers.Conv2D(24, 2, kernel_initializer="he_normal", name="stem_conv")(image)
    x = layers.ReLU(name="stem_relu")(x)
    for number, filters in enumerate(widths, start=1):
        x = _convolution(x, filters, f"group{number}_a", pooled=True)
        x = _convolution(x, filters, f"group{number}_b", pooled=False)
    x = layers.MaxPooling2D(3, padding="same", name="pool")(x)
    return Model(image, x, name=name)


def _convolution(x: Any, filters: int, name: str, *, pooled: bool) -> Any:
    x = layers.Conv2D(
        filters, 3, padding="same", use_bias=False, kernel_initializer="he_normal", name=f"{name}_conv"
    )(x)
    if pooled:
        x = layers.MaxPooling2D(2, name=f"{name}_pool")(x)
    x = layers.BatchNormalization(momentum=0.95, scale=False, name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)
