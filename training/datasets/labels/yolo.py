"""YOLO's .txt files to annotations: class and box, or class and outline, in fractions of the image.

As Ultralytics describes them (docs.ultralytics.com/datasets): one file per image, of its name, one line per
object; classes are numbers, whose names stand in a data.yaml, or in the files that labelling tools write.
"""

import json
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import yaml

from training.datasets.dataset import DatasetError
from training.datasets.labels.annotations import Annotation, Report, finite, nothing
from training.datasets.labels.shapes import Shape, polygon

IGNORED = "ignored"
_NAME_FILES = ("classes.txt", "obj.names", "_darknet.labels", "predefined_classes.txt", "notes.json")
_YAML = (".yaml", ".yml")


def recognise(folder: Path, files: Sequence[Path], stems: Collection[str]) -> dict[Path, str]:
    """Return which label files are YOLO's, and which belong to them; `stems` are those of the images."""
    texts = [path for path in files if path.suffix.lower() == ".txt" and path.name not in _NAME_FILES]
    lines = {path: _first_line(folder / path) for path in texts}
    like = {path for path, line in lines.items() if _is_line(line)}
    own = [
        path
        for path in texts
        if path.stem in stems or (path.parent.name.lower() == "labels" and path in like)
    ]
    telling = [path for path in own if lines[path]]
    # What has the name of an image is told as faulty where the others are right.
    if not telling or 2 * len(like & set(own)) < len(telling):
        return {}
    beside = [path for path in files if path.name in _NAME_FILES or path.suffix.lower() in _YAML]
    return dict.fromkeys(own, "yolo") | dict.fromkeys(beside, IGNORED)


def _first_line(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(4096).decode("utf-8", "replace").removeprefix("\ufeff").strip()
    return head.splitlines()[0] if head else ""


def _is_line(line: str) -> bool:
    words = line.split()
    try:
        numbers = [finite(word) for word in words]
    except ValueError:
        return False
    return len(words) >= 5 and numbers[0] == int(numbers[0]) >= 0


def has_outlines(path: Path) -> bool:
    """Return whether the first object of a file has an outline instead of a box."""
    return len(_first_line(path).split()) > 6


def settings(folder: Path, files: Sequence[Path]) -> tuple[Path, dict[str, Any]] | None:
    """Return the data.yaml of a folder's YOLO files, the one nearest to the top, and what it says."""
    for path in sorted(files, key=lambda path: (len(path.parts), path)):
        if path.suffix.lower() in _YAML:
            try:
                found = yaml.safe_load((folder / path).read_text("utf-8-sig"))
            except (OSError, ValueError, yaml.YAMLError) as error:
                raise DatasetError(f"{folder / path} is not YAML in UTF-8: {error}.") from None
            if isinstance(found, dict) and {"names", "train", "nc"} & set(found):
                return path, found
    return None


def _names(folder: Path, files: Sequence[Path]) -> tuple[dict[int, str], str]:
    """Return the names of the classes by their numbers, and the file that says them; none where none does."""
    stated = settings(folder, files)
    if stated and (names := stated[1].get("names")):
        return _from_yaml(folder / stated[0], names), stated[0].as_posix()
    for name in _NAME_FILES:
        for path in sorted((path for path in files if path.name == name), key=lambda path: len(path.parts)):
            return _from_file(folder / path), path.as_posix()
    return {}, ""


def _from_yaml(path: Path, names: Any) -> dict[int, str]:
    if isinstance(names, list):
        return dict(enumerate(map(str, names)))
    if isinstance(names, dict) and all(str(key).isdigit() for key in names):
        return {int(key): str(name) for key, name in names.items()}
    raise DatasetError(f"{path}: names must be a list, or numbers with a name each, but is {names!r:.60}.")


def _from_file(path: Path) -> dict[int, str]:
    try:
        text = path.read_text("utf-8-sig")
        if path.suffix == ".json":
            return {int(row["id"]): str(row["name"]) for row in json.loads(text)["categories"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{path} cannot be read as the names of classes: {error}.") from None
    return dict(enumerate(line.strip() for line in text.rstrip().split("\n")))


def reader(folder: Path, files: Sequence[Path]) -> Callable[[Path, Report], list[Annotation]]:
    """Return what reads one file; `files` are the folder's label files, among them those with names."""
    names, source = _names(folder, files)
    stated = settings(folder, files)
    poses = bool(stated and stated[1].get("kpt_shape"))

    def read(path: Path, report: Report) -> list[Annotation]:
        try:
            lines = path.read_text("utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            report(path, f"is not UTF-8 text: {error}")
            return []
        found, wrong = [], False
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                found.append(_annotation(path, f"line {number}", line.split(), names, source, poses=poses))
            except ValueError as error:
                report(path, f"line {number}: {error}")
                wrong = True
        return found if found or wrong else [nothing(path, "no line", path.stem)]

    return read


def _annotation(
    path: Path, where: str, words: list[str], names: dict[int, str], source: str, *, poses: bool
) -> Annotation:
    """Read one line; ValueError says what is wrong with it."""
    try:
        kind, *numbers = [finite(word) for word in words]
    except ValueError:
        raise ValueError("a class number and fractions are expected, separated by blanks") from None
    if kind != int(kind) or kind < 0:
        raise ValueError(f"the class must be a whole number from 0, but is {words[0]}")
    if names and int(kind) not in names:
        raise ValueError(f"there is no class {int(kind)}: {source} names {len(names)}, from 0")
    label = names.get(int(kind), f"class {int(kind)}")
    if poses:
        numbers = numbers[:4]
    box, shape = _place(numbers)
    if max(map(abs, numbers)) > 2:
        raise ValueError(
            f"{' '.join(words[1:5])} are no fractions of width and height: x and y of the centre, width and "
            f"height, each from 0 to 1"
        )
    return Annotation(path, where, path.stem, label, box, None, shape, relative=True)


def _place(numbers: list[float]) -> tuple[tuple[float, float, float, float], Shape | None]:
    if len(numbers) == 4:
        x, y, width, height = numbers
        return (x - width / 2, y - height / 2, x + width / 2, y + height / 2), None
    if len(numbers) == 5:
        raise ValueError("it has six numbers, as an answer with its score has: labels have five")
    shape = Shape((polygon(numbers),), relative=True)
    return shape.box, shape
