"""GoogLeNet: Szegedy et al., "Going Deeper with Convolutions" (CVPR 2015), table 1 and figure 2(b).

Without the two auxiliary classifiers, which only training uses, and without local response normalisation
(see `alexnet.py`). With a head of 1,000 classes on 224x224x3 it has 6,998,552 parameters, as the model of
that name in Caffe's zoo; each module costs the multiply-adds that the paper's table gives.
"""

from typing import Any

from keras import Model, layers

from training.zoo.size import Shape

MODULES: tuple[tuple[str, tuple[int, int, int, int, int, int]], ...] = (
    ("3a", (64, 96, 128, 16, 32, 32)),
    ("3b", (128, 128, 192, 32, 96, 64)),
    ("4a", (192, 96, 208, 16, 48, 64)),
    ("4b", (160, 112, 224, 24, 64, 64)),
    ("4c", (128, 128, 256, 24, 64, 64)),
    ("4d", (112, 144, 288, 32, 64, 64)),
    ("4e", (256, 160, 320, 32, 128, 128)),
    ("5a", (256, 160, 320, 32, 128, 128)),
    ("5b", (384, 192, 384, 48, 128, 128)),
)
"""Filters: 1x1; 1x1 before 3x3, 3x3; 1x1 before 5x5, 5x5; 1x1 after the pooling."""


def build(input_shape: Shape) -> Model:
    """Build GoogLeNet: images `[N, H, W, C]` to a feature map `[N, H / 32, W / 32, 1024]`."""
    image = layers.Input(input_shape, name="image")
    x = _convolution(image, 64, 7, "conv1", stride=2)
    x = layers.MaxPooling2D(3, strides=2, padding="same", name="pool1")(x)
    x = _convolution(x, 64, 1, "conv2_reduce")
    x = _convolution(x, 192, 3, "conv2")
    stage = "2"
    for module, filters in MODULES:
        if module[0] != stage:
            x = layers.MaxPooling2D(3, strides=2, padding="same", name=f"pool{stage}")(x)
            stage = module[0]
        x = _inception(x, filters, f"inception{module}")
    return Model(image, x, name="googlenet")


def _inception(x: Any, filters: tuple[int, int, int, int, int, int], name: str) -> Any:
    one, three_reduce, three, five_reduce, five, pooled = filters
    branches = [
        _convolution(x, one, 1, f"{name}_1x1"),
        _convolution(_convolution(x, three_reduce, 1, f"{name}_3x3_reduce"), three, 3, f"{name}_3x3"),
        _convolution(_convolution(x, five_reduce, 1, f"{name}_5x5_reduce"), five, 5, f"{name}_5x5"),
    ]
    pool = layers.MaxPooling2D(3, strides=1, padding="same", name=f"{name}_pool")(x)
    branches.append(_convolution(pool, pooled, 1, f"{name}_project"))
    return layers.Concatenate(name=f"{name}_join")(branches)


def _convolution(x: Any, filters: int, kernel: int, name: str, *, stride: int = 1) -> Any:
    return layers.Conv2D(
        filters,
        kernel,
        strides=stride,
        padding="same",
        activation="relu",
        kernel_initializer="he_normal",
        name=name,
    )(x)
