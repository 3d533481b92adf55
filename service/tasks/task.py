"""What the service does differently for one task: an object for each, found by its name in `registry.py`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from service.images import tiling
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


@dataclass(frozen=True, eq=False)
class Face:
    """Where clients meet one task, or several that answer the same question: a path and its options."""

    path: str
    """Where images are posted."""
    summary: str
    """What is done with an image, in one sentence."""
    options: type[Any]
    response: type[BaseModel]
    examples: dict[str, dict[str, Any]]
    """Answers for the interface's documents: a summary and one image's answer of each, by name."""
    pictures: Literal["never", "overlay", "always"] = "never"
    """When it answers with a PNG to a client who wants one: with `overlay=true` alone, or always."""


class Gathering(Protocol):
    """Makes one row of the rows of an image's tiles."""

    def add(self, corner: tiling.Size, row: Row, /) -> None:
        """Add the row of the tile at a corner."""

    def row(self) -> Row:
        """Return the image's own row, when all tiles have been added."""


ASKED_OVERLAP = 4
"""Tiles that a request asks for share this part of a side: a quarter."""


@dataclass(frozen=True)
class TileRule(Generic[O_contra]):
    """How a task answers an image in tiles."""

    gather: Callable[[tiling.Tiling, Manifest, O_contra], Gathering]
    told: str
    """What becomes of the answers of the tiles, in words."""
    asked: Callable[[O_contra], int | None] | None = None
    """The width of the tiles, in pixels of the posted image, that a request asks of a model which looks at
    whole images; None where it asks for none, or where none can be asked for."""
    cost: Callable[[Manifest, O_contra], int] = lambda _, __: 0
    """Bytes that the image's row, and what is made of it, takes per pixel of the image."""
    pixels: Callable[[O_contra], int] = lambda _: 2**28
    """The most pixels of an image: more would take too long."""

    def plan(self, size: tiling.Size, manifest: Manifest, options: O_contra) -> tiling.Tiling:
        """Return an image's tiles: of the model's own size, or those that are asked for, of its aspect."""
        spec = manifest.input
        side = self.asked(options) if self.asked else None
        if side is None:
            return tiling.tiled(size, (spec.width, spec.height), spec.overlap)
        tile = (side, max(1, round(side * spec.height / spec.width)))
        return tiling.tiled(size, tile, min(tile) // ASKED_OVERLAP)


def farthest(expected: Row, found: Row) -> dict[str, float]:
    """Return each output's largest difference."""
    return {name: float(np.abs(values - found[name]).max()) for name, values in expected.items()}


@dataclass(frozen=True)
class ServedTask(Generic[O_contra]):
    """A task's face to clients, and the way from a row to its answer."""

    name: Task
    face: Face
    answer: Callable[[Row, Manifest, O_contra, Size], Result]
    """One row -> its answer, at the posted image's size."""
    columns: Callable[[Manifest], tuple[str, ...]]
    """The headings of a table of answers."""
    rows: Callable[[Any], Sequence[tuple[Any, ...]]]
    """An answer -> its rows of that table, one at the least."""
    words: Callable[[Any], str]
    """An answer -> a line for people."""
    threshold: Callable[[Manifest], str]
    """What the threshold does, in words."""
    check: Callable[[O_contra, Manifest], None] = lambda _, __: None
    """Refuse options that the model has no answer to, before an image is read: ParameterError."""
    draw: Callable[[Photo, Row, Manifest, O_contra], bytes] | None = None
    """One row -> a PNG; None where there is nothing to draw."""
    pixel_cost: Callable[[O_contra, bool], int] = lambda _, __: 0
    """Bytes that making the answer takes per pixel of the posted image, as JSON or (True) as a picture; 0
    where the size does not matter."""
    tiles: TileRule[O_contra] | None = None
    """None where tiles are not answered."""
    outputs: Callable[[], Any] | None = None
    """Options by which tiles tell every output of the model; None where those of any request do."""
    differences: Callable[[Row, Row, Manifest], dict[str, float]] = lambda one, other, _: farthest(one, other)
    """A golden sample's row and the one that is served for it -> how far each output is off that counts."""
    carried: Callable[[Row, Manifest, Size], Row] = lambda row, _, __: row
    """One row -> the same, with its boxes as fractions of the posted image, of that size."""
    facts: Callable[[Manifest], list[tuple[str, str]]] = lambda _: []
    """What else decides an answer: (what, how)."""


def familiarity(row: Row) -> float | None:
    """Return how familiar the image is, in 0..1; None where the model does not tell it."""
    return unit(float(row["familiarity"])) if "familiarity" in row else None


def unit(value: float | np.floating) -> float:
    """Round a probability or fraction to six digits, within 0..1 in spite of rounding in the engine."""
    return round(min(1.0, max(0.0, float(value))), 6)
