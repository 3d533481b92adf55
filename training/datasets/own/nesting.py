"""Nested class folders are groups of classes: photos/cat/bengal/1.jpg is a bengal, and so a cat.

Where all photos lie two folders deep, that is what folders mean. Anything between that and plain class
folders could be meant otherwise, and is asked: one stray photo must not turn all breeds into cats and dogs.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from training.datasets.dataset import DatasetError, Question, Reading
from training.datasets.own.listing import Part, part_of


@dataclass(frozen=True)
class Place:
    """Where an image lies: its folders from the outermost that may be a class on, and its part.

    Folders such as images/ within the outermost one are left out.
    """

    names: tuple[str, ...]
    part: Part | None


Places = Mapping[Path, Place]
"""By the images' paths below the folder."""

OUTER = Reading(
    "each outermost folder is a class, whatever folders are in it",
    "--labels folders",
    "classification",
    "folders",
)
INNER = Reading(
    "the folders within the outermost ones are the classes, and these their groups",
    "--labels groups",
    "classification",
    "groups",
)


def parted(places: Places) -> dict[Path, Place]:
    """Take parts out of the names where they stand right below all classes: cat/train, cat/bengal/train."""
    for level in (1, 2):
        parts = {path: part_of(place.names[level : level + 1]) for path, place in places.items()}
        if None not in parts.values() and len(set(parts.values())) > 1:
            return {
                path: Place((*place.names[:level], *place.names[level + 1 :]), parts[path])
                for path, place in places.items()
            }
    return dict(places)


def is_nested(places: Places) -> bool:
    """Whether all images lie two folders deep, in several outermost folders, and no two classes are called
    the same.
    """
    depths = {len(place.names) for place in places.values()}
    return depths == {2} and _outermost(places) > 1 and not _shared(places)


def ask(folder: Path, places: Places) -> None:
    """Raise Question where folders lie in class folders, and it is not plain that these are groups.

    In one outermost folder alone there is nothing to tell apart, whatever it is.
    """
    if _outermost(places) < 2 or is_nested(places):
        return
    deep = next((path for path, place in places.items() if len(place.names) > 1), None)
    if deep is None:
        return
    flat = next((path for path, place in places.items() if len(place.names) == 1), None)
    if flat:
        raise Question(
            f"{folder} has photos right in an outermost folder ({flat.as_posix()}) and in folders within one "
            f"({deep.as_posix()}). Nested class folders are groups where all photos lie two folders deep",
            [OUTER],
        )
    if shared := _shared(places):
        name, (one, other) = shared
        raise Question(
            f"{folder} has a folder {name} both in {one} and in {other}: of nested class folders, which are "
            f"groups of classes, no two may have the same name",
            [OUTER],
        )
    deeper = next(path for path, place in places.items() if len(place.names) > 2)
    raise Question(
        f"{folder} has photos more than two folders deep ({deeper.as_posix()}); nested class folders are "
        f"groups where all lie two deep",
        [OUTER, INNER],
    )


def check(folder: Path, places: Places) -> None:
    """Raise DatasetError where the outermost folders cannot be groups of the classes within."""
    if _outermost(places) < 2:
        (one,) = {place.names[0] for place in places.values()}
        raise DatasetError(
            f"All classes in {folder} are in {one}: one group alone says nothing. Give the folder that the "
            f"classes are in."
        )
    if shared := _shared(places):
        name, (one, other) = shared
        raise DatasetError(
            f"{folder} has a folder {name} both in {one} and in {other}, and no two classes may have the "
            f"same name: rename one, or say --labels folders where the outermost folders are the classes."
        )


def _outermost(places: Places) -> int:
    return len({place.names[0] for place in places.values()})


def _shared(places: Places) -> tuple[str, tuple[str, str]] | None:
    """Return a class that stands in two groups, and these; None where there is none."""
    return next(_all_shared(places), None)


def _all_shared(places: Places) -> Iterator[tuple[str, tuple[str, str]]]:
    groups: dict[str, set[str]] = defaultdict(set)
    for place in places.values():
        if len(place.names) > 1:
            groups[place.names[1]].add(place.names[0])
    for name, found in sorted(groups.items()):
        if len(found) > 1:
            one, other, *_ = sorted(found)
            yield name, (one, other)
