"""Photos to answers without a server: the service's own predictor, in this process.

This module, `answers` and `served` are the only ones of training that know how the service answers: what was
made here a second time would differ from what is served, sooner or later.
"""

import asyncio
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from service.errors import NotAnImage, StriateError
from service.images import fitting
from service.inference.predictor import Predictor
from service.manifest import Manifest
from service.options import Options, PictureOptions
from service.tasks.registry import TASKS
from training.datasets.own.listing import IMAGE_SUFFIXES
from training.prediction import served
from training.prediction.answers import Answer, Document, Lines, Sink, Table, shown
from training.prediction.served import PredictError

MOST_BYTES = 2**28
"""A larger file is no photo."""


@dataclass(frozen=True)
class Told:
    """How many photos were answered, how many could not be, and how many files were passed over; `fitted`
    says what was done to each photo before the model saw it.
    """

    answered: int
    broken: int
    passed_over: int
    fitted: str


@dataclass(frozen=True)
class Asked:
    """What is asked for: `to` is where the answers go, None for the standard output."""

    photos: tuple[Path, ...]
    model: str
    to: Path | None = None
    threshold: float | None = None
    top_k: int = 5
    max_objects: int | None = None
    labels: str | None = None
    tile: int | None = None
    models_dir: Path = Path("models")
    runs_dir: Path = Path("runs")


def predict(asked: Asked) -> Told:
    """Answer photos, and all photos below folders, with one model; the answers go where they are asked for.

    `model` is a version's folder, a run's, or a name in `models_dir` (the version that the service would have
    live) or else in `runs_dir`. A photo that cannot be read has an entry that says why. PredictError where
    nothing can be answered at all.
    """
    _check(asked)
    photos = Photos(asked.photos)
    with served.found(asked.model, asked.models_dir, asked.runs_dir) as (folder, origin):
        broken, fitted = asyncio.run(_answer_all(asked, photos, folder, origin))
    return Told(photos.count - broken, broken, photos.passed_over, fitted)


def _overlays(asked: Asked) -> Path | None:
    """Return the folder for pictures, where that is asked for."""
    return asked.to if asked.to and asked.to.suffix.lower() not in _FILES else None


_FILES = (".csv", ".json")


def _check(asked: Asked) -> None:
    for path in asked.photos:
        if not path.exists() and not path.is_symlink():
            raise PredictError(f"There is no {shown(path)}: give photos, or folders of photos.")
    looked = Photos(asked.photos)
    if next(iter(looked), None) is None:
        raise PredictError(
            f"There is no photo in {', '.join(map(shown, asked.photos))}: of {looked.passed_over} files none "
            f"has a name like an image's ({', '.join(sorted(IMAGE_SUFFIXES))})."
        )
    if asked.to is not None:
        _check_place(asked, asked.to)


def _check_place(asked: Asked, to: Path) -> None:
    overlays = _overlays(asked)
    if overlays and (overlays.suffix or overlays.is_file()):
        raise PredictError(
            f"The answers cannot go to {shown(overlays)}: give a .csv, a .json, or a folder for pictures."
        )
    if not overlays and to.is_dir():
        raise PredictError(f"{shown(to)} is a folder: give another name.")
    for path in asked.photos:
        if overlays and path.is_dir() and overlays.resolve().is_relative_to(path.resolve()):
            raise PredictError(
                f"{shown(overlays)} lies within the photos in {shown(path)}, and what is drawn would be "
                f"taken for some of them: give a place elsewhere."
            )


class Photos:
    """The files to be answered, found while they are answered: a folder's in the order of their names."""

    def __init__(self, given: Sequence[Path]) -> None:
        self.count = self.passed_over = 0
        self._given = given

    def __iter__(self) -> Iterator[tuple[Path, Path]]:
        """Yield each file, and its path below the folder that was given."""
        for path in self._given:
            for file in self._below(path) if path.is_dir() else [path]:
                self.count += 1
                yield file, file.relative_to(path) if path.is_dir() else Path(path.name)

    def _below(self, folder: Path) -> Iterator[Path]:
        for home, folders, files in os.walk(folder):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(files):
                if name.startswith("."):
                    continue
                if Path(name).suffix.lower() in IMAGE_SUFFIXES:
                    yield Path(home) / name
                else:
                    self.passed_over += 1


async def _answer_all(asked: Asked, photos: Photos, folder: Path, origin: dict[str, Any]) -> tuple[int, str]:
    """Answer all photos in their order; return how many could not be, and how they were fitted.

    One at a time, on all the processors: an engine computes batches in another order, and the last digits
    would be others than those of a service that is asked for each photo.
    """
    broken = 0
    async with served.living(folder) as predictor:
        session = _Session(predictor, asked, origin)
        with closing(session), _meter() as meter:
            for file, below in photos:
                broken += await session.answer(file, below)
                meter.update(meter.task_ids[0], completed=photos.count, description=f"{broken} broken")
        return broken, fitting.words(predictor.manifest.input)


class _Session:
    """One model, what it is asked, and where its answers go."""

    def __init__(self, predictor: Predictor, asked: Asked, origin: dict[str, Any]) -> None:
        self._predictor = predictor
        manifest = predictor.manifest
        self._overlays = _overlays(asked)
        if self._overlays and TASKS[manifest.task].draw is None:
            raise PredictError(
                "Pictures are drawn of boxes and masks; for classes give --to a .csv or .json."
            )
        self._options = _options(manifest, asked)
        self._sink = self._open(asked, origin or {"name": manifest.name, "version": manifest.version})

    def _open(self, asked: Asked, model: dict[str, Any]) -> Sink:
        if asked.to is None:
            return Lines(self._predictor.manifest.task)
        if self._overlays:
            self._overlays.mkdir(parents=True, exist_ok=True)
            return Table(self._overlays / "answers.csv", self._predictor.manifest)
        asked.to.parent.mkdir(parents=True, exist_ok=True)
        if asked.to.suffix.lower() == ".csv":
            return Table(asked.to, self._predictor.manifest)
        return Document(asked.to, model)

    async def answer(self, file: Path, below: Path) -> bool:
        """Write the answer for a file, or what is wrong with it; return whether it is that.

        Where that is asked for, the answer is drawn, too.
        """
        answer: Answer
        try:
            data = _read(file)
            answer = await self._predictor.answer(data, self._options)
            if self._overlays and isinstance(self._options, PictureOptions):
                await self._draw(data, self._options, self._overlays / below)
        except StriateError as error:
            answer = error
        self._sink.add(shown(file), answer)
        return isinstance(answer, StriateError)

    async def _draw(self, data: bytes, options: PictureOptions, place: Path) -> None:
        picture = await self._predictor.picture(data, options.model_copy(update={"overlay": True}))
        place.parent.mkdir(parents=True, exist_ok=True)
        # The whole name: a.jpg and a.png are two photos.
        place.with_name(f"{place.name}.png").write_bytes(picture)

    def close(self) -> None:
        """Finish what is written."""
        self._sink.close()


def _options(manifest: Manifest, asked: Asked) -> Options:
    # Encoding masks takes longer than all the rest; where they are not written, it is not done.
    written = asked.to is not None and asked.to.suffix.lower() == ".json"
    wanted = {"threshold": asked.threshold, "top_k": asked.top_k, "mask": "png" if written else "none"}
    given = {"max_objects": asked.max_objects, "labels": asked.labels, "tile": asked.tile}
    given = {name: value for name, value in given.items() if value is not None}
    task = TASKS[manifest.task]
    fields = task.face.options.model_fields
    strange = ", ".join(f"--{name.replace('_', '-')}" for name in given if name not in fields)
    if strange:
        raise PredictError(
            f"{strange}: for models that find objects; {manifest.name} is for {manifest.task}."
        )
    known = {name: value for name, value in (wanted | given).items() if name in fields}
    try:
        chosen: Options = task.face.options.model_validate(known)
        task.check(chosen, manifest)
    except ValidationError as error:
        (first, *_) = error.errors()
        raise PredictError(f"--{first['loc'][0]}: {first['msg']}.") from error
    except StriateError as error:
        raise PredictError(f"--{error.detail}") from error
    return chosen


def _read(file: Path) -> bytes:
    """Read a file; NotAnImage where it cannot be, or is none that ends."""
    try:
        # Without blocking: a named pipe would wait for ever for somebody to write into it.
        with open(os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as opened:  # noqa: PTH123
            state = os.fstat(opened.fileno())
            if not stat.S_ISREG(state.st_mode):
                raise NotAnImage("It is not a file but a device, a pipe or a folder.")
            if state.st_size > MOST_BYTES:
                raise NotAnImage(f"It has {state.st_size} bytes: no photo has more than {MOST_BYTES}.")
            return opened.read()
    except OSError as error:
        raise NotAnImage(f"The file cannot be read: {error.strerror}.") from error


@contextmanager
def _meter() -> Iterator[Progress]:
    """Show how far it is, where somebody looks on."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.completed:,.0f} photos, {task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as meter:
        meter.add_task("0 broken", total=None)
        yield meter


def describe(told: Told, to: Path | None) -> str:
    """Return in a sentence what came of it, and in another what the model was given."""
    words = f"{told.answered} photos answered"
    if told.passed_over:
        words += f", {told.passed_over} other files passed over"
    if told.broken:
        where = "above" if to is None else f"in {shown(to)}"
        words += f"; {told.broken} could not be: their entries {where} say why"
    seen = f"\nBefore the model sees a photo, it is {told.fitted}." if told.answered else ""
    return f"{words}.{seen}"
