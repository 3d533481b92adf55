"""Label Studio's own exports, JSON, JSON-MIN and CSV, to annotations (labelstud.io/guide/export).

Coordinates are percents of the image's width and height. Its exports as COCO, YOLO and Pascal VOC are read
as these are.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from training.datasets.dataset import DatasetError
from training.datasets.labels.annotations import UNNAMED, Annotation, Report, finite, nothing
from training.datasets.labels.shapes import Point, Shape, ellipse
from training.datasets.labels.tables import raw_rows
from training.datasets.own.listing import IMAGE_SUFFIXES, Box

_REGIONS = ("rectanglelabels", "polygonlabels", "ellipselabels", "brushlabels", "keypointlabels")
_MARKS = {"annotation_id", "annotator", "lead_time"}
_OUTLINE = re.compile(rb"\W(polygonlabels|ellipselabels|brushlabels)\W")
_Row = dict[str, Any]


def has_outlines(path: Path) -> bool:
    """Return whether any region is more than a rectangle."""
    return bool(_OUTLINE.search(path.read_bytes()))


def json_kind(path: Path) -> str:
    """Return the layout of an export as JSON or JSON-MIN; empty where it is none."""
    text = path.read_bytes()
    full = b'"result"' in text and (b'"annotations"' in text or b'"completions"' in text)
    if not text.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"[") or not (full or b'"annotation_id"' in text):
        return ""
    return _layout(text)


def csv_kind(path: Path) -> str:
    """Return the layout of an export as CSV; empty where it is none."""
    (_, header), *_ = raw_rows(path, 1) or [(1, [""])]
    return _layout(path.read_bytes()) if {name.strip() for name in header} >= _MARKS else ""


def _layout(text: bytes) -> str:
    return "label studio" if any(one.encode() in text for one in _REGIONS) else "label studio choices"


def read(path: Path, report: Report) -> list[Annotation]:
    """Read an export; DatasetError where it is not whole, or where its regions are of brushes."""
    found = []
    for number, (image, source, regions) in enumerate(_tasks(path), start=1):
        where = f"task {number}"
        if not image:
            report(path, f"{where}: it names no image")
            continue
        for one in regions:
            found += _annotations(path, where, image, source, one, report)
        found += [nothing(path, where, image)] * (not regions)
    return found


def _tasks(path: Path) -> Iterator[tuple[str, str, list[_Row]]]:
    """Yield the image of each answer, who gave it, and its regions: each has `value`."""
    if path.suffix.lower() == ".csv":
        (_, header), *rows = raw_rows(path)
        tasks = [dict(zip(header, map(_cell, row), strict=False)) for _, row in rows]
    else:
        try:
            tasks = json.loads(path.read_text("utf-8-sig"))
        except (OSError, ValueError, RecursionError) as error:
            raise DatasetError(f"{path} is not whole: {error}.") from None
    for task in tasks:
        if not isinstance(task, dict):
            raise DatasetError(f"{path} is not Label Studio's: a task is no object.")
        answers = task.get("annotations", task.get("completions"))
        if isinstance(answers, list):
            image = _image(task.get("data") or {})
            for answer in answers:
                if isinstance(answer, dict) and not answer.get("was_cancelled"):
                    yield image, _person(answer.get("completed_by")), _results(answer)
        else:
            yield _image(task), _person(task.get("annotator")), list(_short(task))


def _cell(text: str) -> Any:
    try:
        return json.loads(text) if text[:1] in ("[", "{") else text
    except ValueError:
        return text


def _results(answer: _Row) -> list[_Row]:
    regions = [one for one in answer.get("result") or [] if isinstance(one, dict)]
    # What a region is called besides, or how two hang together, comes with the id or the type of its own.
    return [one for one in regions if isinstance(one.get("value"), dict) and _label(one["value"])]


def _short(task: _Row) -> Iterator[_Row]:
    """Yield the regions of a row of JSON-MIN, in the form of the longer export."""
    for key, field in task.items():
        if isinstance(field, list) and field and all(isinstance(one, dict) for one in field):
            for one in field:
                yield {"value": one} | {name: one.get(name) for name in ("original_width", "original_height")}
        elif key in ("choice", "choices") and field:
            chosen = field["choices"] if isinstance(field, dict) and "choices" in field else field
            yield {"value": {"choices": chosen if isinstance(chosen, list) else [chosen]}}


def _person(stated: Any) -> str:
    if isinstance(stated, dict):
        stated = stated.get("email", stated.get("id"))
    return "" if stated is None else f"annotator {stated}"


def _image(data: _Row) -> str:
    """Return the path of a task's image: the one field that has the name of an image."""
    names = [name for name in (_name(one) for one in data.values() if isinstance(one, str)) if name]
    return names[0] if names else ""


def _name(address: str) -> str:
    parts = urlsplit(address.strip().replace("\\", "/"))
    local = parse_qs(parts.query).get("d", [""])[0]
    name = unquote(local or parts.path.rpartition("/")[2] or parts.netloc)
    return name if Path(name).suffix.lower() in IMAGE_SUFFIXES else ""


def _label(value: _Row) -> str:
    stated: Iterable[Any] = next(
        (value[key] for key in (*_REGIONS, "choices", "labels") if value.get(key)), ()
    )
    return ", ".join(map(str, stated)) if isinstance(stated, list) else ""


def _annotations(
    path: Path, where: str, image: str, source: str, region: _Row, report: Report
) -> list[Annotation]:
    value = region["value"]
    if "rle" in value or "brushlabels" in value:
        raise DatasetError(
            f"{path}, {where}: regions of a brush are not read from this export: export as COCO with run "
            f"lengths, or as PNG masks, and put these into masks/ beside images/."
        )
    label = _label(value) or UNNAMED
    if "choices" in value:
        chosen = value["choices"] if isinstance(value["choices"], list) else [label]
        return [Annotation(path, where, image, str(one), None, source=source) for one in chosen]
    try:
        box, shape = _outline(value, region)
    except (ValueError, TypeError, KeyError) as error:
        report(path, f"{where}: {error}")
        return []
    return [Annotation(path, where, image, label, box, _size(region), shape, relative=True, source=source)]


def _size(region: _Row) -> tuple[int, int] | None:
    width, height = region.get("original_width"), region.get("original_height")
    return (int(width), int(height)) if width and height else None


def _outline(value: _Row, region: _Row) -> tuple[Box, Shape]:
    """Return a region's box and outline in fractions; ValueError where it has none."""
    if region.get("image_rotation"):
        raise ValueError(
            "the image was turned while it was labelled: turn the file itself, and label it anew"
        )
    shape = Shape((_corners(value, _size(region)),), relative=True)
    return shape.box, shape


def _corners(value: _Row, size: tuple[int, int] | None) -> tuple[Point, ...]:
    if "points" in value:
        return tuple((finite(x) / 100, finite(y) / 100) for x, y in value["points"])
    x, y = finite(value["x"]) / 100, finite(value["y"]) / 100
    turn = math.radians(finite(value.get("rotation") or 0))
    if "radiusX" in value:
        corners = ellipse(0, 0, finite(value["radiusX"]) / 100, finite(value["radiusY"]) / 100)
    elif "width" in value and "height" in value:
        width, height = finite(value["width"]) / 100, finite(value["height"]) / 100
        corners = ((0.0, 0.0), (width, 0.0), (width, height), (0.0, height))
    else:
        raise ValueError("a region without area: a rectangle, a polygon or an ellipse is expected")
    if turn and size is None:
        raise ValueError("a turned region needs original_width and original_height")
    # A rectangle turns around its upper left corner, an ellipse around its middle, both in pixels.
    aspect = size[0] / size[1] if size else 1
    return tuple(
        (
            x + left * math.cos(turn) - down / aspect * math.sin(turn),
            y + left * aspect * math.sin(turn) + down * math.cos(turn),
        )
        for left, down in corners
    )
