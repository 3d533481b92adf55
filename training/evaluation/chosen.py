"""What validation chose for a run, kept in its calibration.json: the temperature, and the thresholds."""

import json
from pathlib import Path
from typing import Any

from training.fit.runs import Run
from training.tasks.registry import TASKS

FILE = "calibration.json"


class EvaluationError(Exception):
    """A run cannot be measured. The text says why."""


def kept(path: Path) -> dict[str, Any]:
    """Return what a file of a run holds, nothing where it is not there; EvaluationError where it is half."""
    try:
        table: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    except ValueError as error:
        raise EvaluationError(f"{path} is not whole ({error}): run `evaluate` again.") from None
    return table


def temperature(run: Run) -> float:
    """Return the number that divides the run's logits; 1 where it was never fitted."""
    return float(kept(run.folder / FILE).get("temperature", 1))


def threshold(run: Run) -> float:
    """Return the threshold that is exported: the one chosen on validation, or that of the task."""
    usual = TASKS[run.recipe.task].threshold(len(run.labels))
    return float(kept(run.folder / FILE).get("threshold", usual))


def label_thresholds(run: Run) -> tuple[float, ...]:
    """Return each label's own threshold, chosen on validation; empty where labels exclude each other."""
    return tuple(kept(run.folder / FILE).get("label_thresholds", ()))
