"""A run's tables, one row for each image: which part it fell into, and what was answered for it."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.datasets import Samples, Splits
from training.tasks import measures

SPLIT = "split.csv"
_BOX = ("x_min", "y_min", "x_max", "y_max")


@dataclass(frozen=True)
class Answered:
    """What was answered: `scores` `[N, K]` are probabilities, `boxes` `[N, 4]` fractions of the image, and
    `classes` `[N, H, W]` masks.
    """

    scores: NDArray[Any] | None = None
    boxes: NDArray[Any] | None = None
    classes: NDArray[np.uint8] | None = None


def write(folder: Path, split: str, splits: Splits, data: str, answered: Answered) -> None:
    """Write split.csv and predictions.csv (predictions-validation.csv); `data` is one's own folder."""
    write_split(folder, splits, data)
    name, samples = "predictions.csv", splits.test
    if split == "validation":
        name, samples = "predictions-validation.csv", splits.validation
    write_predictions(folder / name, samples, splits.labels, data, answered)


def write_split(folder: Path, splits: Splits, data: str) -> None:
    """Write each image's file, part and label. Images that are no files go by their number."""
    rows = []
    for part in ("train", "validation", "test"):
        samples: Samples = getattr(splits, part)
        names = _names(samples, data)
        for row, name in enumerate(names):
            rows.append((name, part, _label(samples, row, splits.labels)))
    _write(folder / SPLIT, ("file", "part", "label"), rows)


def write_predictions(
    path: Path, samples: Samples, labels: Sequence[str], data: str, answered: Answered
) -> None:
    """Write each image's truth and answer: a box with its overlap (IoU) with the true one, of a mask the mean
    Dice of its classes but the background.
    """
    scores, boxes = answered.scores, answered.boxes
    columns: dict[str, Sequence[Any]] = {"file": _names(samples, data)}
    if scores is not None:
        best = scores.argmax(axis=1)
        columns["label"] = [_label(samples, row, labels) for row in range(len(samples))]
        columns["answer"] = [labels[index] for index in best]
        columns["score"] = _digits(scores[np.arange(len(best)), best])
    for name, values in (("true", samples.boxes), ("", boxes)):
        if values is not None and boxes is not None:
            columns |= {f"{name} {side}".strip(): _digits(values[:, n]) for n, side in enumerate(_BOX)}
    if boxes is not None and samples.boxes is not None:
        columns["iou"] = _digits(measures.box_overlaps(boxes, samples.boxes))
    if answered.classes is not None:
        columns["dice"] = _digits(measures.mask_quality(answered.classes, samples))
    _write(path, tuple(columns), zip(*columns.values(), strict=True))


def _digits(values: NDArray[Any]) -> list[float]:
    return [round(float(value), 6) for value in values]


def _names(samples: Samples, data: str) -> list[str]:
    """Return the files' paths below one's own folder, or their names; else the rows' numbers."""
    if samples.paths is None:
        return [str(row) for row in range(len(samples))]
    home = Path(data).resolve()
    own = [path.resolve() for path in samples.paths] if data else list(samples.paths)
    return [
        path.relative_to(home).as_posix() if data and path.is_relative_to(home) else path.name for path in own
    ]


def _label(samples: Samples, row: int, labels: Sequence[str]) -> str:
    return "" if samples.labels is None or samples.masks is not None else labels[int(samples.labels[row])]


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    beside = path.with_name(f".{path.name}")
    # A name that is no UTF-8 is written as what can be read of it.
    with beside.open("w", encoding="utf-8", errors="replace", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
    beside.replace(path)
