"""Which image a label file means: by the path that it states, or by its name and where the file stands."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePath

from training.datasets.own.listing import Part, part_of
from training.datasets.own.tree import IMAGE_FOLDERS

_LABEL_FOLDERS = frozenset(("annotations", "annotation", "labels", "label", "xml", "xmls", "boxes", "bboxes"))

_UPLOAD = re.compile(r"^[0-9a-f]{8}-")


class Images:
    """The images of a folder, to be found by what a label file states of them."""

    def __init__(self, paths: Iterable[Path], *, stems: bool = False) -> None:
        """Index images by their names, or with `stems` by their names without the suffix."""
        self._advice = "put this file beside its image" if stems else "give the folder too"
        self._named: dict[str, list[Path]] = defaultdict(list)
        self._folders: set[Path] = set()
        self._places: set[tuple[str, ...]] = set()
        for path in paths:
            self._named[path.stem if stems else path.name].append(path)
            self._folders.add(path.parent)
            place = _place(path.parent)
            self._places.update(place[:depth] for depth in range(1, len(place) + 1))

    def beside(self, file: Path, name: str) -> Path | str:
        """Return the image of this name that the label file `file` is for, or what is wrong."""
        found = self._named.get(name, [])
        near = list(self._near(file, found))
        if not found:
            return f"there is no image {name}"
        if not near:
            return f"there is no image {name} where this file belongs, only {_some(found)}"
        if len(near) > 1:
            return f"several images are called {name} ({_some(near)}); {self._advice}"
        return near[0]

    def stated(self, file: Path, names: Sequence[str]) -> tuple[list[Path | str], str]:
        """Return, for each path in the label file `file`, its image or what is wrong; and a note, if any.

        A path may begin anywhere above or below the folder, but the folders that it does name must be the
        image's: one of the same name elsewhere is another image. Only where none of a file's paths fits,
        and none of their folders is known here, the images were moved: then their names count alone.
        """
        paths = [self._uploaded(Path(name.strip().replace("\\", "/"))) for name in names]
        found = [self._one(file, path) for path in paths]
        lost = [number for number, one in enumerate(found) if one is None]
        moved = self._moved(paths, lost, found)
        for number in lost:
            path = paths[number]
            match = self.beside(file, path.name)
            if isinstance(match, Path) and not (moved and part_of(path.parent) in (None, part_of(match))):
                match = f"there is no image {names[number]}, only {match.as_posix()}"
            found[number] = match
        note = ""
        if moved and any(isinstance(found[number], Path) for number in lost):
            note = (
                f"{file.as_posix()}: there is no folder {paths[lost[0]].parent.as_posix()} here; its images "
                f"are taken by their names alone"
            )
        return [one for one in found if one is not None], note

    def _uploaded(self, path: Path) -> Path:
        """Return a path without what Label Studio puts before the names of uploads, if no file has it."""
        if path.name in self._named or not _UPLOAD.match(path.name):
            return path
        own = path.with_name(_UPLOAD.sub("", path.name))
        # Where the upload lay says nothing of where the image lies.
        return Path(own.name) if own.name in self._named else path

    def _one(self, file: Path, path: Path) -> Path | str | None:
        """Return the image of a stated path, what is wrong, or None where only an image's name may fit."""
        named = self._named.get(path.name, [])
        if not path.parent.parts:
            return file.parent / path if file.parent / path in named else self.beside(file, path.name)
        folders = [Path(os.path.normpath(base / path.parent)) for base in (file.parent, Path())]
        for folder in folders:
            if folder / path.name in named:
                return folder / path.name
        if not named or self._folders & {folder for folder in folders if folder.parts}:
            return f"there is no image {path.as_posix()}"
        fitting = _fitting(named, path.parent, part_of(path.parent) or part_of(file.parent))
        if len(fitting) > 1:
            fitting = list(self._near(file, fitting)) or fitting
        if len(fitting) > 1:
            return f"several images fit {path.as_posix()} ({_some(fitting)}); give the whole path"
        return fitting[0] if fitting else None

    def _moved(self, paths: Sequence[Path], lost: Sequence[int], found: Sequence[Path | str | None]) -> bool:
        """Return whether the folders in a label file are all of another place, and its names unambiguous."""
        folders = {name.lower() for number in lost for name in paths[number].parent.parts}
        known = {name.lower() for folder in self._folders for name in folder.parts}
        fits = any(
            isinstance(one, Path) and len(path.parts) > 1 for one, path in zip(found, paths, strict=True)
        )
        names = Counter(path.name for path in {paths[number] for number in lost})
        return not fits and not folders & known and max(names.values(), default=0) == 1

    def _near(self, file: Path, found: Iterable[Path]) -> Iterator[Path]:
        """Leave out images of another part than the label file's, or of another place that has images."""
        part, place = part_of(file.parent), _place(file.parent)
        near = [image for image in found if part is None or part_of(image.parent) in (None, part)]
        if place in self._places:
            near = [image for image in near if _place(image.parent)[: len(place)] == place]
        for narrow in (
            lambda image: image.parent == file.parent,
            lambda image: _place(image.parent) == place,
        ):
            if any(map(narrow, near)):
                return filter(narrow, near)
        return iter(near)


def _fitting(images: Iterable[Path], folder: Path, part: Part | None) -> list[Path]:
    """Return the images whose folder ends as `folder` does, or the other way round, in no part but `part`."""
    own = [image for image in images if part is None or part_of(image.parent) in (None, part)]
    whole = [image for image in own if _end_alike(image.parent.parts, folder.parts)]
    return whole or [image for image in own if _end_alike(_place(image.parent), _place(folder))]


def _place(folder: PurePath) -> tuple[str, ...]:
    """Name a folder by what images and their labels have in common, in small letters."""
    names = (name.lower() for name in folder.parts)
    return tuple(name for name in names if name not in IMAGE_FOLDERS and name not in _LABEL_FOLDERS)


def _end_alike(one: Sequence[str], other: Sequence[str]) -> bool:
    """Return whether one of two folders ends with the other."""
    shared = min(len(one), len(other))
    return one == other or (shared > 0 and one[-shared:] == other[-shared:])


def _some(paths: Sequence[Path]) -> str:
    return ", ".join(path.as_posix() for path in paths[:3]) + (", ..." if len(paths) > 3 else "")
