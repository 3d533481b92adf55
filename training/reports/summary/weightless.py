"""Layers and operations that learn nothing: what they do to shape and values."""

import math
from collections.abc import Callable

from training.reports.summary.field import Field
from training.reports.summary.place import Facts, Place, grow, window


def image(place: Place) -> Facts:
    """InputLayer."""
    return Facts(note="The normalised image.", field=Field())


def pooling(place: Place) -> Facts:
    """MaxPooling2D and AveragePooling2D."""
    layer = place.layer
    size, stride = layer.pool_size[0], layer.strides[0]
    what = "largest" if "Max" in type(layer).__name__ else "mean"
    return Facts(
        output=window(place, layer.pool_size, layer.strides),
        note=f"The {what} of each {size}x{layer.pool_size[1]} window; nothing to learn.",
        field=grow(place, size, stride),
    )


def global_pooling(place: Place) -> Facts:
    """GlobalAveragePooling2D."""
    height, width, channels = place.shape
    return Facts(
        output=f"{height}x{width}x{channels} -> {'x'.join(map(str, place.output))}",
        note=f"The mean of each channel over all {height}*{width} places.",
    )


def flatten(place: Place) -> Facts:
    """Flatten."""
    sides = "*".join(str(side) for side in place.shape)
    return Facts(output=f"{sides} = {place.output[0]}", note="The same values in one row.")


def reshape(place: Place) -> Facts:
    """Reshape."""
    before, after = ("x".join(map(str, shape)) for shape in (place.shape, place.output))
    return Facts(output=f"{before} -> {after}", note="The same values in another shape.", field=place.field)


def padding(place: Place) -> Facts:
    """ZeroPadding2D."""
    (top, bottom), _ = place.layer.padding
    return Facts(
        output=f"{place.shape[0]} + {top} + {bottom} = {place.output[0]}",
        note="A rim of zeros, so that the next window can stand at the edge.",
        field=place.field.windows(1, 1, top) if place.field else None,
    )


def enlarged(place: Place) -> Facts:
    """UpSampling2D: a whole number of times the size."""
    factor = place.layer.size[0]
    if place.layer.interpolation == "bilinear":
        return resized(place)
    return Facts(
        output=f"{place.shape[0]}*{factor} = {place.output[0]}",
        note=f"Each value is repeated {factor}x{factor} times.",
        field=place.field.repeated(factor) if place.field else None,
    )


def resized(place: Place) -> Facts:
    """Resizing to any size, bilinear: a value comes from up to four neighbours."""
    size, result = place.shape[0], place.output[0]
    return Facts(
        output=f"{size}x{place.shape[1]} -> {result}x{place.output[1]}",
        multiply_adds=4 * math.prod(place.output),
        note="Each value is drawn from its four nearest neighbours, by distance.",
        field=place.field.resized(size, result) if place.field else None,
    )


def rescaling(place: Place) -> Facts:
    """Rescaling: values as the network's authors had them."""
    return Facts(
        multiply_adds=math.prod(place.output),
        note="x * scale + offset, channel by channel: the values that the network was designed for.",
        field=place.field,
    )


def flip(place: Place) -> Facts:
    """Flip of the channels."""
    return Facts(note="The channels in reverse order: blue, green, red.", field=place.field)


def dropout(place: Place) -> Facts:
    """Dropout, of single values or, with a noise shape, of a whole branch (stochastic depth)."""
    rate = f"{place.layer.rate:g}"
    if place.layer.noise_shape is not None:
        note = (
            f"In training, by chance the whole branch is left out, {rate} of the time; when serving, never."
        )
    else:
        note = f"In training, {rate} of the values are set to 0 by chance; when serving, none."
    return Facts(note=note, field=place.field)


def concatenate(place: Place) -> Facts:
    """Concatenate, of feature maps by channel or of vectors."""
    channels = " + ".join(str(shape[-1]) for shape in place.inputs)
    return Facts(
        output=f"{channels} = {place.output[-1]}", note="The inputs side by side.", field=place.field
    )


def elementwise(word: str) -> Callable[[Place], Facts]:
    """Return an explainer of arithmetic of value by value, whose result is "the `word` of its inputs"."""

    def explain(place: Place) -> Facts:
        inputs = "its inputs" if len(place.inputs) > 1 else f"each value and {_constant(place)}"
        return Facts(
            multiply_adds=math.prod(place.output), note=f"The {word} of {inputs}.", field=place.field
        )

    return explain


def _constant(place: Place) -> str:
    """Return the number by which an operation changes its one input, in words where it is none."""
    nodes = getattr(place.layer, "_inbound_nodes", ())
    numbers = [value for node in nodes for value in node.arguments.args if isinstance(value, int | float)]
    return f"{numbers[0]:.4g}" if numbers else "a constant"


def part(place: Place) -> Facts:
    """GetItem: some of the values."""
    before, after = ("x".join(map(str, shape)) for shape in (place.shape, place.output))
    return Facts(output=f"{before} -> {after}", note="A part of the values.", field=place.field)


def clip(place: Place) -> Facts:
    """Clip to a range."""
    low, high = place.layer.x_min, place.layer.x_max
    return Facts(
        note=f"What is below {low:g} becomes {low:g}, what is above {high:g} becomes {high:g}.",
        field=place.field,
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


def activation(place: Place) -> Facts:
    """Activation: a function of each value."""
    name = place.layer.activation.__name__
    return Facts(note=_ACTIVATIONS.get(name, f"The function {name} of each value."), field=place.field)


def relu(place: Place) -> Facts:
    """ReLU, also with a ceiling."""
    most = place.layer.max_value
    ceiling = "" if most is None else f" What is above {most:g} becomes {most:g}."
    return Facts(note=_ACTIVATIONS["relu"] + ceiling, field=place.field)


def softmax(place: Place) -> Facts:
    """Softmax over all values."""
    return Facts(note=_ACTIVATIONS["softmax"], field=None)


def mean_of_rows(place: Place) -> Facts:
    """Dot of weights `[P]` and rows `[P, F]`: the rows' weighted sum."""
    rows, values = place.inputs[1]
    return Facts(
        output=f"{rows}, {rows}x{values} -> {values}",
        multiply_adds=rows * values,
        note=f"The sum of {rows} rows of {values} values, each by its weight.",
    )


def arithmetic(place: Place) -> Facts:
    """Whatever else has no weights."""
    return Facts(note="Arithmetic on its inputs; nothing to learn.", field=place.field)
