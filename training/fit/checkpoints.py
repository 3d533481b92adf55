"""What a run needs to go on after its process was killed at any moment, and its best weights.

checkpoints/
    best.weights.h5     the weights of the best epoch, as they were tested
    last-<n>/           all there is after n epochs: weights, optimiser, history

Each is written beside its place and renamed into it, and the one before is deleted after that: whenever the
process ends, a whole one is there.
"""

import csv
import json
import math
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

OFTEN = 5.0
"""Seconds between two checkpoints where only a part of a network is fitted, whose epochs are short."""

Row = dict[str, float]
"""One epoch: its number, phase (from 1), seconds, learning rate, losses and metrics."""


class DivergedError(Exception):
    """The loss is no number any more. The text says in which epoch, and what may help."""


def replace_text(path: Path, text: str) -> None:
    """Write a file as a whole: whoever reads it sees the old text or the new one."""
    beside = path.with_name(f".{path.name}")
    beside.write_text(text, "utf-8")
    beside.replace(path)


def read_last(folder: Path) -> tuple[Path | None, list[Row]]:
    """Return the weights that the last finished epoch left in `checkpoints`, and the history up to it."""
    found = [path for path in folder.glob("last-*") if path.name[5:].isdecimal()]
    if not found:
        return None, []
    last = max(found, key=lambda path: int(path.name[5:]))
    rows = json.loads((last / "history.json").read_text("utf-8"))
    return last / "model.weights.h5", rows


def write_history(path: Path, rows: list[Row]) -> None:
    """Write history.csv, as a whole."""
    beside = path.with_name(f".{path.name}")
    with beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(key for row in rows for key in row)))
        writer.writeheader()
        writer.writerows(rows)
    beside.replace(path)


def restore(model: keras.Model, weights: Path) -> None:
    """Load weights and the state of the optimiser into a compiled model."""
    model.load_weights(weights)


KEPT = "kept"
"""A column of histories whose last epoch is kept: the larger number is of the epoch that was kept."""


class Checkpoints(keras.callbacks.Callback):  # type: ignore[misc]
    """Keeps the best epoch and the last one, and the history; ends after `patience` epochs without a better.

    It goes before `AveragedWeights`, so that the averaged weights are in the model when the best is written.
    Its clock runs from when it is made, and never stops: an epoch's seconds hold what came before it.
    """

    def __init__(self, run: Path, monitor: str, rows: list[Row], phase: int, seed: int) -> None:
        super().__init__()
        self.rows = rows
        self.patience = 0
        self.keeps_last = False
        """Whether each epoch's weights replace those before, whatever its figures."""
        self.whole: keras.Model | None = None
        """What is kept, where the model that is fitted is only a part of it; compiled with its optimiser."""
        self._run = run
        self._folder = run / "checkpoints"
        self._monitor = monitor
        self._phase = phase
        self._seed = seed
        self._began = self._written = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Set the seeds of dropout by the epoch, for they are not among the weights that Keras keeps."""
        seeds = [variable for variable in self.model.variables if "seed_generator_state" in variable.path]
        for number, variable in enumerate(seeds):
            variable.assign([self._seed % 2**32, epoch * 2**16 + number])

    def on_test_end(self, logs: Mapping[str, float] | None = None) -> None:
        """Keep the weights that were tested if they are the best; figures of the ones before go with them."""
        figures = logs or {}
        tested = {f"val_{name}": value for name, value in figures.items()}
        value = tested.get(self._monitor, float("nan"))
        if not (math.isfinite(value) and math.isfinite(figures.get("loss", 0.0))):
            return
        rank = _rank(tested, self._monitor)
        known = (_rank(row, self._monitor) for row in self.rows if self._monitor in row)
        if self.keeps_last or all(rank > other for other in known):
            beside = self._folder / ".best.weights.h5"
            (self.whole or self.model).save_weights(beside, overwrite=True)
            _sync(beside)
            told = (
                path for kind in ("evaluation*.json", "predictions*.csv") for path in self._run.glob(kind)
            )
            for stale in (*told, self._run / "calibration.json"):
                stale.unlink(missing_ok=True)
            beside.replace(self._folder / "best.weights.h5")

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Keep all that resuming needs."""
        figures = {key: float(value) for key, value in (logs or {}).items()}
        if not math.isfinite(figures["loss"]):
            raise DivergedError(
                f"The loss became {figures['loss']} in epoch {epoch + 1}: lower training.learning_rate. "
                "The epochs before it are kept."
            )
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        seconds, self._began = round(time.monotonic() - self._began, 3), time.monotonic()
        row = {"epoch": epoch, "phase": self._phase, "seconds": seconds, "learning_rate": rate, **figures}
        row |= {KEPT: float(epoch + 1)} if self.keeps_last else {}
        self.rows.append(row)
        if self.whole is None or time.monotonic() - self._written > OFTEN:
            self._write_last(epoch + 1)
        write_history(self._run / "history.csv", self.rows)
        if self.patience and waited(self.rows, self._monitor, self._phase) >= self.patience:
            self.model.stop_training = True

    def on_train_end(self, logs: Any = None) -> None:
        """Keep the last epoch, if that is still to be done."""
        if self.rows and not (self._folder / f"last-{len(self.rows)}").is_dir():
            self._write_last(len(self.rows))

    def _write_last(self, epochs: int) -> None:
        beside = self._folder / f".last-{epochs}"
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir()
        (self.whole or self.model).save_weights(beside / "model.weights.h5")
        (beside / "history.json").write_text(json.dumps(self.rows), "utf-8")
        for path in beside.iterdir():
            _sync(path)
        place = self._folder / f"last-{epochs}"
        beside.rename(place)
        for path in self._folder.glob("*last-*"):
            if path != place:
                shutil.rmtree(path, ignore_errors=True)
        self._written = time.monotonic()


def _rank(row: Mapping[str, float], monitor: str) -> tuple[float, float]:
    """Return what is larger for a better epoch: few images tie often, and then the loss decides."""
    if KEPT in row:
        return row[KEPT], 0.0
    value, loss = row.get(monitor, -math.inf), row.get("val_loss", math.inf)
    return (value, -loss) if math.isfinite(value) else (-math.inf, -math.inf)


def best_epoch(rows: Sequence[Mapping[str, float]], monitor: str) -> int:
    """Return the place of the row whose weights are kept: the first with the best figure and least loss."""
    return max(range(len(rows)), key=lambda place: _rank(rows[place], monitor))


def waited(rows: list[Row], monitor: str, phase: int) -> int:
    """Return how many epochs of that phase have passed since the best one of all."""
    return sum(row["phase"] == phase for row in rows[best_epoch(rows, monitor) + 1 :])


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
