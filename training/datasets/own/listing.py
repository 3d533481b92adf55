"""What lies in a folder of one's own: labelled images as the files state them, before any pixel is read."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Literal

from training.datasets.labels.shapes import Drawn
from training.learnable import Task

Box = tuple[float, float, float, float]
"""x_min, y_min, x_max, y_max in pixels of the upright image."""
Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")

IMAGE_SUFFIXES = frozenset(
    (
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".webp",
        ".bmp",
        ".gif",
        ".tif",
        ".tiff",
        ".heic",
        ".heif",
        ".hif",
        ".avif",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
    )
)
"""Files that are meant to be images; whether they can be read is seen when they are."""


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with one file: `kind` in a word or two, `text` with what would be right."""

    file: str
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}: {self.text}"


@dataclass(frozen=True)
class Stated:
    """One box of an image as a label file states it, with the image's width and height if it has them."""

    box: Box
    where: str
    size: tuple[int, int] | None = None
    relative: bool = False
    """Whether the box is in fractions of the image's width and height."""
    label: str = ""
    ignored: bool = False
    """Whether the object counts neither as found nor as missed: a crowd, or a difficult one."""


@dataclass(frozen=True)
class Item:
    """One image with what its folder says about it."""

    path: Path
    label: str = ""
    labels: tuple[str, ...] | None = None
    """All of them, where they do not exclude each other; `label` is the rarest of them then."""
    group: str = ""
    """That of the label, where labels have groups."""
    box: Box | None = None
    mask: Path | Drawn | None = None
    """A file, or the outlines that label files state, from which one is drawn."""
    part: Part | None = None
    """Where the user has split the images already."""
    stated: tuple[Stated, ...] = ()
    """All its boxes; `box` is the one to be learnt, where it is one."""

    @property
    def names(self) -> tuple[str, ...]:
        """Its label, or all of them; empty where it has none."""
        return ((self.label,) if self.label else ()) if self.labels is None else self.labels

    def scaled(self, width: int, height: int) -> "Item":
        """Return the item with the boxes that are fractions in pixels of the upright image."""
        if not any(one.relative for one in self.stated):
            return self
        stated = tuple(
            replace(one, box=_scaled(one.box, width, height), relative=False) if one.relative else one
            for one in self.stated
        )
        places = [one.box for one in self.stated]
        return replace(self, stated=stated, box=stated[places.index(self.box)].box if self.box else None)


def _scaled(box: Box, width: int, height: int) -> Box:
    return box[0] * width, box[1] * height, box[2] * width, box[3] * height


@dataclass(frozen=True)
class Listing:
    """A folder's items, how it is laid out, what was decided about it, and what is wrong with it.

    `warnings` are what can be learnt from, but perhaps not as it was meant; `names` the classes of masks that
    are drawn, beginning with that of value 0.
    """

    folder: Path
    task: Task
    layout: str
    items: tuple[Item, ...]
    notes: tuple[str, ...]
    faults: tuple[Fault, ...]
    fingerprint: str
    """Changes when a file is added, removed, renamed or changed in length, or a label file in content."""
    warnings: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    legend: Path | None = None
    """The file that says what the colours, or values, of masks mean."""
    several: bool = False
    """Whether images are of several classes at once, or of none, where one is learnt of each."""

    def name(self, path: Path) -> str:
        """Return a file's name as the user would write it below the folder."""
        return path.relative_to(self.folder).as_posix()


_PART_NAMES: dict[str, Part] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}


def part_of(names: PurePath | Sequence[str]) -> Part | None:
    """Return the part that one of these folder names stands for (`train`, `val2017`, ...), if any."""
    for name in names.parts if isinstance(names, PurePath) else names:
        found = _PART_NAMES.get(re.sub(r"\d+$", "", name.lower()))
        if found:
            return found
    return None
