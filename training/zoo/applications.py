"""Networks that `keras.applications` has: VGG16, ResNet-50, Xception, EfficientNetV2-B0, MobileNetV3 and
ConvNeXt-Tiny.

Each stands in one flat graph behind our own input, images of 0..1, and behind the arithmetic that turns these
into what the published ImageNet weights were trained on. A grey image is given to them three times over.
`weights` is always a file of these (`published.py`), None for an untrained network.
"""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
from keras import Model, layers, ops

from training.zoo import convnext
from training.zoo.published import Published
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


def vgg16(input_shape: Shape, weights: Path | None = None) -> Model:
    """Simonyan, Zisserman, "Very Deep Convolutional Networks" (ICLR 2015), table 1, column D.

    The convolutions only, 14,714,688 parameters, without the paper's three dense layers.
    """
    return _wrap(keras.applications.VGG16, input_shape, weights, CAFFE, "vgg16")


def resnet50(input_shape: Shape, weights: Path | None = None) -> Model:
    """He et al., "Deep Residual Learning for Image Recognition" (CVPR 2016), table 1, 50 layers.

    23,587,712 parameters; 25,636,712 with a head of 1,000 classes.
    """
    return _wrap(keras.applications.ResNet50, input_shape, weights, CAFFE, "resnet50")


def xception(input_shape: Shape, weights: Path | None = None) -> Model:
    """Chollet, "Xception: Deep Learning with Depthwise Separable Convolutions" (CVPR 2017), figure 5.

    20,861,480 parameters; 22,910,480 with a head of 1,000 classes.
    """
    return _wrap(keras.applications.Xception, input_shape, weights, CENTRED, "xception")


def efficientnet_v2_b0(input_shape: Shape, weights: Path | None = None) -> Model:
    """Tan, Le, "EfficientNetV2: Smaller Models and Faster Training" (ICML 2021), the smallest of the family.

    5,919,312 parameters; 7,200,312 with a head of 1,000 classes.
    """

    def make(**options: Any) -> Model:
        return keras.applications.EfficientNetV2B0(include_preprocessing=False, **options)

    return _wrap(make, input_shape, weights, STANDARD, "efficientnetv2-b0")


def mobilenet_v3_small(input_shape: Shape, weights: Path | None = None) -> Model:
    """Howard et al., "Searching for MobileNetV3" (ICCV 2019), table 2.

    939,120 parameters; 2,554,968 with the paper's two last layers and 1,000 classes.
    """
    return _mobilenet(keras.applications.MobileNetV3Small, input_shape, weights, "mobilenetv3-small")


def mobilenet_v3_large(input_shape: Shape, weights: Path | None = None) -> Model:
    """Howard et al., "Searching for MobileNetV3" (ICCV 2019), table 1.

    2,996,352 parameters; 5,507,432 with the paper's two last layers and 1,000 classes.
    """
    return _mobilenet(keras.applications.MobileNetV3Large, input_shape, weights, "mobilenetv3-large")


def _mobilenet(make: Callable[..., Model], input_shape: Shape, weights: Path | None, name: str) -> Model:
    def bare(**options: Any) -> Model:
        return make(include_preprocessing=False, **options)

    return _wrap(bare, input_shape, weights, CENTRED, name)


def convnext_tiny(input_shape: Shape, weights: Path | None = None) -> Model:
    """Liu et al., "A ConvNet for the 2020s" (CVPR 2022), the smallest of the family; see `convnext.py`.

    27,820,128 parameters; 28,589,128 with a head of 1,000 classes.
    """
    image = layers.Input(input_shape, name="image")
    model = convnext.build(image, _prepared(image, STANDARD), "convnext-tiny")
    if weights:
        donor = keras.applications.ConvNeXtTiny(
            include_top=False, weights=str(weights), input_shape=(32, 32, 3)
        )
        convnext.assign(model, donor)
    return model


def load(input_shape: Shape, make: Callable[..., Model], published: Published) -> Model:
    """Build with the published ImageNet weights; PretrainedError where these cannot be had."""
    return make(input_shape, weights=published.fetch())


def _wrap(
    make: Callable[..., Model],
    input_shape: Shape,
    weights: Path | None,
    preprocessing: Preprocessing,
    name: str,
) -> Model:
    image = layers.Input(input_shape, name="image")
    x = _prepared(image, preprocessing)
    model = make(include_top=False, weights=str(weights) if weights else None, input_tensor=x)
    _name(model)
    return Model(image, model.output, name=name)


def _prepared(image: Any, preprocessing: Preprocessing) -> Any:
    x = image
    if image.shape[-1] == 1:
        x = layers.Concatenate(name="grey_to_rgb")([x, x, x])
    if preprocessing.reverse:
        x = ops.flip(x, axis=-1)
    return layers.Rescaling(preprocessing.scale, preprocessing.offset, name="preprocess")(x)


_WEIGHTED, _WEIGHTLESS = "conv2d|batch_normalization", "add|flip|re_lu|activation|multiply"
"""The kinds of layers and operations that Keras has given no name of their own."""


def _name(model: Model) -> None:
    """Number the layers without a name of their own from 1: Keras goes on from the network built before.

    Weights are carried from one network to another by these names. What has none gets a name that Keras gives
    to nothing: a head behind this may have some of the same kinds.
    """
    counts: Counter[str] = Counter()
    for operation in model.operations:
        if found := re.fullmatch(rf"({_WEIGHTED}|{_WEIGHTLESS})(_\d+)?", operation.name):
            kind = found[1] if re.fullmatch(_WEIGHTED, found[1]) else f"trunk_{found[1]}"
            counts[kind] += 1
            operation.name = f"{kind}_{counts[kind]}"
