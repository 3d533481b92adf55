"""COCO JSON to annotations."""

import json
import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

from training.datasets.dataset import DatasetError
from training.datasets.labels.annotations import UNNAMED, Annotation, Report, finite, nothing
from training.datasets.labels.shapes import Shape, polygon
from training.datasets.own.listing import Box

_RIGHT = (
    "it must be UTF-8 with the lists images (id, file_name), categories (id, name) and annotations "
    "(image_id, category_id, bbox)"
)


INSTANCES, KEYPOINTS = "coco", "coco key points"
BESIDE = frozenset((KEYPOINTS, "coco captions"))
"""What lies beside the instances in the folder of the well-known set."""
_OUTLINE = re.compile(rb'"segmentation"\s*:\s*(\[\s*\[|\{)')


def kind(path: Path) -> str:
    """Return "coco" where a JSON file looks like COCO's: it lists images and annotations."""
    text = path.read_bytes()
    if b'"images"' not in text or b'"annotations"' not in text:
        return ""
    if b'"caption"' in text and b'"bbox"' not in text:
        return "coco captions"
    return KEYPOINTS if b'"num_keypoints"' in text else INSTANCES


def has_outlines(path: Path) -> bool:
    """Return whether any of the annotations has polygons or run lengths."""
    return bool(_OUTLINE.search(path.read_bytes()))


def read_coco(path: Path, report: Report) -> list[Annotation]:
    """Read COCO instances: `bbox` is x, y, width, height, `segmentation` polygons or run lengths.

    The box of a crowd is not that of one object. An image that has no annotation is one without objects.
    """
    try:
        document = json.loads(path.read_text("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(f"{path} is not COCO JSON: {error}; {_RIGHT}.") from error
    if not isinstance(document, dict):
        raise DatasetError(f"{path} is not COCO JSON: it is no object; {_RIGHT}.")
    images = _by_id(path, document, "images", report)
    named = document.get("categories", []) != []
    labels = _by_id(path, document, "categories", report) if named else {}
    found = []
    rows = _rows(path, document, "annotations")
    for number, row in enumerate(rows, start=1):
        where = f"annotation {row['id']}" if "id" in row else f"annotation number {number}"
        try:
            image = _named(images, "image", row.get("image_id"))
            label = _named(labels, "category", row.get("category_id")) if named else {"name": UNNAMED}
            crowd, size, shape = bool(row.get("iscrowd")), _stated_size(image), _shape(row)
            box = _box(row, crowd=crowd)
        except (ValueError, TypeError) as error:
            report(path, f"{where}: {error}")
            continue
        if box or shape:
            stated = (path, where, image["file_name"], label["name"], box, size, shape)
            found.append(Annotation(*stated, ignored=crowd, crowd=crowd))
    used = {identity for row in rows if isinstance(identity := row.get("image_id"), int | float | str)}
    return found + [
        nothing(path, f"image {identity!r}", image["file_name"])
        for identity, image in images.items()
        if image and identity not in used
    ]


def _box(row: dict[str, Any], *, crowd: bool) -> Box | None:
    if crowd and "bbox" not in row:
        return None
    x, y, width, height = _numbers(row)
    return x, y, x + width, y + height


def _shape(row: dict[str, Any]) -> Shape | None:
    """Return an annotation's outline, if it has one; ValueError or TypeError where it is none of COCO's."""
    stated = row.get("segmentation")
    if not stated:
        return None
    if isinstance(stated, list):
        if not all(isinstance(one, list) for one in stated):
            raise ValueError("segmentation must be a list of polygons, or run lengths with size and counts")
        return Shape(tuple(polygon([finite(number) for number in one]) for one in stated))
    if not isinstance(stated, dict) or not isinstance(stated.get("counts"), list | str):
        raise ValueError("segmentation must be a list of polygons, or run lengths with size and counts")
    height, width = (int(side) for side in stated.get("size") or ())
    return Shape(rle=((height, width), stated["counts"]))


_Rows = dict[Hashable, dict[str, Any] | None]


def _rows(path: Path, document: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """Return the objects of one of the lists; DatasetError where there is no such list of objects."""
    rows = document.get(key)
    if not isinstance(rows, list):
        raise DatasetError(f"{path} is not COCO JSON: it has no list {key}; {_RIGHT}.")
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise DatasetError(f"{path} is not COCO JSON: {key}, number {number}, is no object; {_RIGHT}.")
    return rows


def _by_id(path: Path, document: dict[str, Any], key: str, report: Report) -> _Rows:
    """Return images or categories by id, with their names as text; None for what is wrong."""
    column = "file_name" if key == "images" else "name"
    found: _Rows = {}
    for number, row in enumerate(_rows(path, document, key), start=1):
        identity, name = row.get("id"), row.get(column)
        if isinstance(name, int) and key == "categories":
            name = str(name)
        if not isinstance(identity, int | float | str):
            report(path, f"{key}, number {number}: the id must be a number or text, but is {identity!r}")
        elif not isinstance(name, str) or not name.strip():
            report(path, f"{key}, id {identity!r}: {column} must be text, but is {name!r}")
            found[identity] = None
        elif identity in found and (found[identity] or {}).get(column) != name.strip():
            report(path, f"{key}: more than one has the id {identity!r}, {name} the last of them")
            found[identity] = None
        else:
            found[identity] = row | {column: name.strip()}
    return found


def _named(rows: _Rows, kind: str, identity: object) -> dict[str, Any]:
    """Return the image or category with an id; ValueError where there is none, or a wrong one."""
    if not isinstance(identity, int | float | str) or identity not in rows:
        some = ", ".join(map(repr, list(rows)[:3])) + ", ..." * (len(rows) > 3)
        raise ValueError(f"there is no {kind} with the id {identity!r}; ids are {some or 'absent'}")
    row = rows[identity]
    if row is None:
        raise ValueError(f"the {kind} with the id {identity!r} is itself wrong")
    return row


def _numbers(row: dict[str, Any]) -> list[float]:
    box = row.get("bbox")
    try:
        if isinstance(box, list) and len(box) == 4:
            return [finite(value) for value in box]
    except (TypeError, ValueError, OverflowError):
        pass
    raise ValueError(f"bbox must be four numbers, x, y, width and height, but is {box!r:.80}")


def _stated_size(image: dict[str, Any]) -> tuple[int, int] | None:
    try:
        sides = int(finite(image.get("width") or 0)), int(finite(image.get("height") or 0))
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"width and height of the image {image['id']!r} must be whole numbers") from None
    return sides if all(sides) else None
