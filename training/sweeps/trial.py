"""One trial of a sweep: an ordinary run that tells of its epochs and keeps a record of how far it is."""

import json
import logging
import math
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any, Literal

import keras

from training.evaluation import evaluate
from training.fit import loop
from training.fit.runs import read_history
from training.schema import Recipe
from training.tasks import heads

log = logging.getLogger("training")

Status = Literal["running", "finished", "stopped", "failed"]
"""`stopped`: by the sweep's scheduler, as worse than others; it has no test figure."""

Report = Callable[[dict[str, float]], None]
"""Is told the `epoch`, from 1, and the validation `figure`, higher is better; may raise SystemExit."""


@dataclass(frozen=True)
class Record:
    """How far a trial is, and why it ended: the content of its trial.json."""

    status: Status = "running"
    reason: str = ""
    seconds: float = 0.0
    """Spent in training, over all attempts."""
    trainable: int = 0
    """Trainable parameters."""


def read_record(folder: Path) -> Record | None:
    """Read a trial's record; None where it has not begun."""
    try:
        return Record(**json.loads((folder / "trial.json").read_text("utf-8")))
    except FileNotFoundError:
        return None


def write_record(folder: Path, record: Record) -> None:
    """Replace a trial's record, never by half of one."""
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / ".trial.json"
    draft.write_text(json.dumps(asdict(record), indent=2, ensure_ascii=False) + "\n", "utf-8")
    draft.replace(folder / "trial.json")


def run(recipe: Recipe, folder: Path, data_dir: Path, report: Report) -> None:
    """Train and evaluate `recipe` in `folder`, going on after its last finished epoch; record what fails.

    Epochs of earlier attempts are reported first: whoever listens may know nothing of them.
    """
    for row in read_history(folder / "history.csv"):
        report({"epoch": row["epoch"] + 1, "figure": row[heads.monitor(recipe, [row])]})
    record = read_record(folder) or Record()
    if record.status in {"finished", "stopped"}:
        return
    write_record(folder, replace(record, status="running", reason=""))
    try:
        _train(recipe, folder, data_dir, report)
    except Exception as error:  # whatever it is, the other trials go on
        log.exception("%s failed", recipe.name)
        settle(folder, "failed", describe(error))
    else:
        settle(folder, "finished")


def settle(folder: Path, status: Status, reason: str = "") -> Record:
    """Record how a trial ended, and return the record."""
    record = replace(read_record(folder) or Record(), status=status, reason=reason)
    write_record(folder, record)
    return record


def describe(error: Exception) -> str:
    """Return an error's kind and text in one line, without the colours and the arguments that Keras adds."""
    plain = re.sub(r"\x1b\[\d*m", "", str(error))
    text = " ".join(plain.partition("Arguments received by")[0].split())
    return f"{type(error).__name__}: {text[:300]}".removesuffix(": ")


def _train(recipe: Recipe, folder: Path, data_dir: Path, report: Report) -> None:
    # The process may have trained another network before.
    keras.backend.clear_session()
    begun = (folder / "recipe.json").is_file()
    run = loop.train(recipe, folder, data_dir, resume=begun, extra=[_Reporter(recipe, folder, report)])
    evaluate.evaluate(run, data_dir)


class _Reporter(keras.callbacks.Callback):  # type: ignore[misc]  # Keras ships no types
    """Tells of each epoch, once the record has it."""

    def __init__(self, recipe: Recipe, folder: Path, report: Report) -> None:
        super().__init__()
        self._monitor = heads.monitor(recipe)
        self._folder = folder
        self._report = report
        self._before = 0.0
        self._start = monotonic()

    def on_train_begin(self, logs: Any = None) -> None:
        record = read_record(self._folder) or Record()
        self._before, self._start = record.seconds, monotonic()
        trainable = sum(math.prod(weight.shape) for weight in self.model.trainable_weights)
        write_record(self._folder, replace(record, trainable=max(trainable, record.trainable)))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        record = read_record(self._folder) or Record()
        write_record(self._folder, replace(record, seconds=self._before + monotonic() - self._start))
        self._report({"epoch": epoch + 1, "figure": float((logs or {})[self._monitor])})
