"""Layers and operations that learn nothing: what they do to shape and values."""

import math
from collections.abc import Callable

from training.reports.summary.field import Field
from training.reports.summary.use import Facts, Use, grow, window


def image(use: Use) -> Facts:
    """InputLayer."""
    return Facts(note="The normalised image.", field=Field())


def pooling(use: Use) -> Facts:
    """MaxPooling2D and AveragePooling2D."""
    layer = use.layer
    size, stride = layer.pool_size[0], layer.strides[0]
    what = "largest" if "Max" in type(layer).__name__ else "mean"
    return Facts(
        output=window(use, layer.pool_size, layer.strides),
        note=f"The {what} of each {size}x{layer.pool_size[1]} window; nothing to learn.",
        field=grow(use, size, stride),
    )


def global_pooling(use: Use) -> Facts:
    """GlobalAveragePooling2D."""
    height, width, channels = use.shape
    return Facts(
        output=f"{height}x{width}x{channels} -> {'x'.join(map(str, use.output))}",
        note=f"The mean of each channel over all {height}*{width} places.",
    )


def flatten(use: Use) -> Facts:
    """Flatten."""
    sides = "*".join(str(side) for side in use.shape)
    return Facts(output=f"{sides} = {use.output[0]}", note="The same values in one row.")


def reshape(use: Use) -> Facts:
    """Reshape."""
    before, after = ("x".join(map(str, shape)) for shape in (use.shape, use.output))
    return Facts(output=f"{before} -> {after}", note="The same values in another shape.", field=use.field)


def padding(use: Use) -> Facts:
    """ZeroPadding2D."""
    (top, bottom), _ = use.layer.padding
    return Facts(
        output=f"{use.shape[0]} + {top} + {bottom} = {use.output[0]}",
        note="A rim of zeros, so that the next window can stand at the edge.",
        field=use.field.windows(1, 1, top) if use.field else None,
    )


def enlarged(use: Use) -> Facts:
    """UpSampling2D: a whole number of times the size."""
    factor = use.layer.size[0]
    if use.layer.interpolation == "bilinear":
        return resized(use)
    return Facts(
        output=f"{use.shape[0]}*{factor} = {use.output[0]}",
        note=f"Each value is repeated {factor}x{factor} times.",
        field=use.field.repeated(factor) if use.field else None,
    )


def resized(use: Use) -> Facts:
    """Resizing to any size, bilinear: a value comes from up to four neighbours."""
    size, result = use.shape[0], use.output[0]
    return Facts(
        output=f"{size}x{use.shape[1]} -> {result}x{use.output[1]}",
        multiply_adds=4 * math.prod(use.output),
        note="Each value is drawn from its four nearest neighbours, by distance.",
        field=use.field.resized(size, result) if use.field else None,
    )


def rescaling(use: Use) -> Facts:
    """Rescaling: values as the network's authors had them."""
    return Facts(
        multiply_adds=math.prod(use.output),
        note="x * scale + offset, channel by channel: the values that the network was designed for.",
        field=use.field,
    )


def flip(use: Use) -> Facts:
    """Flip of the channels."""
    return Facts(note="The channels in reverse order: blue, green, red.", field=use.field)


def dropout(use: Use) -> Facts:
    """Dropout, of single values or, with a noise shape, of a whole branch (stochastic depth)."""
    rate = f"{use.layer.rate:g}"
    if use.layer.noise_shape is not None:
        note = (
            f"In training, by chance the whole branch is left out, {rate} of the time; when serving, never."
        )
    else:
        note = f"In training, {rate} of the values are set to 0 by chance; when serving, none."
    return Facts(note=note, field=use.field)


def concatenate(use: Use) -> Facts:
    """Concatenate, of feature maps by channel or of vectors."""
    channels = " + ".join(str(shape[-1]) for shape in use.inputs)
    return Facts(output=f"{channels} = {use.output[-1]}", note="The inputs side by side.", field=use.field)


def elementwise(word: str) -> Callable[[Use], Facts]:
    """Return an explainer of arithmetic of value by value, whose result is "the `word` of its inputs"."""

    def explain(use: Use) -> Facts:
        inputs = "its inputs" if len(use.inputs) > 1 else f"each value and {_constant(use)}"
        return Facts(multiply_adds=math.prod(use.output), note=f"The {word} of {inputs}.", field=use.field)

    return explain


def _constant(use: Use) -> str:
    """Return the number by which an operation changes its one input, in words where it is none."""
    nodes = getattr(use.layer, "_inbound_nodes", ())
    numbers = [value for node in nodes for value in node.arguments.args if isinstance(value, int | float)]
    return f"{numbers[0]:.4g}" if numbers else "a constant"


def part(use: Use) -> Facts:
    """GetItem: some of the values."""
    before, after = ("x".join(map(str, shape)) for shape in (use.shape, use.output))
    return Facts(output=f"{before} -> {after}", note="A part of the values.", field=use.field)


def clip(use: Use) -> Facts:
    """Clip to a range."""
    low, high = use.layer.x_min, use.layer.x_max
    return Facts(
        note=f"What is below {low:g} becomes {low:g}, what is above {high:g} becomes {high:g}.",
        field=use.field,
    )


_ACTIVATIONS = {
    "relu": "Negative values become 0.",
    "silu": "x * sigmoid(x), which is smooth where ReLU has a corner (also named swish).",
    "hard_silu": "x * min(max(x + 3, 0), 6)/6: almost SiLU, without an exponential (also named hard swish).",
    "sigmoid": "1/(1 + e^-x): every value into 0..1.",
    "tanh": "Every value into -1..1.",
    "softmax": "e^x by their sum: positive values that sum to 1.",
    "gelu": "x, weighted by the share of a normal distribution below it.",
    "linear": "The values as they are.",
    "certain": "1: there is no other label.",
}


def activation(use: Use) -> Facts:
    """Activation: a function of each value."""
    name = use.layer.activation.__name__
    return Facts(note=_ACTIVATIONS.get(name, f"The function {name} of each value."), field=use.field)


def relu(use: Use) -> Facts:
    """ReLU, also with a ceiling."""
    most = use.layer.max_value
    ceiling = "" if most is None else f" What is above {most:g} becomes {most:g}."
    return Facts(note=_ACTIVATIONS["relu"] + ceiling, field=use.field)


def softmax(use: Use) -> Facts:
    """Softmax over all values."""
    return Facts(note=_ACTIVATIONS["softmax"], field=None)


def mean_of_rows(use: Use) -> Facts:
    """Dot of weights `[P]` and rows `[P, F]`: the rows' weighted sum."""
    rows, values = use.inputs[1]
    return Facts(
        output=f"{rows}, {rows}x{values} -> {values}",
        multiply_adds=rows * values,
        note=f"The sum of {rows} rows of {values} values, each by its weight.",
    )


def arithmetic(use: Use) -> Facts:
    """Whatever else has no weights."""
    return Facts(note="Arithmetic on its inputs; nothing to learn.", field=use.field)
