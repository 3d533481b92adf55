"""CSV with a header, to annotations: one object per line, separated by comma, semicolon or tab."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from training.datasets.dataset import DatasetError
from training.datasets.labels.annotations import UNNAMED, Annotation, Report, finite, nothing
from training.datasets.own.listing import Box

_COLUMNS = {
    "file": ("file", "filename", "file_name", "image", "image_path", "image_name", "path", "img"),
    "label": ("label", "class", "class_name", "classid", "category", "name", "species"),
    "x_min": ("x_min", "xmin", "x1", "left", "roi.x1"),
    "y_min": ("y_min", "ymin", "y1", "top", "roi.y1"),
    "x_max": ("x_max", "xmax", "x2", "right", "roi.x2"),
    "y_max": ("y_max", "ymax", "y2", "bottom", "roi.y2"),
    "x": ("x",),
    "y": ("y",),
    "width": ("width", "w"),
    "height": ("height", "h"),
    "annotator": ("annotator", "annotated_by", "completed_by", "worker", "workerid", "user"),
}
_CORNERS = ("x_min", "y_min", "x_max", "y_max")
_SIDES = ("x", "y", "width", "height")


@dataclass(frozen=True)
class _Table:
    header: list[str]
    columns: dict[str, int]
    rows: Iterator[tuple[int, list[str]]]

    @property
    def boxed(self) -> tuple[str, ...]:
        """The four columns that make a box, or none."""
        return next((four for four in (_CORNERS, _SIDES) if all(key in self.columns for key in four)), ())

    def text(self, row: list[str], column: str) -> str:
        """Return a field; empty where the row is too short."""
        place = self.columns[column]
        return row[place].strip() if place < len(row) else ""

    def box(self, row: list[str]) -> Box | None:
        """Return the row's box, if the table has boxes; ValueError where it is not four numbers."""
        if not self.boxed:
            return None
        a, b, c, d = (finite(self.text(row, key)) for key in self.boxed)
        return (a, b, c, d) if self.boxed == _CORNERS else (a, b, a + c, b + d)

    def is_blank(self, row: list[str]) -> bool:
        """Tell whether a row names an image and states neither box nor label: that no object is there."""
        stated = [column for column in (*self.boxed, "label") if column in self.columns]
        blank = not any(self.text(row, column) for column in stated)
        return bool(self.boxed) and len(row) >= len(self.header) and bool(self.text(row, "file")) and blank

    def size(self, row: list[str]) -> tuple[int, int] | None:
        """Return the image's width and height, where the table has corners and these beside them."""
        if self.boxed != _CORNERS or not {"width", "height"} <= set(self.columns):
            return None
        try:
            return int(self.text(row, "width")), int(self.text(row, "height"))
        except ValueError:
            return None


def csv_kind(path: Path) -> str:
    """Return "boxes", "labels" or "" for what a CSV's header promises about images."""
    table = _open(path)
    if "file" not in table.columns:
        return ""
    return "boxes" if table.boxed else "labels" if "label" in table.columns else ""


def kind(path: Path) -> str:
    """Return the layout "csv boxes" or "csv labels" of a CSV; empty where it is neither."""
    found = csv_kind(path)
    return f"csv {found}" if found else ""


def raw_rows(path: Path, limit: int | None = None) -> list[tuple[int, list[str]]]:
    """Return a CSV's rows, the header first, or the first `limit`; each with the number of its line."""
    text = _text(path)
    return list(islice(_rows(path, text, _delimiter(text)), limit))


def column_names(path: Path) -> list[str]:
    """Return the names of a CSV's columns, in small letters."""
    return _open(path).header


def read_csv(path: Path, report: Report) -> list[Annotation]:
    """Read a CSV of one object per line; see `_COLUMNS` for headers. DatasetError where it is no CSV."""
    table = _open(path)
    names = [table.header[place] for place in table.columns.values()]
    twice = [name for name in names if table.header.count(name) > 1]
    if twice:
        raise DatasetError(f"{path}, line 1: the header has {', '.join(twice)} more than once.")
    found = []
    for number, row in table.rows:
        where = f"line {number}"
        if table.is_blank(row):
            found.append(nothing(path, where, table.text(row, "file")))
            continue
        wrong = _wrong(table, row)
        if wrong:
            report(path, f"{where}{wrong}")
            continue
        label = table.text(row, "label") if "label" in table.columns else UNNAMED
        source = table.text(row, "annotator") if "annotator" in table.columns else ""
        found.append(
            Annotation(
                path, where, table.text(row, "file"), label, table.box(row), table.size(row), source=source
            )
        )
    return found


def _wrong(table: _Table, row: list[str]) -> str:
    """Return what is wrong with a row, if anything."""
    width = len(table.header)
    if any(field.strip() for field in row[width:]):
        return (
            f" has {len(row)} fields, the header {width}: a field that holds the separator needs "
            f"quotes around it"
        )
    try:
        table.box(row)
    except ValueError:
        return f": {', '.join(table.boxed)} must be numbers"
    for column in ("file", "label"):
        if column not in table.columns:
            continue
        if not table.text(row, column):
            return f": the {column} is empty"
        if "\n" in table.text(row, column):
            return f": the {column} holds a line break; is a quote not closed?"
    return ""


def _open(path: Path) -> _Table:
    text = _text(path)
    rows = _rows(path, text, _delimiter(text))
    header = [name.strip().lower() for name in next(rows, (1, []))[1]]
    columns = {
        column: header.index(name)
        for column, names in _COLUMNS.items()
        for name in reversed(names)
        if name in header
    }
    return _Table(header, columns, rows)


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} must be UTF-8: {error}.") from error


def _delimiter(text: str) -> str:
    head = (text.strip().splitlines() or [""])[0]
    return max(",;\t", key=head.count)


def _rows(path: Path, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that are not empty, each with the number of its first line."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        number = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise DatasetError(
                f"{path}, line {number} is no CSV: {error}. A quote that opens a field must be closed, and "
                f"one within it doubled."
            ) from None
        if row is None:
            return
        if row:
            yield number, row
