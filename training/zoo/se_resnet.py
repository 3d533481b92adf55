"""Small residual networks with squeeze-and-excitation, for images of 28 to 256 pixels.

The basic residual block is that of He et al., "Deep Residual Learning for Image Recognition" (CVPR 2016),
figure 5 left; the channel gate is that of Hu et al., "Squeeze-and-Excitation Networks" (CVPR 2018), figure 3
(reduction 8). `build_unet` puts a U-Net decoder (see `unet.py`) on the same encoder, with the same layer
names, so that an encoder trained on masks can start a classifier and the other way round.
"""

from typing import Any

from keras import Model, layers

from training.zoo.size import Shape


def build(
    input_shape: Shape,
    *,
    widths: tuple[int, ...],
    blocks: tuple[int, ...],
    stem_stride: int,
    name: str,
) -> Model:
    """Build the encoder: images `[N, H, W, C]` to a feature map `[N, H / s, W / s, widths[-1]]`.

    `widths[0]` is the stem's; each later entry is a stage of `blocks[i]` blocks that halves the size, except
    the first one where the stem kept it (`stem_stride` 1).
    """
    image = layers.Input(input_shape, name="image")
    features = _encode(image, widths, blocks, stem_stride)
    return Model(image, features[-1], name=name)


def build_unet(
    input_shape: Shape,
    *,
    widths: tuple[int, ...],
    blocks: tuple[int, ...],
    decoder: tuple[int, ...],
    name: str,
) -> Model:
    """Build encoder and decoder: images `[N, H, W, C]` to features `[N, H, W, decoder[-1]]`.

    Height and width must be multiples of `2 ** len(widths)`.
    """
    image = layers.Input(input_shape, name="image")
    features = _encode(image, widths, blocks, stem_stride=2)
    x = features[-1]
    skips: list[Any] = [*features[:-1][::-1], None]
    for step, (filters, skip) in enumerate(zip(decoder, skips, strict=True), start=1):
        x = layers.Conv2DTranspose(filters, 2, strides=2, name=f"up{step}_grow")(x)
        if skip is not None:
            x = layers.Concatenate(name=f"up{step}_join")([x, skip])
            x = _convolution(x, filters, 3, 1, f"up{step}")
        else:
            # At full size there is nothing to join, and a convolution there costs a fifth of the network.
            x = layers.BatchNormalization(momentum=0.95, name=f"up{step}_norm")(x)
        x = layers.ReLU(name=f"up{step}_relu")(x)
    return Model(image, x, name=name)


def _encode(image: Any, widths: tuple[int, ...], blocks: tuple[int, ...], stem_stride: int) -> list[Any]:
    x = _convolution(image, widths[0], 3 if stem_stride == 1 else 5, stem_stride, "stem")
    x = layers.ReLU(name="stem_relu")(x)
    features = [x]
    for stage, (filters, count) in enumerate(zip(widths[1:], blocks, strict=True), start=1):
        for block in range(1, count + 1):
            first_kept = stage == 1 and stem_stride == 1
            stride = 2 if block == 1 and not first_kept else 1
            x = _block(x, filters, stride, f"stage{stage}_block{block}")
        features.append(x)
    return features


def _block(x: Any, filters: int, stride: int, name: str) -> Any:
    y = _convolution(x, filters, 3, stride, f"{name}_a")
    y = layers.ReLU(name=f"{name}_a_relu")(y)
    y = _convolution(y, filters, 3, 1, f"{name}_b")
    y = _squeeze_and_excite(y, filters, name)
    if stride != 1 or x.shape[-1] != filters:
        x = _convolution(x, filters, 1, stride, f"{name}_skip")
    x = layers.Add(name=f"{name}_add")([x, y])
    return layers.ReLU(name=f"{name}_relu")(x)


def _squeeze_and_excite(x: Any, filters: int, name: str) -> Any:
    gate = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_squeeze")(x)
    gate = layers.Conv2D(max(8, filters // 8), 1, activation="relu", name=f"{name}_reduce")(gate)
    gate = layers.Conv2D(filters, 1, activation="sigmoid", name=f"{name}_excite")(gate)
    return layers.Multiply(name=f"{name}_gate")([x, gate])


def _convolution(x: Any, filters: int, kernel: int, stride: int, name: str) -> Any:
    x = layers.Conv2D(
        filters,
        kernel,
        strides=stride,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
    return layers.BatchNormalization(momentum=0.95, name=f"{name}_norm")(x)
