"""Box files to annotations: Pascal VOC XML, COCO JSON, and CSV with a header."""

import csv
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from training.datasets.dataset import DatasetError
from training.datasets.listing import Box, Fault, Stated

UNNAMED = "object"
"""The label of boxes that have none."""


@dataclass(frozen=True)
class Annotation:
    """One object of one image, as a label file states it; `box` is None where it states a label alone."""

    origin: Path
    where: str
    image: str
    label: str
    box: Box | None
    size: tuple[int, int] | None = None


Report = Callable[[Path, str], None]
"""Takes what is wrong with a file."""


def read_voc(path: Path, report: Report) -> list[Annotation]:
    """Read a Pascal VOC file. Its pixels count from 1 and include the last one."""
    try:
        root = ElementTree.parse(path).getroot()  # noqa: S314 - the user's own files, not a stranger's
    except (OSError, ElementTree.ParseError) as error:
        report(path, f"is not XML: {error}")
        return []
    found = []
    for number, thing in enumerate(root.iter("object"), start=1):
        try:
            x_min, y_min, x_max, y_max = (
                float(thing.findtext(f"bndbox/{key}", "")) for key in ("xmin", "ymin", "xmax", "ymax")
            )
        except ValueError:
            report(path, f"object {number} needs a bndbox with the numbers xmin, ymin, xmax and ymax")
            continue
        width, height = (root.findtext(f"size/{key}", "") for key in ("width", "height"))
        size = (int(width), int(height)) if width.isdecimal() and height.isdecimal() else None
        label = thing.findtext("name", "").strip() or UNNAMED
        image = root.findtext("filename", "").strip() or path.stem
        box = (x_min - 1, y_min - 1, x_max, y_max)
        found.append(Annotation(path, f"object {number}", image, label, box, size))
    if root.find("object") is None:
        report(path, "has no object: a Pascal VOC annotation has one per box")
    return found


def is_coco(path: Path) -> bool:
    """Return whether a JSON file looks like COCO's: it lists images and annotations."""
    head = path.read_bytes()
    return b'"images"' in head and b'"annotations"' in head


def read_coco(path: Path, report: Report) -> list[Annotation]:
    """Read COCO instances: `bbox` is x, y, width, height. Crowds are left out, as they are not one object."""
    try:
        document = json.loads(path.read_text("utf-8"))
        labels = {row["id"]: str(row["name"]) for row in document.get("categories", [])}
        images = {row["id"]: row for row in document["images"]}
        rows = document["annotations"]
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"{path} is not COCO JSON: images need id and file_name, categories id and name ({error!r})."
        ) from error
    found = []
    for row in rows:
        try:
            if row.get("iscrowd"):
                continue
            image = images[row["image_id"]]
            x, y, width, height = (float(value) for value in row["bbox"])
            label = labels[row["category_id"]] if labels else UNNAMED
            name, size = image["file_name"], _stated_size(image)
        except (KeyError, TypeError, ValueError) as error:
            report(path, f"annotation {row.get('id')} is not complete: {error!r}")
            continue
        where = f"annotation {row.get('id')}"
        found.append(Annotation(path, where, name, label, (x, y, x + width, y + height), size))
    return found


def _stated_size(image: dict[str, Any]) -> tuple[int, int] | None:
    return (int(image["width"]), int(image["height"])) if image.get("width") and image.get("height") else None


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
}
_CORNERS = ("x_min", "y_min", "x_max", "y_max")
_SIDES = ("x", "y", "width", "height")


@dataclass(frozen=True)
class _Table:
    columns: dict[str, str]
    rows: list[dict[str, str]]

    @property
    def boxed(self) -> tuple[str, ...]:
        """The four columns that make a box, or none."""
        return next((four for four in (_CORNERS, _SIDES) if all(key in self.columns for key in four)), ())

    def box(self, row: dict[str, str]) -> Box:
        a, b, c, d = (float(row[self.columns[key]]) for key in self.boxed)
        return (a, b, c, d) if self.boxed == _CORNERS else (a, b, a + c, b + d)


def csv_kind(path: Path) -> str:
    """Return "boxes", "labels" or "" for what a CSV's header promises about images."""
    table = _read_table(path)
    if "file" not in table.columns:
        return ""
    return "boxes" if table.boxed else "labels" if "label" in table.columns else ""


def read_csv(path: Path, report: Report) -> list[Annotation]:
    """Read a CSV of one object per line, separated by comma, semicolon or tab; see `_COLUMNS` for headers."""
    table = _read_table(path)
    found = []
    for number, row in enumerate(table.rows, start=2):
        where = f"line {number}"
        name = (row.get(table.columns["file"]) or "").strip()
        box = None
        if table.boxed:
            try:
                box = table.box(row)
            except (TypeError, ValueError):
                report(path, f"{where}: {', '.join(table.boxed)} must be numbers")
                continue
        label = (row.get(table.columns["label"]) or "").strip() if "label" in table.columns else UNNAMED
        if not name or not label:
            report(path, f"{where}: the {'label' if name else 'file'} is empty")
            continue
        found.append(Annotation(path, where, name, label, box))
    return found


def _read_table(path: Path) -> _Table:
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} must be UTF-8: {error}.") from error
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    reader = csv.DictReader(text.splitlines(), delimiter=delimiter)
    headers = {header.strip().lower(): header for header in reader.fieldnames or ()}
    columns = {
        column: headers[name]
        for column, names in _COLUMNS.items()
        for name in reversed(names)
        if name in headers
    }
    return _Table(columns, list(reader))


def largest(annotations: Iterable[Annotation]) -> Annotation:
    """Return the one with the largest box; the first of equals."""

    def area(annotation: Annotation) -> float:
        x_min, y_min, x_max, y_max = annotation.box or (0, 0, 0, 0)
        return (x_max - x_min) * (y_max - y_min)

    return max(annotations, key=area)


def box_fault(name: str, stated: Stated, size: tuple[int, int]) -> Fault | None:
    """Return what is wrong with a box in an upright image of `size` (width, height).

    One pixel beyond the edge is let pass: some programs count from 1, some include the last pixel.
    """
    width, height = size
    x_min, y_min, x_max, y_max = stated.box
    shown = f"({', '.join(f'{value:g}' for value in stated.box)})"
    if stated.size and stated.size != size:
        text = (
            f"its label file says {stated.size[0]}x{stated.size[1]}, the upright image is {width}x{height} "
            f"({stated.where})"
        )
        return Fault(name, "wrong size", text)
    if x_max - x_min < 1 or y_max - y_min < 1:
        text = (
            f"its box {shown} is empty: x_min, y_min, x_max, y_max in pixels, each maximum the larger "
            f"({stated.where})"
        )
        return Fault(name, "empty box", text)
    if x_min < -1 or y_min < -1 or x_max > width + 1 or y_max > height + 1:
        text = f"its box {shown} goes beyond the image, which is {width}x{height} ({stated.where})"
        return Fault(name, "box outside", text)
    return None
