"""What the colours, or the values, of masks mean, as the well-known sets and tools write it down.

label_colors.txt of CamVid (`64 128 64  Animal`), labelmap.txt of CVAT (`name:64,128,64::`), class_dict.csv
(`name,r,g,b`), a CSV with a name and #rrggbb, and Roboflow's _classes.csv (`Pixel Value, Class`).
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from training.datasets.dataset import DatasetError
from training.datasets.labels.tables import raw_rows

Colour = tuple[int, int, int]

_LINES = (
    re.compile(r"^\s*(?P<r>\d{1,3})[\s,]+(?P<g>\d{1,3})[\s,]+(?P<b>\d{1,3})[\s,]+(?P<name>\S.*?)\s*$"),
    re.compile(r"^\s*(?P<name>[^:#]+):\s*(?P<r>\d{1,3}),\s*(?P<g>\d{1,3}),\s*(?P<b>\d{1,3})(:|\s*$)"),
)
_HEX = re.compile(r"^#([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})$")
_NAMES = ("name", "class", "label", "class_name", "class name", "label name")
_VALUES = ("pixel value", "pixel_value", "value")


@dataclass(frozen=True)
class Legend:
    """The names of classes by their colours, in the file's order, or by their values."""

    path: Path
    colours: dict[Colour, str]
    values: dict[int, str]


class LegendError(DatasetError):
    """A legend says two things of one colour."""


def is_legend(path: Path) -> bool:
    """Return whether a file says what colours or values mean."""
    if path.suffix.lower() not in (".txt", ".csv"):
        return False
    try:
        status = path.stat()
        found = _read(path, status.st_size, status.st_mtime_ns)
    except LegendError:
        # It is one, and who reads it is told what is wrong with it.
        return True
    except DatasetError:
        return False
    return len(found.colours) > 1 or len(found.values) > 1


def read_legend(path: Path) -> Legend:
    """Read a legend; LegendError where two classes have the same colour."""
    return _read(path, path.stat().st_size, path.stat().st_mtime_ns)


@lru_cache(maxsize=4096)
def _read(path: Path, size: int, changed: int) -> Legend:
    # A label file of megabytes is none, and need not be read to see that.
    if size > 2**20:
        return Legend(path, {}, {})
    return _read_csv(path) if path.suffix.lower() == ".csv" else _read_lines(path)


def _read_lines(path: Path) -> Legend:
    text = path.read_text("utf-8-sig", "replace")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    found: dict[Colour, str] = {}
    for line in lines:
        match = next((match for form in _LINES if (match := form.match(line))), None)
        if match is None or re.fullmatch(r"[\d.\s-]+", match["name"]):
            return Legend(path, {}, {})
        _add(found, path, (int(match["r"]), int(match["g"]), int(match["b"])), match["name"].strip())
    return Legend(path, found, {})


def _read_csv(path: Path) -> Legend:
    (_, header), *rows = raw_rows(path) or [(1, [""])]
    names = [field.strip().lower() for field in header]
    column = next((names.index(name) for name in _NAMES if name in names), None)
    value = next((names.index(name) for name in _VALUES if name in names), None)
    colours: dict[Colour, str] = {}
    values: dict[int, str] = {}
    if column is None:
        return Legend(path, {}, {})
    for _, row in rows:
        fields = [field.strip() for field in row]
        if len(fields) < len(names):
            return Legend(path, {}, {})
        colour = _colour(dict(zip(names, fields, strict=False)))
        if colour:
            _add(colours, path, colour, fields[column])
        elif value is not None and fields[value].isdigit():
            values[int(fields[value])] = fields[column]
        else:
            return Legend(path, {}, {})
    return Legend(path, colours, values)


def _colour(row: dict[str, str]) -> Colour | None:
    channels = next(
        (
            [row[key] for key in keys]
            for keys in (("r", "g", "b"), ("red", "green", "blue"))
            if all(row.get(key, "").isdigit() for key in keys)
        ),
        None,
    )
    if channels:
        return int(channels[0]), int(channels[1]), int(channels[2])
    match = next((match for field in row.values() if (match := _HEX.match(field))), None)
    return (int(match[1], 16), int(match[2], 16), int(match[3], 16)) if match else None


def _add(found: dict[Colour, str], path: Path, colour: Colour, name: str) -> None:
    if colour in found and found[colour] != name:
        raise LegendError(f"{path} gives the colour {colour} to both {found[colour]} and {name}.")
    found[colour] = name
