"""Answers of `predict` as a table, as JSON in the service's shape, or as lines for people.

Each is written photo by photo, so that a folder of any size takes no memory, beside its place, and comes
there as a whole when it is closed: early, too, with all that has been answered until then.
"""

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import orjson
import typer

from service.errors import StriateError
from service.manifest import Manifest, Task
from service.schemas import Classification, Localization, Result, Segmentation

Answer = Result | StriateError
"""What the service says of one image, or why it says nothing."""


class Sink(Protocol):
    """Takes the answers, one after the other."""

    def add(self, file: str, answer: Answer) -> None:
        """Write one photo's answer, or what is wrong with it."""

    def close(self) -> None:
        """Finish; nothing comes after it."""


def shown(path: Path) -> str:
    """Return a path as text that can be written: of a name that is no UTF-8, what can be read of it."""
    return os.fsencode(path).decode("utf-8", "replace")


class Lines:
    """A line for each photo on the standard output."""

    def add(self, file: str, answer: Answer) -> None:
        """Tell it."""
        typer.echo(f"{file}: {_in_words(answer)}")

    def close(self) -> None:
        """Nothing is left to do."""


def _in_words(answer: Answer) -> str:
    if isinstance(answer, StriateError):
        return f"error: {answer.detail}"
    if isinstance(answer, Segmentation):
        return ", ".join(f"{each.label} {100 * each.fraction:.1f} %" for each in answer.classes)
    words = f"{answer.label or 'unsure'} {answer.score:.4f}"
    if isinstance(answer, Localization):
        box = answer.box
        words += f" at {box.x_min:g}, {box.y_min:g} to {box.x_max:g}, {box.y_max:g}"
        words += f" of {answer.width}x{answer.height}"
    return words


class _File:
    """A file that is written beside its place."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._beside = path.with_name(f".{path.name}.part")
        self._file = self._beside.open("w", encoding="utf-8", newline="")

    def _finish(self) -> None:
        self._file.close()
        self._beside.replace(self._path)


_BOX = ("x_min", "y_min", "x_max", "y_max")


class Table(_File):
    """A CSV: a row for each photo, whose last column says what is wrong with those that have no answer."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        super().__init__(path)
        self._columns = _COLUMNS[manifest.task]
        if manifest.task == "segmentation":
            self._columns = (*self._columns, *(f"fraction of {label}" for label in manifest.labels))
        self._rows = csv.writer(self._file, lineterminator="\n")
        self._rows.writerow(("file", *self._columns, "error"))

    def add(self, file: str, answer: Answer) -> None:
        """Write its row."""
        if isinstance(answer, StriateError):
            self._rows.writerow((file, *[""] * len(self._columns), answer.detail))
        else:
            self._rows.writerow((file, *_cells(answer), ""))

    def close(self) -> None:
        """Put the table into its place."""
        self._finish()


_COLUMNS: dict[Task, tuple[str, ...]] = {
    "classification": ("label", "score"),
    "localization": ("label", "score", *_BOX, "width", "height"),
    "segmentation": ("width", "height"),
}


def _cells(answer: Result) -> Sequence[Any]:
    if isinstance(answer, Segmentation):
        return answer.width, answer.height, *(each.fraction for each in answer.classes)
    # None where the score is below the threshold: an empty cell.
    named = (answer.label, answer.score)
    if isinstance(answer, Classification):
        return named
    return *named, *(getattr(answer.box, name) for name in _BOX), answer.width, answer.height


class Document(_File):
    """JSON as the service answers, with the `file` before each result."""

    def __init__(self, path: Path, model: dict[str, Any]) -> None:
        super().__init__(path)
        self._file.write(f'{{"model":{orjson.dumps(model).decode()},"results":[')
        self._between = "\n"

    def add(self, file: str, answer: Answer) -> None:
        """Write its entry."""
        told = {"error": answer.problem()} if isinstance(answer, StriateError) else answer
        name = orjson.dumps({"file": file}).decode()
        self._file.write(f"{self._between}{name[:-1]},{orjson.dumps(told).decode()[1:]}")
        self._between = ",\n"

    def close(self) -> None:
        """End the document and put it into its place."""
        self._file.write("\n]}\n")
        self._finish()
