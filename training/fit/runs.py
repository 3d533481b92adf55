"""A run's folder: opened, read and removed. `loop.train` makes it.

runs/<name>/
    recipe.json                what was trained, with every override applied
    labels.json                the class names, in the order of the outputs
    groups.json                the group of each class, where classes have groups
    train.log  history.csv     what happened, in words and per epoch
    split.csv  predictions.csv which image is in which part, and what was answered for each
    familiarity.npz            what the network knows its own kind of image by
    transfer.json              the layers whose weights came from elsewhere, if any did
    checkpoints/               the best epoch, and all that resuming needs; see `checkpoints.py`
    tensorboard/               scalars, graph, histograms and answers of every epoch
"""

import csv
import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import keras
from filelock import FileLock, Timeout

from training.fit.checkpoints import Row
from training.recipes import registry
from training.schema import Recipe
from training.tasks import heads

log = logging.getLogger("training")


class RunError(Exception):
    """A run folder is missing, unfinished, or in the way. The text says what to do."""


@dataclass(frozen=True)
class Run:
    """A run folder and what it was trained from."""

    folder: Path
    recipe: Recipe
    labels: tuple[str, ...]
    groups: tuple[str, ...] = ()
    """The group of each label; empty where labels have none."""

    @property
    def weights(self) -> Path:
        """The weights of the best epoch."""
        return self.folder / "checkpoints" / "best.weights.h5"

    def model(self) -> keras.Model:
        """Rebuild the network in float32 and load the best weights."""
        if not self.weights.is_file():
            raise RunError(f"{self.folder} has no finished epoch yet: {self.weights.name} is missing.")
        keras.config.set_dtype_policy("float32")
        model = heads.build(self.recipe, len(self.labels))
        try:
            model.load_weights(self.weights)
        except (OSError, KeyError, ValueError) as error:
            reason = str(error).split("\n")[0]
            raise RunError(f"{self.weights} is not whole, or not of this run: {reason}") from error
        return model


def open_run(folder: Path) -> Run:
    """Open a run folder that `train` made."""
    try:
        recipe = registry.reopen(folder / "recipe.json")
        labels = tuple(json.loads((folder / "labels.json").read_text("utf-8")))
        groups = _groups(folder)
    except FileNotFoundError as error:
        raise RunError(
            f"{folder} is not a run: {Path(error.filename).name} is missing. Train first."
        ) from None
    except ValueError as error:
        raise RunError(
            f"{folder} is not whole: its labels.json or groups.json is not valid JSON: {error}."
        ) from None
    return Run(folder, recipe, labels, groups)


def _groups(folder: Path) -> tuple[str, ...]:
    path = folder / "groups.json"
    return tuple(json.loads(path.read_text("utf-8"))) if path.is_file() else ()


def remove(folder: Path, mark: str = "recipe.json") -> None:
    """Delete a run's folder, or that of a sweep by its `mark`; nothing where it is none.

    It is renamed first: what a process that is killed amid it leaves is never taken for a run.
    """
    if (folder / mark).is_file():
        old = folder.with_name(f".{folder.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
        shutil.rmtree(old)


def lock_of(folder: Path) -> Path:
    """Return the file that is locked while a process has the folder."""
    return folder.with_name(f".{folder.name}.lock")


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a run's folder, or a sweep's, for this process alone; RunError where another one has it.

    The lock is beside the folder, which may be replaced meanwhile, and is let go of however the process ends.
    """
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(lock_of(folder), blocking=False)
    try:
        lock.acquire()
    except Timeout:
        raise RunError(f"{folder} is being trained by another process: wait for it, or end it.") from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Have what training says written into a file, too."""
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    level = log.level
    if log.getEffectiveLevel() > logging.INFO:
        log.setLevel(logging.INFO)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.setLevel(level)
        log.removeHandler(handler)
        handler.close()


def check_place(recipe: Recipe, folder: Path, option: str) -> None:
    """Raise RunError where what is made of a recipe would lie in the folder of images that it learns from."""
    data = Path(recipe.data).resolve()
    if recipe.data and folder.resolve().is_relative_to(data):
        raise RunError(
            f"{folder.resolve()} would lie within the images in {data}, and be taken for some of them: give "
            f"{option} a place elsewhere."
        )


def read_history(path: Path) -> list[Row]:
    """Read history.csv: one dict per epoch."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
