"""A run's folder: opened, read and removed. `loop.train` makes it.

runs/<name>/
    recipe.json                what was trained, with every override applied
    labels.json                the class names, in the order of the outputs
    train.log  history.csv     what happened, in words and per epoch
    transfer.json              the layers whose weights came from elsewhere, if any did
    checkpoints/               the best epoch, and all that resuming needs; see `checkpoints.py`
    tensorboard/               scalars, graph, histograms and answers of every epoch
"""

import csv
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import keras

from training import recipes, tasks
from training.checkpoints import Row
from training.schema import Recipe


class RunError(Exception):
    """A run folder is missing, unfinished, or in the way. The text says what to do."""


@dataclass(frozen=True)
class Run:
    """A run folder and what it was trained from."""

    folder: Path
    recipe: Recipe
    labels: tuple[str, ...]

    @property
    def weights(self) -> Path:
        """The weights of the best epoch."""
        return self.folder / "checkpoints" / "best.weights.h5"

    def model(self) -> keras.Model:
        """Rebuild the network in float32 and load the best weights."""
        if not self.weights.is_file():
            raise RunError(f"{self.folder} has no finished epoch yet: {self.weights.name} is missing.")
        keras.config.set_dtype_policy("float32")
        model = tasks.build(self.recipe, len(self.labels))
        model.load_weights(self.weights)
        return model


def open_run(folder: Path) -> Run:
    """Open a run folder that `train` made."""
    try:
        recipe = recipes.reopen(folder / "recipe.json")
        labels = tuple(json.loads((folder / "labels.json").read_text("utf-8")))
    except FileNotFoundError as error:
        raise RunError(
            f"{folder} is not a run: {Path(error.filename).name} is missing. Train first."
        ) from None
    except ValueError as error:
        raise RunError(f"{folder} is not whole: its labels.json is not valid JSON: {error}.") from None
    return Run(folder, recipe, labels)


def remove(folder: Path) -> None:
    """Delete a run folder, if it is one."""
    if (folder / "recipe.json").is_file():
        shutil.rmtree(folder)


def read_history(path: Path) -> list[Row]:
    """Read history.csv: one dict per epoch."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
