"""One use of a layer in its graph, what is found out about it, and the arithmetic of sliding windows."""

import math
from dataclasses import dataclass
from typing import Any

import keras

from training.reports.summary.field import Field


@dataclass(frozen=True)
class Facts:
    """What an explainer finds out about one layer."""

    parameters: str = ""
    output: str = ""
    multiply_adds: int = 0
    note: str = ""
    field: Field | None = None
    """What a value sees; None: the whole image."""


@dataclass(frozen=True)
class Use:
    """One use of a layer in the graph: input and output shapes without the batch, and the field before it."""

    layer: Any
    inputs: tuple[tuple[int, ...], ...]
    output: tuple[int, ...]
    field: Field | None

    @property
    def shape(self) -> tuple[int, ...]:
        """The first input's shape."""
        return self.inputs[0]


def counts(operation: Any) -> tuple[int, int]:
    """Return the numbers of all weights and of those that are trained."""

    def total(variables: list[Any]) -> int:
        return sum(math.prod(variable.shape) for variable in variables)

    if not isinstance(operation, keras.layers.Layer):
        return 0, 0
    # A dropout's seed is a variable but no weight of the network.
    return total(operation.weights), total(operation.trainable_weights)


def grow(use: Use, kernel: int, stride: int) -> Field | None:
    """Return the field behind a layer's windows of `kernel` values that move by `stride` values."""
    if use.field is None:
        return None
    before = 0 if use.layer.padding == "valid" else _rim(use.shape[0], kernel, stride) // 2
    return use.field.windows(kernel, stride, before)


def reach(layer: Any) -> tuple[int, int]:
    """Return from where to where a kernel reaches: with gaps between its weights (dilation) further."""
    rows, columns = (
        (size - 1) * gap + 1 for size, gap in zip(layer.kernel_size, layer.dilation_rate, strict=True)
    )
    return rows, columns


def _rim(size: int, kernel: int, stride: int) -> int:
    """Return how many zeros "same" puts around: no more than the last window needs."""
    return max((-(-size // stride) - 1) * stride + kernel - size, 0)


def window(use: Use, kernel: tuple[int, int], strides: tuple[int, int]) -> str:
    """Explain the output size of a sliding window, for both sides where they differ."""
    sides = ("height", "width")
    texts = [_sliding(use.shape[axis], kernel[axis], strides[axis], use.layer.padding) for axis in (0, 1)]
    if texts[0] == texts[1]:
        return texts[0]
    return ", ".join(f"{side} {text}" for side, text in zip(sides, texts, strict=True))


def _sliding(size: int, kernel: int, stride: int, padding: str) -> str:
    """The formula (W - F + 2P)/S + 1, rounded down where a valid window leaves a rest."""
    total = 0
    if padding == "valid":
        result, words = (size - kernel) // stride + 1, "2*0"
    else:
        result = -(-size // stride)
        total = _rim(size, kernel, stride)
        words = f"2*{total // 2}" if total % 2 == 0 else f"{total // 2} + {total - total // 2}"
    rest = ", rounded down" if not total and (size - kernel) % stride else ""
    return f"({size} - {kernel} + {words})/{stride} + 1 = {result}{rest}"


def activation(layer: Any) -> str:
    """Return what a layer does to its results at last, as the end of a sentence; empty where nothing."""
    name = getattr(layer.activation, "__name__", "linear")
    return "" if name == "linear" else f", then {name}"
