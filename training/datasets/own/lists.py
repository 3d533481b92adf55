"""The user's own division in files: lists of images such as Pascal VOC's ImageSets, and YOLO's data.yaml."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from training.datasets.labels import yolo
from training.datasets.own.draft import Draft
from training.datasets.own.listing import PARTS, Item, Part, part_of
from training.learnable import LEARNABLE, Task

_NUMBER = re.compile(r"\s+-?\d+$")
_WHOLE = ("trainval", "trainvaltest", "all", "list")


@dataclass
class _Division:
    """The part of each image that is in some list, and where the list stands."""

    places: list[str] = field(default_factory=list)
    parts: dict[Path, dict[Part, str]] = field(default_factory=lambda: defaultdict(dict))


def divide(draft: Draft, task: Task) -> None:
    """Give the images the parts that lists in the folder say; images in none of them are left out.

    Where there is no list of what to train on, as in CamVid's valid.txt alone, that is what no list names.

    An image in two lists is a fault, and so is one that its folder and a list put into different parts.
    """
    found = _listed(draft, task) or _stated(draft)
    if not found:
        return
    trained = any("train" in parts for parts in found.parts.values())
    items = [_part(draft, item, found.parts, None if trained else "train") for item in draft.items]
    kept = [item for item in items if item]
    counts = Counter(item.part for item in kept)
    told = ", ".join(f"{part} {counts[part]}" for part in PARTS if counts[part])
    draft.notes.append(f"{', '.join(found.places)} divide the images: {told}")
    if len(kept) < len(items):
        draft.warn(f"{len(items) - len(kept)} images are in none of these lists, and are left out")
    draft.items[:] = kept
    if not trained:
        return
    # Who lists images means these alone; what has no label beside them is not missing one.
    listed = {draft.name(draft.tree.folder / path) for path in found.parts}
    draft.faults[:] = [
        fault for fault in draft.faults if fault.kind != "image without label" or fault.file in listed
    ]


def _part(
    draft: Draft, item: Item, parts: Mapping[Path, Mapping[Part, str]], rest: Part | None
) -> Item | None:
    """Return an item with its part; where no list names it, `rest`, or None where that is none."""
    own = parts.get(item.path.relative_to(draft.tree.folder))
    if not own:
        return replace(item, part=item.part or rest) if rest else None
    places = dict(own)
    if item.part:
        places.setdefault(item.part, "its folder")
    if len(places) > 1:
        told = " and ".join(f"in {part} by {place}" for part, place in places.items())
        draft.report(item.path, f"is {told}: keep it in one", "leak")
    return replace(item, part=next(iter(own)))


# ---- lists of names


def _listed(draft: Draft, task: Task) -> _Division | None:
    """Read lists such as ImageSets/Main/train.txt; None where there are none that divide."""
    names = _Names(draft)
    files = _files(draft, task, names)
    if not files:
        return None
    found = _Division(_places(draft, files))
    for path, part in files.items():
        for word in _words(draft, path):
            image = names.find(word, path)
            if image:
                found.parts[image].setdefault(part, path.as_posix())
            else:
                draft.report(draft.tree.folder / path, f"there is no image {word}", "label without image")
    return found


def _files(draft: Draft, task: Task, names: "_Names") -> dict[Path, Part]:
    """Return the lists of one folder with their parts: train.txt, or those of each class, cat_train.txt."""
    stems = {path.stem for path in draft.tree.photos}
    folders: dict[Path, dict[Path, Part]] = defaultdict(dict)
    for path in draft.tree.of(".txt"):
        part = part_of([re.split(r"[_\W]", path.stem)[-1]])
        whole = path.stem.lower() in _WHOLE
        if (part or whole) and path.stem not in stems and _is_list(draft, names, path):
            folders[path.parent][path] = part or "train"
    if not folders:
        return {}
    # Pascal VOC's folders of lists.
    wanted = "segmentation" if LEARNABLE[task].truth == "mask" else "main"
    place = min(folders, key=lambda one: (one.name.lower() != wanted, len(one.parts), one))
    chosen = folders[place]
    plain = {path: part for path, part in chosen.items() if part_of([path.stem])}
    both = {path: part for path, part in chosen.items() if path.stem.lower() == "trainval"}
    if plain:
        # trainval is train and val together; where these are not there, it is all there is to train on.
        return plain if "train" in plain.values() else plain | both
    return {path: part for path, part in chosen.items() if path.stem.lower() not in _WHOLE} or both


def _is_list(draft: Draft, names: "_Names", path: Path) -> bool:
    """Return whether the first lines of a file name images, some of which are here."""
    return any(names.find(word, path) for word in _words(draft, path)[:200])


def _words(draft: Draft, path: Path) -> list[str]:
    """Return the lines of a list; that of a class names all images, whether they show it or not."""
    text = (draft.tree.folder / path).read_text("utf-8-sig", "replace")
    lines = [line.strip() for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


class _Names:
    """The photos of a folder, by their stems and by their paths."""

    def __init__(self, draft: Draft) -> None:
        self._paths = set(draft.tree.photos)
        self._stems: dict[str, list[Path]] = defaultdict(list)
        for path in draft.tree.photos:
            self._stems[path.stem].append(path)
            self._stems[path.name].append(path)

    def find(self, line: str, file: Path) -> Path | None:
        """Return the image of a name, or of a path from the folder or from the list's own folder.

        VOC's lists of a class have -1, 0 or 1 behind each name, those of the pets three numbers.
        """
        word = line.replace("\\", "/")
        found = self._one(word, file)
        while found is None and _NUMBER.search(word):
            word = _NUMBER.sub("", word)
            found = self._one(word, file)
        return found

    def _one(self, word: str, file: Path) -> Path | None:
        for base in (file.parent, Path()):
            path = Path(os.path.normpath(base / word))
            if path in self._paths:
                return path
        stem = word.rpartition("/")[2]
        found = [path for path in self._stems.get(stem, []) if _ends(path, word)]
        return found[0] if len(found) == 1 else None


def _ends(path: Path, word: str) -> bool:
    """Return whether a path ends with the folders of a word, as far as both have some."""
    folders, stated = path.parts[:-1], Path(word).parts[:-1]
    shared = min(len(folders), len(stated))
    return folders[len(folders) - shared :] == stated[len(stated) - shared :]


def _places(draft: Draft, files: Iterable[Path]) -> list[str]:
    paths = sorted(files)
    folder = paths[0].parent
    if len(paths) > 3:
        return [f"{len(paths)} lists in {folder.as_posix()}/"]
    names = ",".join(path.stem for path in paths)
    return [(folder / f"{{{names}}}.txt").as_posix() if len(paths) > 1 else paths[0].as_posix()]


# ---- data.yaml


def _stated(draft: Draft) -> _Division | None:
    """Read the folders of train, val and test in YOLO's data.yaml, where no names say it already."""
    if "yolo" not in draft.tree.formats.values():
        return None
    stated = yolo.settings(draft.tree.folder, draft.tree.labels)
    if stated is None or any(item.part for item in draft.items):
        return None
    path, said = stated
    found = _Division([path.as_posix()])
    for key, part in (("train", "train"), ("val", "validation"), ("test", "test")):
        for place in said[key] if isinstance(said.get(key), list) else [said.get(key)]:
            for image in _below(draft, path, str(said.get("path") or ""), place):
                found.parts[image].setdefault(part, path.as_posix())  # type: ignore[arg-type]
    if not found.parts:
        draft.warn(f"{path.as_posix()} names no folder that is here: the images are divided by chance")
        return None
    both = sum(len(parts) > 1 for parts in found.parts.values())
    if both == len(found.parts):
        draft.warn(f"{path.as_posix()} has the same images for all parts: they are divided by chance")
        return None
    return found


def _below(draft: Draft, file: Path, base: str, place: object) -> Sequence[Path]:
    """Return the images of a folder that data.yaml states, wherever it was when that was written."""
    if not isinstance(place, str) or not place.strip():
        return []
    parts = [part for part in Path(place.replace("\\", "/")).parts if part not in (".", "..", "/")]
    for words in (Path(base).parts + tuple(parts), *(tuple(parts[skip:]) for skip in range(len(parts)))):
        folder = Path(os.path.normpath(file.parent / Path(*words)))
        within = [path for path in draft.tree.photos if path.is_relative_to(folder)]
        if within and folder != Path():
            return within
    return []
