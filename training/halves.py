"""Weights that are stored in 16 bits: half the room, where the answers stay what they were.

A float16 has 11 binary digits, so that a rounded weight is within 0.05 % of what it was. Statistics, scales
and biases stay as they are: they are few, and a variance may be too small for 16 bits.
"""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

LIMIT = 0.005
"""Most that rounding may change any output for the golden samples: a sixth of what they allow a service."""

Outputs = dict[str, NDArray[np.float32]]


class Kept(tf.Module):  # type: ignore[misc]
    """A model's weights for a SavedModel: each once, which Keras's own export does not (keras issue 23553),
    and in 16 bits where these hold it.
    """

    def __init__(self, model: keras.Model) -> None:
        super().__init__()
        self.weights = [
            tf.Variable(tf.cast(variable.value, tf.float16), trainable=False)
            if is_rounded(variable)
            else variable.value
            for variable in model.variables
        ]

    def states(self, model: keras.Model, of: keras.Model | None = None) -> tuple[list[Any], list[Any]]:
        """Return what the model computes with, as float32: its trained variables' values, and the others'.

        `of`: in the order of another model's, which has the same variables and more outputs.
        """
        values = {
            id(variable): tf.cast(kept, tf.float32) if kept.dtype == tf.float16 else kept
            for variable, kept in zip(model.variables, self.weights, strict=True)
        }
        order = model if of is None else of
        trained, other = order.trainable_variables, order.non_trainable_variables
        return [values[id(one)] for one in trained], [values[id(one)] for one in other]


Difference = Callable[[Outputs, Outputs], dict[str, float]]
"""(outputs, others for the same images) -> how far they are apart, by name."""


def largest_difference(one: Outputs, other: Outputs) -> dict[str, float]:
    """Return the largest difference of a number from that in its place."""
    return {name: float(np.abs(rows - other[name]).max()) for name, rows in one.items()}


def settle(
    model: keras.Model, answers: Callable[[], Outputs], difference: Difference = largest_difference
) -> Outputs:
    """Round the model's kernels to what float16 can hold, where its answers hold; return its answers then.

    `answers` asks the model for the golden samples, `difference` says how far two such are apart. Where they
    would change by more than `LIMIT`, the larger half of the kernels is rounded alone: it is nearly all of
    the weights, and rounding the smallest changes answers most. Where that is too much, too, none is.
    """
    before = answers()
    kernels = sorted(filter(_is_kernel, model.variables), key=lambda one: -math.prod(one.shape))
    whole = [np.array(kernel) for kernel in kernels]
    for rounded in (len(kernels), len(kernels) // 2):
        for index, (kernel, values) in enumerate(zip(kernels, whole, strict=True)):
            kernel.assign(values.astype(np.float16).astype(np.float32) if index < rounded else values)
        after = answers()
        if all(apart <= LIMIT for apart in difference(before, after).values()):
            return after
    for kernel, values in zip(kernels, whole, strict=True):
        kernel.assign(values)
    return before


def is_rounded(variable: Any) -> bool:
    """Whether float16 holds a kernel's values exactly."""
    if not _is_kernel(variable):
        return False
    values = np.asarray(variable)
    return bool((values.astype(np.float16).astype(np.float32) == values).all())


def _is_kernel(variable: Any) -> bool:
    return len(variable.shape) > 1 and str(variable.dtype) == "float32"
