"""The layer table: for each layer of a network, its numbers and how they come about."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from training.reports.summary import weighted, weightless
from training.reports.summary.field import Field, join
from training.reports.summary.use import Facts, Use, counts


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


def explain(model: keras.Model) -> list[Row]:
    """Explain a functional model, layer by layer in the order of computation."""
    rows: list[Row] = []
    fields: dict[str, Field | None] = {}
    for operation in model.operations:
        node = _node(operation, model)
        sources = tuple(dict.fromkeys(tensor._keras_history.operation.name for tensor in node.input_tensors))
        output = _shape(node.outputs[0])
        inputs = tuple(_shape(tensor) for tensor in node.input_tensors) or (output,)
        before = join([fields[source] for source in sources]) if sources else Field()
        facts = _explained(Use(operation, inputs, output, before))
        fields[operation.name] = facts.field
        weights, trainable = counts(operation)
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
                facts.field.side if facts.field else None,
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


def _explained(use: Use) -> Facts:
    """Explain one layer; of one that nothing here knows, or knows otherwise, what is certain: its count."""
    weights, _ = counts(use.layer)
    explainer = EXPLAINERS.get(type(use.layer).__name__)
    if explainer is None:
        return weighted.by_shape(use) if weights else weightless.arithmetic(use)
    facts: Facts | None
    try:
        facts = explainer(use)
    except (AttributeError, IndexError, TypeError, ValueError):
        facts = None
    if facts and int(facts.parameters.rpartition(" = ")[2] or 0) == weights:
        return facts
    # An option that the explainer does not know of: a wrong reason is worse than none.
    return weighted.by_shape(use) if weights else weightless.arithmetic(use)


EXPLAINERS: dict[str, Callable[[Use], Facts]] = {
    "InputLayer": weightless.image,
    "Conv2D": weighted.convolution,
    "DepthwiseConv2D": weighted.depthwise,
    "SeparableConv2D": weighted.separable,
    "Conv2DTranspose": weighted.transposed,
    "BatchNormalization": weighted.normalisation,
    "LayerNormalization": weighted.layer_normalisation,
    "LayerScale": weighted.layer_scale,
    "Dense": weighted.dense,
    "MaxPooling2D": weightless.pooling,
    "AveragePooling2D": weightless.pooling,
    "GlobalAveragePooling2D": weightless.global_pooling,
    "Flatten": weightless.flatten,
    "Reshape": weightless.reshape,
    "ZeroPadding2D": weightless.padding,
    "UpSampling2D": weightless.enlarged,
    "Resizing": weightless.resized,
    "Rescaling": weightless.rescaling,
    "Flip": weightless.flip,
    "Dropout": weightless.dropout,
    "Concatenate": weightless.concatenate,
    "Add": weightless.elementwise("sum"),
    "Subtract": weightless.elementwise("difference"),
    "Multiply": weightless.elementwise("product"),
    "TrueDivide": weightless.elementwise("quotient"),
    "GetItem": weightless.part,
    "Clip": weightless.clip,
    "Activation": weightless.activation,
    "ReLU": weightless.relu,
    "Softmax": weightless.softmax,
    "Dot": weightless.mean_of_rows,
}
"""By the class of the layer or operation; also what the tests go through."""


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
