"""Networks that `keras.applications` has, wrapped: VGG16, ResNet-50, Xception, EfficientNetV2-B0.

Each stands in one flat graph behind our own input, images of 0..1, and behind the arithmetic that turns these
into what the published ImageNet weights were trained on. A grey image is given to them three times over.
"""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
from keras import Model, layers, ops

from training.zoo.size import Shape


@dataclass(frozen=True)
class Preprocessing:
    """What a network's authors did with RGB pixels: in words, and as `x * scale + offset` on 0..1."""

    words: str
    scale: tuple[float, float, float]
    offset: tuple[float, float, float]
    reverse: bool = False
    """Blue first, as Caffe's image reader gave them; `scale` and `offset` are then in that order too."""


CAFFE = Preprocessing(
    "blue, green, red; 0..255 less the mean of ImageNet",
    scale=(255.0, 255.0, 255.0),
    offset=(-103.939, -116.779, -123.68),
    reverse=True,
)
CENTRED = Preprocessing("-1..1", scale=(2.0, 2.0, 2.0), offset=(-1.0, -1.0, -1.0))
STANDARD = Preprocessing(
    "less the mean of ImageNet, by its standard deviation",
    scale=(1 / 0.229, 1 / 0.224, 1 / 0.225),
    offset=(-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225),
)


def vgg16(input_shape: Shape, weights: str | None = None) -> Model:
    """Simonyan, Zisserman, "Very Deep Convolutional Networks" (ICLR 2015), table 1, column D.

    The convolutions only, 14,714,688 parameters, without the paper's three dense layers.
    """
    return _wrap(keras.applications.VGG16, input_shape, weights, CAFFE, "vgg16")


def resnet50(input_shape: Shape, weights: str | None = None) -> Model:
    """He et al., "Deep Residual Learning for Image Recognition" (CVPR 2016), table 1, 50 layers.

    23,587,712 parameters; 25,636,712 with a head of 1,000 classes.
    """
    return _wrap(keras.applications.ResNet50, input_shape, weights, CAFFE, "resnet50")


def xception(input_shape: Shape, weights: str | None = None) -> Model:
    """Chollet, "Xception: Deep Learning with Depthwise Separable Convolutions" (CVPR 2017), figure 5.

    20,861,480 parameters; 22,910,480 with a head of 1,000 classes.
    """
    return _wrap(keras.applications.Xception, input_shape, weights, CENTRED, "xception")


def efficientnet_v2_b0(input_shape: Shape, weights: str | None = None) -> Model:
    """Tan, Le, "EfficientNetV2: Smaller Models and Faster Training" (ICML 2021), the smallest of the family.

    5,919,312 parameters; 7,200,312 with a head of 1,000 classes.
    """

    def make(**options: Any) -> Model:
        return keras.applications.EfficientNetV2B0(include_preprocessing=False, **options)

    return _wrap(make, input_shape, weights, STANDARD, "efficientnetv2-b0")


def _wrap(
    make: Callable[..., Model],
    input_shape: Shape,
    weights: str | None,
    preprocessing: Preprocessing,
    name: str,
) -> Model:
    image = layers.Input(input_shape, name="image")
    x = image
    if input_shape[-1] == 1:
        x = layers.Concatenate(name="grey_to_rgb")([x, x, x])
    if preprocessing.reverse:
        x = ops.flip(x, axis=-1)
    x = layers.Rescaling(preprocessing.scale, preprocessing.offset, name="preprocess")(x)
    model = make(include_top=False, weights=weights, input_tensor=x)
    _name(model)
    return Model(image, model.output, name=name)


def _name(model: Model) -> None:
    """Number the layers without a name of their own from 1: Keras goes on from the network built before.

    Weights are carried from one network to another by these names.
    """
    counts: Counter[str] = Counter()
    for operation in model.operations:
        if found := re.fullmatch(r"(conv2d|batch_normalization|add|flip)(_\d+)?", operation.name):
            counts[found[1]] += 1
            operation.name = f"{found[1]}_{counts[found[1]]}"
