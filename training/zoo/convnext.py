"""ConvNeXt-Tiny: Liu et al., "A ConvNet for the 2020s" (CVPR 2022), figure 4 and section 2.7.

28,589,128 parameters with a head of 1,000 classes, 27,820,128 without. `keras.applications` has it too, as a
network of networks with grouped convolutions, which TensorFlow only computes on a CPU by compiling for XLA;
here it is one flat graph, and the 7x7 convolutions are depthwise ones.
"""

from typing import Any

import keras
from keras import Model, layers

DEPTHS, WIDTHS = (3, 3, 9, 3), (96, 192, 384, 768)
"""Blocks and channels of the four stages."""
EPSILON = 1e-6
SCALE = 1e-6
"""What a block's result is multiplied with before training."""


@keras.saving.register_keras_serializable("striate")
class LayerScale(layers.Layer):  # type: ignore[misc]  # Keras ships no types
    """One learnt factor per channel: Touvron et al., "Going Deeper with Image Transformers" (ICCV 2021)."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the factors."""
        self.gamma = self.add_weight(
            shape=(input_shape[-1],), initializer=keras.initializers.Constant(SCALE), name="gamma"
        )

    def call(self, values: Any) -> Any:
        """Multiply each channel with its factor."""
        return values * self.gamma


def build(image: Any, values: Any, name: str) -> Model:
    """Build the trunk from `values`, which are what the first layers make of the input `image`."""
    x = layers.Conv2D(WIDTHS[0], 4, strides=4, name="stem_conv")(values)
    x = _normalised(x, "stem_norm")
    for stage, (depth, width) in enumerate(zip(DEPTHS, WIDTHS, strict=True), start=1):
        if stage > 1:
            x = _normalised(x, f"shrink{stage}_norm")
            x = layers.Conv2D(width, 2, strides=2, name=f"shrink{stage}_conv")(x)
        for block in range(1, depth + 1):
            x = _block(x, width, f"stage{stage}_block{block}")
    return Model(image, _normalised(x, "top_norm"), name=name)


def _block(x: Any, width: int, name: str) -> Any:
    y = layers.DepthwiseConv2D(7, padding="same", name=f"{name}_depthwise")(x)
    y = _normalised(y, f"{name}_norm")
    y = layers.Dense(4 * width, name=f"{name}_expand")(y)
    y = layers.Activation("gelu", name=f"{name}_gelu")(y)
    y = layers.Dense(width, name=f"{name}_project")(y)
    y = LayerScale(name=f"{name}_scale")(y)
    return layers.Add(name=f"{name}_add")([x, y])


def _normalised(x: Any, name: str) -> Any:
    return layers.LayerNormalization(epsilon=EPSILON, name=name)(x)


def assign(model: Model, donor: Model) -> None:
    """Give the model the weights of Keras's ConvNeXt-Tiny without its top, which has them in the same order.

    Keras's grouped kernels are `[h, w, 1, C]`, depthwise ones `[h, w, C, 1]`.
    """
    model.set_weights(
        [
            weights.transpose(0, 1, 3, 2) if weights.ndim == 4 and weights.shape[2] == 1 else weights
            for weights in donor.get_weights()
        ]
    )
