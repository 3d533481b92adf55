"""Answers of `predict` as a table, as JSON in the service's shape, or as lines for people.

Each is written photo by photo, so that a folder of any size takes no memory, beside its place, and comes
there as a whole when it is closed: early, too, with all that has been answered until then.
"""

import csv
import os
from pathlib import Path
from typing import Any, Protocol

import orjson
import typer

from service.errors import StriateError
from service.manifest import Manifest, Task
from service.schemas import Result, written
from service.tasks.registry import TASKS

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

    def __init__(self, task: Task) -> None:
        self._task = TASKS[task]

    def add(self, file: str, answer: Answer) -> None:
        """Tell it."""
        if isinstance(answer, StriateError):
            typer.echo(f"{file}: error: {answer.detail}")
        else:
            told = "" if answer.familiarity is None else f", familiarity {answer.familiarity:.4f}"
            typer.echo(f"{file}: {self._task.words(answer)}{told}")

    def close(self) -> None:
        """Nothing is left to do."""


class _File:
    """A file that is written beside its place."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._beside = path.with_name(f".{path.name}.part")
        self._file = self._beside.open("w", encoding="utf-8", newline="")

    def _finish(self) -> None:
        self._file.close()
        self._beside.replace(self._path)


class Table(_File):
    """A CSV: a row for each photo, or for each object found in it; the last column says what is wrong with
    those that have no answer.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        super().__init__(path)
        self._task = TASKS[manifest.task]
        self._familiarity = manifest.familiarity is not None
        self._columns = (*self._task.columns(manifest), *(["familiarity"] if self._familiarity else []))
        self._rows = csv.writer(self._file, lineterminator="\n")
        self._rows.writerow(("file", *self._columns, "error"))

    def add(self, file: str, answer: Answer) -> None:
        """Write its rows."""
        if isinstance(answer, StriateError):
            self._rows.writerow((file, *[""] * len(self._columns), answer.detail))
        else:
            told = [answer.familiarity] if self._familiarity else []
            self._rows.writerows((file, *cells, *told, "") for cells in self._task.rows(answer))

    def close(self) -> None:
        """Put the table into its place."""
        self._finish()


class Document(_File):
    """JSON as the service answers, with the `file` before each result."""

    def __init__(self, path: Path, model: dict[str, Any]) -> None:
        super().__init__(path)
        self._file.write(f'{{"model":{orjson.dumps(model).decode()},"results":[')
        self._between = "\n"

    def add(self, file: str, answer: Answer) -> None:
        """Write its entry."""
        told = {"error": answer.problem()} if isinstance(answer, StriateError) else written(answer)
        name = orjson.dumps({"file": file}).decode()
        self._file.write(f"{self._between}{name[:-1]},{orjson.dumps(told).decode()[1:]}")
        self._between = ",\n"

    def close(self) -> None:
        """End the document and put it into its place."""
        self._file.write("\n]}\n")
        self._finish()
