"""LabelMe's JSON (github.com/wkentaro/labelme), one file per image, to annotations."""

import base64
import json
import math
import re
from pathlib import Path
from typing import Any

from training.datasets.labels.annotations import UNNAMED, Annotation, Report, finite, nothing
from training.datasets.labels.shapes import Point, Shape, ellipse
from training.datasets.own.listing import Box

_SHAPELESS = ("point", "points", "line", "linestrip")
_OUTLINE = re.compile(rb'"shape_type"\s*:\s*"(polygon|circle|mask)"')


def kind(path: Path) -> str:
    """Return "labelme" where a JSON file looks like LabelMe's."""
    text = path.read_bytes()
    return "labelme" if b'"shapes"' in text and b'"imagePath"' in text else ""


def has_outlines(path: Path) -> bool:
    """Return whether any of the shapes is more than a rectangle."""
    return bool(_OUTLINE.search(path.read_bytes()))


def read_labelme(path: Path, report: Report) -> list[Annotation]:
    """Read a file's shapes; what has no area is told. The image within the file is not looked at."""
    try:
        document = json.loads(path.read_text("utf-8-sig"))
        shapes, image = document["shapes"], document["imagePath"]
        if not isinstance(shapes, list) or not isinstance(image, str) or not image.strip():
            raise TypeError("shapes must be a list, imagePath a file's name")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        report(path, f"is not LabelMe's JSON: {error}")
        return []
    found = []
    for number, row in enumerate(shapes, start=1):
        where = f"shape {number}"
        try:
            box, shape = _outline(row)
            label = str(row.get("label") or UNNAMED).strip()
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            report(path, f"{where}: {error}")
            continue
        found.append(Annotation(path, where, image, label, box, _size(document), shape))
    return found if shapes else [nothing(path, "no shape", image)]


def _size(document: dict[str, Any]) -> tuple[int, int] | None:
    width, height = document.get("imageWidth"), document.get("imageHeight")
    return (width, height) if isinstance(width, int) and isinstance(height, int) else None


def _outline(row: dict[str, Any]) -> tuple[Box, Shape]:
    """Return a shape's box and what it covers; ValueError where it has no area."""
    form = row.get("shape_type") or "polygon"
    points: list[Point] = [(finite(x), finite(y)) for x, y in row["points"]]
    if form in _SHAPELESS:
        raise ValueError(f"a {form} has no area: draw a polygon, rectangle, circle or mask")
    if form == "polygon" and len(points) >= 3:
        shape = Shape((tuple(points),))
        return shape.box, shape
    if len(points) != 2 or form not in _OF_TWO:
        raise ValueError(f"a {form} with {len(points)} points is not known")
    return _OF_TWO[form](points, row)


def _rectangle(points: list[Point], _: dict[str, Any]) -> tuple[Box, Shape]:
    (left, right), (top, bottom) = (sorted(pair) for pair in zip(*points, strict=True))
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    return (left, top, right, bottom), Shape((corners,))


def _circle(points: list[Point], _: dict[str, Any]) -> tuple[Box, Shape]:
    (x, y), edge = points
    radius = math.dist((x, y), edge)
    return (x - radius, y - radius, x + radius, y + radius), Shape((ellipse(x, y, radius, radius),))


def _mask(points: list[Point], row: dict[str, Any]) -> tuple[Box, Shape]:
    if not isinstance(row.get("mask"), str):
        raise ValueError("a mask needs its pixels in mask")
    box, _ = _rectangle(points, row)
    place = (round(box[0]), round(box[1]), base64.b64decode(row["mask"], validate=True))
    # Its last pixel is within.
    return (box[0], box[1], box[2] + 1, box[3] + 1), Shape(bitmap=place)


_OF_TWO = {"rectangle": _rectangle, "circle": _circle, "mask": _mask}
