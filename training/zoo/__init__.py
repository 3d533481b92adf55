"""The architectures, one file per paper. Each is a function `build(input_shape) -> backbone`."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from keras import Model

from training.zoo import lecture_cnn, se_resnet, unet

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Architecture:
    """A backbone builder with what a person should know before choosing it."""

    build: Callable[[Shape], Model]
    title: str
    input_shape: Shape
    """The input the architecture was made for; others of sensible size work too."""


_PET_WIDTHS = (32, 48, 96, 160, 192)
_PET_BLOCKS = (2, 2, 2, 1)

ARCHITECTURES: dict[str, Architecture] = {
    "lecture-cnn-a": Architecture(
        lecture_cnn.build_a, "Lecture CNN 32-64-128 with batch normalisation", (28, 28, 1)
    ),
    "lecture-cnn-b": Architecture(lecture_cnn.build_b, "Lecture CNN 64-128-256", (28, 28, 1)),
    "unet": Architecture(unet.build, "U-Net, 16 to 256 filters", (128, 128, 3)),
    "se-resnet-small": Architecture(
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
    "se-resnet": Architecture(
        partial(
            se_resnet.build,
            widths=_PET_WIDTHS,
            blocks=_PET_BLOCKS,
            stem_stride=2,
            name="se-resnet",
        ),
        "SE-ResNet for photos of 96 to 256 pixels",
        (128, 128, 3),
    ),
    "se-resnet-short": Architecture(
        partial(
            se_resnet.build,
            widths=_PET_WIDTHS[:-1],
            blocks=_PET_BLOCKS[:-1],
            stem_stride=2,
            name="se-resnet-short",
        ),
        "The SE-ResNet without its last stage: two thirds of the weights",
        (128, 128, 3),
    ),
    "se-resnet-unet": Architecture(
        partial(
            se_resnet.build_unet,
            widths=_PET_WIDTHS,
            blocks=_PET_BLOCKS,
            decoder=(112, 80, 48, 24, 16),
            name="se-resnet-unet",
        ),
        "U-Net decoder on the SE-ResNet encoder",
        (128, 128, 3),
    ),
}
"""Every architecture by the name that recipes use."""
