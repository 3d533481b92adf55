"""A run's tables, one row for each image: which part it fell into, and what was answered for it."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.datasets import Samples, Splits

SPLIT = "split.csv"
Columns = Mapping[str, Sequence[Any] | NDArray[Any]]
"""By their headings, a cell for each sample; arrays hold figures."""


def write(folder: Path, split: str, splits: Splits, data: str, columns: Columns) -> None:
    """Write split.csv and predictions.csv (predictions-validation.csv); `data` is one's own folder."""
    write_split(folder, splits, data)
    name, samples = "predictions.csv", splits.test
    if split == "validation":
        name, samples = "predictions-validation.csv", splits.validation
    write_predictions(folder / name, samples, data, columns)


def write_split(folder: Path, splits: Splits, data: str) -> None:
    """Write each image's file, part and label, and the label's group where there are groups.

    Images that are no files go by their number.
    """
    rows = []
    of_label = dict(zip(splits.labels, splits.groups, strict=True)) if splits.groups else {}
    for part in ("train", "validation", "test"):
        samples: Samples = getattr(splits, part)
        names = _names(samples, data)
        for row, name in enumerate(names):
            label = _label(samples, row, splits.labels)
            rows.append((name, part, label, *([of_label[label]] if of_label else [])))
    # Of an image that is trained on in several windows, one line.
    _write(folder / SPLIT, ("file", "part", "label", *(["group"] if of_label else [])), dict.fromkeys(rows))


def write_predictions(path: Path, samples: Samples, data: str, columns: Columns) -> None:
    """Write each image's truth and answer; which columns there are depends on the task."""
    cells = [_digits(cells) if isinstance(cells, np.ndarray) else cells for cells in columns.values()]
    _write(path, ("file", *columns), zip(_names(samples, data), *cells, strict=True))


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
    if samples.label_sets is not None:
        return "; ".join(labels[int(index)] for index in np.flatnonzero(samples.label_sets[row]))
    return "" if samples.labels is None or samples.masks is not None else labels[int(samples.labels[row])]


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    beside = path.with_name(f".{path.name}")
    # A name that is no UTF-8 is written as what can be read of it.
    with beside.open("w", encoding="utf-8", errors="replace", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
    beside.replace(path)
