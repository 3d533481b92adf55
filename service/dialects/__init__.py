"""What clients of other servers ask for and are told, in those servers' own words. No HTTP in here.

What is asked for is the same in every dialect: rows of pixels that lie in the model's frame already, or
encoded images. What is answered are the model's outputs, one row for each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from service.errors import MalformedBody
from service.manifest import Manifest, Output
from service.tasks.task import Row

Dialect = Literal["v2", "tfs"]
"""Open Inference Protocol V2; TensorFlow Serving's REST, with KServe's V1."""

ASIDES = frozenset(("familiarity", "border"))
"""Outputs beside what a model was trained to say: for those who name them, as many clients take one alone."""


@dataclass(frozen=True, slots=True, eq=False)
class Pixels:
    """Images in the model's frame: uint8 `[N, height, width, channels]`, 0..255, N at least 1."""

    rows: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """Files of images, of any sizes, at least one; none is empty."""

    images: Sequence[bytes]

    def __len__(self) -> int:
        return len(self.images)


Asked = Pixels | Encoded


@dataclass(frozen=True)
class Most:
    """How many of each one request may hold, and the bytes of all its encoded images together."""

    rows: int
    images: int
    image_bytes: int


def dialect_of(path: str) -> Dialect | None:
    """Return whose path that is; None for Striate's own."""
    if path.startswith("/v2"):
        return "v2" if path[3:4] in {"", "/"} else None
    return "tfs" if path.startswith("/v1/") else None


def outputs_of(manifest: Manifest) -> tuple[Output, ...]:
    """Return the outputs that are answered where none is named."""
    return tuple(output for output in manifest.outputs if output.name not in ASIDES)


def shape_of(manifest: Manifest, output: Output) -> tuple[int, ...]:
    """Return an output's shape for one image, -1 where the image decides: its size or objects, in tiles."""
    if manifest.input.resize != "tile" or not output.shape:
        return output.shape
    return (-1, -1, output.shape[2]) if len(output.shape) == 3 else (-1, *output.shape[1:])


def stacked(rows: Sequence[Row], name: str) -> NDArray[np.float32]:
    """Return one output of all images, `[N, ...]`; of images with fewer objects than others, the rest is 0.

    MalformedBody where they are of different shapes otherwise.
    """
    values = [row[name] for row in rows]
    if len(values) == 1:
        return values[0][None]
    if len({value.shape for value in values}) == 1:
        return np.stack(values)
    if values[0].ndim == 3:
        raise MalformedBody(
            f"The output {name} has the size of each image, and these are of several sizes, which is no one "
            "tensor: send images of one size together, or one by one."
        )
    together = np.zeros((len(values), max(map(len, values)), *values[0].shape[1:]), np.float32)
    for place, value in enumerate(values):
        together[place, : len(value)] = value
    return together
