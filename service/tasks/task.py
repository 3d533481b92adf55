"""What the service does differently for one task: an object for each, found by its name in `registry.py`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from service.images.codec import Photo
from service.manifest import Manifest, Task
from service.options import Options
from service.schemas import Result

Row = dict[str, NDArray[np.float32]]
"""The outputs for one image, by name; see the modules in `training/tasks/` for what they mean."""

O_contra = TypeVar("O_contra", bound=Options, contravariant=True)


@dataclass(frozen=True)
class Size:
    """Of the upright posted image, in pixels."""

    width: int
    height: int


@dataclass(frozen=True)
class ServedTask(Generic[O_contra]):
    """A task's face to clients, and the way from a row to its answer."""

    name: Task
    path: str
    """Where images are posted."""
    summary: str
    """What it does with an image, in one sentence."""
    options: type[O_contra]
    response: type[BaseModel]
    answer: Callable[[Row, Manifest, O_contra, Size], Result]
    """One row -> its answer, at the posted image's size."""
    columns: Callable[[Manifest], tuple[str, ...]]
    """The headings of a table of answers."""
    cells: Callable[[Any], tuple[Any, ...]]
    """An answer -> its row of that table."""
    words: Callable[[Any], str]
    """An answer -> a line for people."""
    threshold: Callable[[Manifest], str]
    """What the threshold does, in words."""
    draw: Callable[[Photo, Row, Manifest, O_contra], bytes] | None = None
    """One row -> a PNG; None where there is nothing to draw."""
    pictures: Literal["never", "overlay", "always"] = "never"
    """When it answers with a PNG to a client who wants one: with `overlay=true` alone, or always."""
    pixel_cost: Callable[[O_contra, bool], int] = lambda _, __: 0
    """Bytes that making the answer takes per pixel of the posted image, as JSON or (True) as a picture; 0
    where the size does not matter."""
    tiled_cost: Callable[[O_contra], int] = lambda _: 0
    """Bytes that it takes per pixel besides, where the row is of the posted image's own size."""
    tiled_pixels: Callable[[O_contra], int] = lambda _: 2**28
    """The most pixels of a posted image whose row is of its own size: more would take too long."""
    facts: Callable[[Manifest], list[tuple[str, str]]] = lambda _: []
    """What else decides an answer: (what, how)."""


def familiarity(row: Row) -> float | None:
    """Return how familiar the image is, in 0..1; None where the model does not tell it."""
    return unit(float(row["familiarity"])) if "familiarity" in row else None


def unit(value: float | np.floating) -> float:
    """Round a probability or fraction to six digits, within 0..1 in spite of rounding in the engine."""
    return round(min(1.0, max(0.0, float(value))), 6)
