"""The layer table: for each layer of a network, its numbers and how they come about."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

Field = tuple[int, float] | None
"""Receptive field (side, in input pixels) and the distance of neighbouring values, also in input pixels;
None where a value sees the whole image."""


@dataclass(frozen=True)
class Row:
    """One layer. Shapes are without the batch dimension; see `service.manifest.Layer` for the rest."""

    name: str
    type: str
    output_shape: tuple[int, ...]
    parameters: int
    trainable_parameters: int
    inputs: tuple[str, ...]
    parameters_explained: str = ""
    output_explained: str = ""
    receptive_field: int | None = None
    multiply_adds: int = 0
    note: str = ""


@dataclass(frozen=True)
class _Facts:
    """What an explainer finds out about one layer."""

    parameters: str = ""
    output: str = ""
    multiply_adds: int = 0
    note: str = ""
    field: Field = None


@dataclass(frozen=True)
class _Place:
    """One layer in the graph: its input and output shapes without the batch, and the field before it."""

    layer: Any
    inputs: tuple[tuple[int, ...], ...]
    output: tuple[int, ...]
    field: Field

    @property
    def shape(self) -> tuple[int, ...]:
        """The first input's shape."""
        return self.inputs[0]


def explain(model: keras.Model) -> list[Row]:
    """Explain a functional model, layer by layer in the order of computation."""
    rows: list[Row] = []
    fields: dict[str, Field] = {}
    for operation in model.operations:
        node = _node(operation, model)
        sources = tuple(dict.fromkeys(tensor._keras_history.operation.name for tensor in node.input_tensors))
        output = _shape(node.outputs[0])
        inputs = tuple(_shape(tensor) for tensor in node.input_tensors) or (output,)
        before = _join([fields[source] for source in sources]) if sources else (1, 1.0)
        place = _Place(operation, inputs, output, before)
        facts = _EXPLAINERS.get(type(operation).__name__, _other)(place)
        fields[operation.name] = facts.field
        weights, trainable = _counts(operation)
        rows.append(
            Row(
                operation.name,
                type(operation).__name__,
                output,
                weights,
                trainable,
                sources,
                facts.parameters,
                facts.output,
                facts.field[0] if facts.field else None,
                facts.multiply_adds,
                facts.note,
            )
        )
    return rows


def _node(operation: Any, model: keras.Model) -> Any:
    known = {id(each) for each in model.operations}
    for node in operation._inbound_nodes:
        if all(id(t._keras_history.operation) in known for t in node.input_tensors):
            return node
    raise ValueError(f"{operation.name} is not connected within {model.name}.")


def _shape(tensor: Any) -> tuple[int, ...]:
    return tuple(int(side) for side in tensor.shape[1:])


def _counts(operation: Any) -> tuple[int, int]:
    def total(variables: list[Any]) -> int:
        return sum(math.prod(variable.shape) for variable in variables)

    if not isinstance(operation, keras.layers.Layer):
        return 0, 0
    # A dropout's seed is a variable but no weight of the network.
    return total(operation.weights), total(operation.trainable_weights)


def _join(fields: list[Field]) -> Field:
    known = [field for field in fields if field is not None]
    if len(known) < len(fields):
        return None
    return max(side for side, _ in known), max(step for _, step in known)


def _grow(field: Field, kernel: int, stride: int) -> Field:
    if field is None:
        return None
    side, step = field
    return int(side + (kernel - 1) * step), step * stride


def _sliding(size: int, kernel: int, stride: int, padding: str) -> tuple[int, str]:
    """Output size of a sliding window, with its formula (W - F + 2P)/S + 1."""
    if padding == "valid":
        result, words = (size - kernel) // stride + 1, "2*0"
    else:
        result = -(-size // stride)
        total = max((result - 1) * stride + kernel - size, 0)
        words = f"2*{total // 2}" if total % 2 == 0 else f"{total // 2} + {total - total // 2}"
    return result, f"({size} - {kernel} + {words})/{stride} + 1 = {result}"


def _window(place: _Place, kernel: tuple[int, int], strides: tuple[int, int]) -> str:
    sides = ("height", "width")
    texts = [
        _sliding(place.shape[axis], kernel[axis], strides[axis], place.layer.padding)[1] for axis in (0, 1)
    ]
    if texts[0] == texts[1]:
        return texts[0]
    return ", ".join(f"{side} {text}" for side, text in zip(sides, texts, strict=True))


def _input(place: _Place) -> _Facts:
    return _Facts(note="The normalised image.", field=(1, 1.0))


def _convolution(place: _Place) -> _Facts:
    layer = place.layer
    (rows, columns), (stride, _) = layer.kernel_size, layer.strides
    channels, filters = place.shape[-1], place.output[-1]
    count = (rows * columns * channels + layer.use_bias) * filters
    inner = f"{rows}*{columns}*{channels}"
    weights = f"({inner} + 1) * {filters}" if layer.use_bias else f"{inner} * {filters}"
    bias = "and a bias" if layer.use_bias else "without bias, which the next layer brings"
    return _Facts(
        f"{weights} = {count}",
        _window(place, layer.kernel_size, layer.strides),
        place.output[0] * place.output[1] * rows * columns * channels * filters,
        f"{filters} filters of {rows}x{columns} over {channels} channels, {bias}{_activation(layer)}.",
        _grow(place.field, rows, stride),
    )


def _transposed(place: _Place) -> _Facts:
    layer = place.layer
    (rows, columns), (stride, _) = layer.kernel_size, layer.strides
    channels, filters = place.shape[-1], place.output[-1]
    count = (rows * columns * channels + 1) * filters
    field = place.field
    if field is not None:
        field = int(field[0] + (-(-rows // stride) - 1) * field[1]), field[1] / stride
    size = place.shape[0]
    return _Facts(
        f"({rows}*{columns}*{channels} + 1) * {filters} = {count}",
        f"({size} - 1)*{stride} + {stride} = {place.output[0]}",
        place.shape[0] * place.shape[1] * rows * columns * channels * filters,
        f"Each value spreads over {rows}x{columns} values of {filters} channels; {stride} times the size.",
        field,
    )


def _pooling(place: _Place) -> _Facts:
    layer = place.layer
    size, stride = layer.pool_size[0], layer.strides[0]
    what = "largest" if "Max" in type(layer).__name__ else "mean"
    return _Facts(
        output=_window(place, layer.pool_size, layer.strides),
        note=f"The {what} of each {size}x{layer.pool_size[1]} window; nothing to learn.",
        field=_grow(place.field, size, stride),
    )


def _normalisation(place: _Place) -> _Facts:
    channels = place.output[-1]
    return _Facts(
        f"4 * {channels} = {4 * channels}",
        multiply_adds=math.prod(place.output),
        note=f"Scale and shift of each channel are trained (2 * {channels} = {2 * channels}); its mean and "
        f"variance are measured, not trained (2 * {channels} = {2 * channels}).",
        field=place.field,
    )


def _dense(place: _Place) -> _Facts:
    before, after = place.shape[-1], place.output[-1]
    return _Facts(
        f"{before}*{after} + {after} = {before * after + after}",
        multiply_adds=before * after,
        note=f"Each of {after} outputs weighs all {before} inputs and adds a bias{_activation(place.layer)}.",
    )


def _flatten(place: _Place) -> _Facts:
    sides = "*".join(str(side) for side in place.shape)
    return _Facts(output=f"{sides} = {place.output[0]}", note="The same values in one row.")


def _global_pooling(place: _Place) -> _Facts:
    height, width, channels = place.shape
    return _Facts(
        output=f"{height}x{width}x{channels} -> {channels}",
        note=f"The mean of each channel over all {height}*{width} places.",
    )


def _dropout(place: _Place) -> _Facts:
    note = f"In training, {place.layer.rate:g} of the values are set to 0 by chance; when serving, none."
    return _Facts(note=note, field=place.field)


def _concatenate(place: _Place) -> _Facts:
    channels = " + ".join(str(shape[-1]) for shape in place.inputs)
    return _Facts(
        output=f"{channels} = {place.output[-1]}", note="The inputs side by side.", field=place.field
    )


def _merge(word: str) -> Callable[[_Place], _Facts]:
    def explain_merge(place: _Place) -> _Facts:
        return _Facts(
            multiply_adds=math.prod(place.output), note=f"The {word} of its inputs.", field=place.field
        )

    return explain_merge


def _relu(place: _Place) -> _Facts:
    return _Facts(note="Negative values become 0.", field=place.field)


def _other(place: _Place) -> _Facts:
    if _counts(place.layer)[0]:
        raise NotImplementedError(
            f"The layer table cannot explain {type(place.layer).__name__} yet: add it to _EXPLAINERS."
        )
    return _Facts(note="Arithmetic on its inputs; nothing to learn.", field=place.field)


def _activation(layer: Any) -> str:
    name = getattr(layer.activation, "__name__", "linear")
    return "" if name == "linear" else f", then {name}"


_EXPLAINERS: dict[str, Callable[[_Place], _Facts]] = {
    "InputLayer": _input,
    "Conv2D": _convolution,
    "Conv2DTranspose": _transposed,
    "MaxPooling2D": _pooling,
    "AveragePooling2D": _pooling,
    "BatchNormalization": _normalisation,
    "Dense": _dense,
    "Flatten": _flatten,
    "GlobalAveragePooling2D": _global_pooling,
    "Dropout": _dropout,
    "Concatenate": _concatenate,
    "Add": _merge("sum"),
    "Multiply": _merge("product"),
    "ReLU": _relu,
}


def as_text(rows: list[Row]) -> str:
    """Lay the table out for a terminal, as Keras does, with a column for where the numbers come from."""
    header = ("Layer (type)", "Output", "Parameters", "How")
    lines = [
        (
            f"{row.name} ({row.type})",
            "x".join(str(side) for side in row.output_shape),
            f"{row.parameters:,}",
            "; ".join(filter(None, (row.parameters_explained, row.output_explained))),
        )
        for row in rows
    ]
    widths = [max(len(line[column]) for line in [header, *lines]) for column in range(4)]
    table = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in [header, *lines]
    ]
    total = sum(row.parameters for row in rows)
    trainable = sum(row.trainable_parameters for row in rows)
    table.insert(1, "-" * max(map(len, table)))
    table += [
        table[1],
        f"Total parameters: {total:,}",
        f"Trainable: {trainable:,}",
        f"Non-trainable: {total - trainable:,}",
        f"Multiply-adds per image: {sum(row.multiply_adds for row in rows):,}",
    ]
    return "\n".join(table)
