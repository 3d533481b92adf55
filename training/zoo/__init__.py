"""The architectures, one file per paper. Each is a function `build(input_shape) -> backbone`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from keras import Model

from training.zoo import (
    airbench,
    alexnet,
    applications,
    efficientnet_lite,
    googlenet,
    lecture_cnn,
    lenet,
    mlp,
    published,
    res_unet,
    se_resnet,
    unet,
)
from training.zoo.size import ArchitectureError, Shape, Size


@dataclass(frozen=True)
class Pretrained:
    """That weights trained on ImageNet are published for an architecture, and what they ask for."""

    load: Callable[[Shape], Model]
    """Builds the backbone with these weights, which are downloaded once, or in a package (EfficientNet-Lite);
    PretrainedError where they cannot be had. They suit any size that the architecture takes, and grey images
    as well."""
    preprocessing: str
    """What the backbone's first layers do with images of 0..1, in words."""
    package: str = ""
    """The registry's package that has the weights, where they are not downloaded."""
    unfreeze_from: str = ""
    """The first layer of those that few images are enough to fine-tune; empty: not known."""


@dataclass(frozen=True)
class Architecture:
    """A backbone builder with what a person should know before choosing it."""

    name: str
    make: Callable[[Shape], Model]
    title: str
    input_shape: Shape
    """The input the architecture was made for; others of sensible size work too."""
    size: Size = field(default_factory=Size)
    pretrained: Pretrained | None = None

    def build(self, input_shape: Shape) -> Model:
        """Build the backbone, untrained; ArchitectureError where the size does not fit."""
        self.size.check(self.name, input_shape)
        return self.make(input_shape)


def _wrapped(
    name: str,
    make: Callable[..., Model],
    title: str,
    side: int,
    preprocessing: applications.Preprocessing,
    weights: published.Published,
) -> Architecture:
    load = partial(applications.load, make=make, published=weights)
    pretrained = Pretrained(load, preprocessing.words)
    return Architecture(name, make, title, (side, side, 3), Size(32), pretrained)


def _lite(
    variant: efficientnet_lite.Variant, make: Callable[..., Model], suffix: str, title: str, side: int
) -> Architecture:
    return Architecture(
        variant.name + suffix,
        partial(make, variant=variant),
        title,
        (side, side, 3),
        Size(32, multiple={"": 1, "-short-pyramid4": 16}.get(suffix, 32)),
        Pretrained(
            # The trunk alone: of a decoder nothing is published, and what is not taken over learns first.
            efficientnet_lite.loader(variant, efficientnet_lite.build),
            efficientnet_lite.WORDS,
            variant.package,
            # Where small objects are, is seen at the finer strides.
            f"block{variant.blocks(2 if suffix.endswith('4') else 5) + 1}_expand_conv",
        ),
    )


_LITE0, _LITE2 = efficientnet_lite.LITE0, efficientnet_lite.LITE2

_PET_WIDTHS = (32, 48, 96, 160, 192)
_PET_BLOCKS = (2, 2, 2, 1)

_ALL = (
    Architecture("mlp", mlp.build, "Multilayer perceptron 300-100", (28, 28, 1)),
    Architecture(
        "lecture-cnn-a",
        lecture_cnn.build_a,
        "Lecture CNN 32-64-128 with batch normalisation",
        (28, 28, 1),
        Size(10),
    ),
    Architecture("lecture-cnn-b", lecture_cnn.build_b, "Lecture CNN 64-128-256", (28, 28, 1)),
    Architecture("lecture-cnn-c", lecture_cnn.build_c, "Lecture CNN 8-16-100", (28, 28, 1), Size(10)),
    Architecture("lenet-5", lenet.build, "LeNet-5 of 1998", (32, 32, 1), Size(32)),
    Architecture("alexnet", alexnet.build, "AlexNet as one tower", (227, 227, 3), Size(67)),
    Architecture(
        "alexnet-grouped",
        partial(alexnet.build, groups=2, name="alexnet-grouped"),
        "AlexNet in two groups, as in the paper",
        (227, 227, 3),
        Size(67),
    ),
    Architecture("googlenet", googlenet.build, "GoogLeNet of inception modules", (224, 224, 3), Size(32)),
    _wrapped(
        "vgg16",
        applications.vgg16,
        "VGG16 without its dense layers",
        224,
        applications.CAFFE,
        published.VGG16,
    ),
    _wrapped("resnet50", applications.resnet50, "ResNet-50", 224, applications.CAFFE, published.RESNET50),
    _wrapped("xception", applications.xception, "Xception", 299, applications.CENTRED, published.XCEPTION),
    _wrapped(
        "efficientnetv2-b0",
        applications.efficientnet_v2_b0,
        "EfficientNetV2-B0: of the small ones with ImageNet weights the most accurate for its size",
        224,
        applications.STANDARD,
        published.EFFICIENTNET_V2_B0,
    ),
    _wrapped(
        "mobilenetv3-small",
        applications.mobilenet_v3_small,
        "MobileNetV3-Small: the least work of all with ImageNet weights",
        224,
        applications.CENTRED,
        published.MOBILENET_V3_SMALL,
    ),
    _wrapped(
        "mobilenetv3-large",
        applications.mobilenet_v3_large,
        "MobileNetV3-Large",
        224,
        applications.CENTRED,
        published.MOBILENET_V3_LARGE,
    ),
    _wrapped(
        "convnext-tiny",
        applications.convnext_tiny,
        "ConvNeXt-Tiny: the most accurate of all with ImageNet weights, and the most work",
        224,
        applications.STANDARD,
        published.CONVNEXT_TINY,
    ),
    _lite(
        _LITE0,
        efficientnet_lite.build,
        "",
        "EfficientNet-Lite0: of all with ImageNet weights the smallest, and quick on a CPU",
        224,
    ),
    _lite(
        _LITE0,
        efficientnet_lite.build_pyramid,
        "-pyramid",
        "EfficientNet-Lite0 with two steps back to a stride of 8, for boxes",
        224,
    ),
    _lite(
        _LITE0,
        efficientnet_lite.build_fine_pyramid,
        "-pyramid4",
        "EfficientNet-Lite0 with three steps back to a stride of 4, for many boxes",
        320,
    ),
    _lite(
        _LITE0,
        efficientnet_lite.build_short_pyramid,
        "-short-pyramid4",
        "EfficientNet-Lite0 to a stride of 16, with two steps back to one of 4, for many small boxes",
        320,
    ),
    _lite(_LITE0, efficientnet_lite.build_unet, "-unet", "U-Net decoder on EfficientNet-Lite0", 192),
    _lite(_LITE2, efficientnet_lite.build, "", "EfficientNet-Lite2: more exact, twice the work", 260),
    _lite(
        _LITE2,
        efficientnet_lite.build_pyramid,
        "-pyramid",
        "EfficientNet-Lite2 with two steps back to a stride of 8, for boxes",
        256,
    ),
    _lite(
        _LITE2,
        efficientnet_lite.build_fine_pyramid,
        "-pyramid4",
        "EfficientNet-Lite2 with three steps back to a stride of 4, for many boxes",
        320,
    ),
    _lite(_LITE2, efficientnet_lite.build_unet, "-unet", "U-Net decoder on EfficientNet-Lite2", 256),
    Architecture("unet", unet.build, "U-Net, 16 to 256 filters", (128, 128, 3), Size(16, multiple=16)),
    Architecture(
        "res-unet", res_unet.build, "Residual U-Net, 64 to 512 filters", (224, 224, 3), Size(8, multiple=8)
    ),
    Architecture(
        "se-resnet-small",
        partial(
            se_resnet.build,
            widths=(32, 32, 64, 128),
            blocks=(1, 1, 1),
            stem_stride=1,
            name="se-resnet-small",
        ),
        "SE-ResNet for images of 28 to 64 pixels",
        (28, 28, 1),
    ),
    Architecture(
        "airbench",
        partial(airbench.build, widths=(64, 256, 256), name="airbench"),
        "Airbench, quick to train, for images of 20 to 64 pixels",
        (32, 32, 3),
        Size(9),
    ),
    Architecture(
        "airbench-small",
        partial(airbench.build, widths=(64, 128, 128), name="airbench-small"),
        "Airbench with a third of the weights",
        (32, 32, 3),
        Size(9),
    ),
    Architecture(
        "se-resnet",
        partial(
            se_resnet.build,
            widths=_PET_WIDTHS,
            blocks=_PET_BLOCKS,
            stem_stride=2,
            name="se-resnet",
        ),
        "SE-ResNet for photos of 96 to 256 pixels",
        (128, 128, 3),
        Size(32),
    ),
    Architecture(
        "se-resnet-short",
        partial(
            se_resnet.build,
            widths=_PET_WIDTHS[:-1],
            blocks=_PET_BLOCKS[:-1],
            stem_stride=2,
            name="se-resnet-short",
        ),
        "The SE-ResNet without its last stage: two thirds of the weights",
        (128, 128, 3),
        Size(16),
    ),
    Architecture(
        "se-resnet-unet",
        partial(
            se_resnet.build_unet,
            widths=_PET_WIDTHS,
            blocks=_PET_BLOCKS,
            decoder=(112, 80, 48, 24, 16),
            name="se-resnet-unet",
        ),
        "U-Net decoder on the SE-ResNet encoder",
        (128, 128, 3),
        Size(32, multiple=32),
    ),
)

ARCHITECTURES: dict[str, Architecture] = {architecture.name: architecture for architecture in _ALL}
"""Every architecture by the name that recipes use."""


def find(name: str) -> Architecture:
    """Return the architecture of that name; ArchitectureError names all where there is none."""
    if name not in ARCHITECTURES:
        raise ArchitectureError(f"There is no architecture {name!r}; there are {', '.join(ARCHITECTURES)}.")
    return ARCHITECTURES[name]


__all__ = ["ARCHITECTURES", "Architecture", "ArchitectureError", "Pretrained", "Shape", "Size", "find"]
