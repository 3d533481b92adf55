"""Files that look like labels and are of no format: what is said of them, and whether they name photos."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten

from training.datasets.labels.tables import column_names
from training.datasets.own.legend import is_legend
from training.datasets.own.tree import Tree

_READ = 1 << 20
"""Bytes of a file that are looked at for the names of photos."""
_RIGHT = {".json": "COCO has lists of images and annotations", ".xml": "VOC's is annotation"}


@dataclass(frozen=True)
class Strange:
    """What is said of one file, or of many of a kind.

    `names_photos` tells whether photos stand in it: then the labels are likely there, not in folders' names.
    """

    text: str
    names_photos: bool


def not_understood(tree: Tree) -> list[Strange]:
    """Return what no layout can make labels of, though it looks like labels."""
    names = _names(tree)
    found = []
    for path in tree.of(".csv"):
        if not tree.formats[path] and not is_legend(tree.folder / path):
            header = shorten(", ".join(column_names(tree.folder / path)), 80)
            text = (
                f"{path} is not understood, its first line being: {header}; "
                f"call its columns file and label, or file, x_min, y_min, x_max and y_max"
            )
            found.append(Strange(text, _tells(tree, [path], names)))
    for suffix, right in _RIGHT.items():
        strange = [path for path in tree.of(suffix) if not tree.formats[path]]
        if strange:
            more = f" and {len(strange) - 1} more are" if len(strange) > 1 else " is"
            text = f"{strange[0]}{more} not understood: {right}"
            found.append(Strange(text, _tells(tree, strange, names)))
    stems = {path.stem for path in tree.images}
    named = sum(path.stem in stems for path in tree.of(".txt") if path not in tree.formats)
    if named:
        text = (
            f"{named} .txt files with the names of images are not read: YOLO's have a class number and four "
            f"fractions per line"
        )
        found.append(Strange(text, names_photos=False))
    return found


def _names(tree: Tree) -> set[str]:
    """Return the names by which a file may call the photos; a bare number may be any number."""
    stems = {path.stem for path in tree.photos if not path.stem.isdecimal()}
    return {path.name for path in tree.photos} | stems


def _tells(tree: Tree, files: Sequence[Path], names: Collection[str]) -> bool:
    """Return whether files, one for each photo or one for several, are about the photos."""
    return any(path.stem in names or _holds(tree.folder / path, names) for path in files[:20])


def _holds(path: Path, names: Collection[str]) -> bool:
    with path.open("rb") as file:
        text = file.read(_READ).decode("utf-8", "replace")
    return any(word.strip() in names for word in re.split(r"[\n\r\t\"'<>,;/\\\\]+", text))
