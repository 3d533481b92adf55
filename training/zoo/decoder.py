"""A U-Net-like decoder for any backbone that shrinks its input, so that it can segment.

As in Ronneberger et al. (see `unet.py`), the features are enlarged step by step and joined with those that
the backbone had at that size. Which these are is read from its graph: the last of each size.
"""

from typing import Any

from keras import Model, layers

from training.zoo.size import ArchitectureError

FILTERS = (128, 64, 32, 16)
"""Of the steps, from the smallest features; further ones go on with the last."""
LEAST_STEP = 1.5
"""Sizes nearer to each other than this, as a convolution without padding makes them, are one step."""


def decode(backbone: Model, stride: int = 1) -> Any:
    """Return features `[N, H, W, F]` of the input's height and width, from any backbone with feature maps;
    with a `stride`, of so many times less of each.

    Layers behind the last feature map, like the dense ones of a classifier, are left out. A backbone
    without any is an ArchitectureError.
    """
    size = tuple(-(-side // stride) for side in backbone.input.shape[1:3])
    taps = [tap for tap in _taps(backbone) if tap.shape[1] <= size[0] and tap.shape[2] <= size[1]]
    if not taps:
        raise ArchitectureError(f"{backbone.name} has no feature maps of a stride of {stride} or more.")
    x = taps[0]
    for step, skip in enumerate(taps[1:], start=1):
        filters = FILTERS[min(step, len(FILTERS)) - 1]
        x = layers.Resizing(*skip.shape[1:3], interpolation="bilinear", name=f"decode{step}_grow")(x)
        x = layers.Concatenate(name=f"decode{step}_join")([x, skip])
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"decode{step}_conv")(x)
        x = layers.BatchNormalization(name=f"decode{step}_norm")(x)
        x = layers.ReLU(name=f"decode{step}_relu")(x)
    if tuple(x.shape[1:3]) != size:
        # Nothing to join is left, and a convolution at full size would cost more than all before it.
        x = layers.Resizing(*size, interpolation="bilinear", name="decode_full")(x)
    return x


def _taps(backbone: Model) -> list[Any]:
    """Return the last features of each size, smallest first."""
    height, width = backbone.input.shape[1:3]
    last: dict[tuple[int, int], Any] = {}
    learned = False
    for operation in backbone.operations:
        learned = learned or bool(getattr(operation, "weights", ()))
        tensor = operation.output
        # Padding makes sizes of its own; a single value per channel is a gate, no picture.
        if not learned or type(operation).__name__ == "ZeroPadding2D" or len(tensor.shape) != 4:
            continue
        rows, columns = tensor.shape[1:3]
        if 1 < rows * columns <= height * width:
            last[rows, columns] = tensor
    if len(backbone.output.shape) == 4:
        last[tuple(backbone.output.shape[1:3])] = backbone.output
    if not last:
        raise ArchitectureError(f"{backbone.name} has no feature maps, so it cannot segment.")
    taps: list[Any] = []
    for rows, columns in sorted(last):
        before = taps[-1].shape[1:3] if taps else (0, 0)
        if rows >= LEAST_STEP * before[0] and columns >= LEAST_STEP * before[1]:
            taps.append(last[rows, columns])
    return taps
