"""Localization: one row -> a label and a box."""

from typing import Any

import numpy as np

from service.errors import ParameterError
from service.images import fitting, pictures
from service.images.codec import Photo
from service.manifest import Manifest
from service.options import LocalizeOptions
from service.responses import LocalizeResponse
from service.schemas import Box, Localization
from service.tasks import classification
from service.tasks.task import Face, Row, ServedTask, Size, familiarity, unit


def localize(row: Row, manifest: Manifest, options: LocalizeOptions, size: Size) -> Localization:
    """Name the class and place the box, in the posted image by the model's resize rule."""
    scores = row["scores"]
    best = int(scores.argmax())
    threshold = manifest.threshold if options.threshold is None else options.threshold
    framed = row["box"].tolist()
    box = fitting.box_out_of(framed, (size.width, size.height), manifest.input)
    x_min, y_min, x_max, y_max = (unit(value) for value in box)
    return Localization(
        label=manifest.labels[best] if unit(scores[best]) >= threshold else None,
        score=unit(scores[best]),
        box=Box(
            x_min=round(x_min * size.width, 2),
            y_min=round(y_min * size.height, 2),
            x_max=round(x_max * size.width, 2),
            y_max=round(y_max * size.height, 2),
        ),
        box_normalized=Box(x_min=x_min, y_min=y_min, x_max=x_max, y_max=y_max),
        width=size.width,
        height=size.height,
        familiarity=familiarity(row),
    )


def _carried(row: Row, manifest: Manifest, size: Size) -> Row:
    box = fitting.box_out_of(row["box"].tolist(), (size.width, size.height), manifest.input)
    return row | {"box": np.asarray(box, np.float32)}


def _draw(photo: Photo, row: Row, manifest: Manifest, options: LocalizeOptions) -> bytes:
    found = localize(row, manifest, options, Size(photo.width, photo.height))
    # A very large photo is drawn on at a fraction of its size.
    wide, high = photo.image.size
    part = found.box_normalized
    box = (part.x_min * wide, part.y_min * high, part.x_max * wide, part.y_max * high)
    return pictures.overlay_box(photo, box, f"{found.label or '?'} {found.score:.2f}")


COLUMNS = ("label", "score", "x_min", "y_min", "x_max", "y_max", "width", "height")
"""Of a table of boxes: where each is, and the size of the image that it is in."""


def corners(box: Box) -> tuple[float, float, float, float]:
    """Return a box's numbers as they are written in a table."""
    return box.x_min, box.y_min, box.x_max, box.y_max


def _rows(found: Localization) -> list[tuple[Any, ...]]:
    return [(found.label, found.score, *corners(found.box), found.width, found.height)]


def _check(options: LocalizeOptions, manifest: Manifest) -> None:
    given = [name for name in ("max_objects", "labels", "tile") if getattr(options, name) is not None]
    if given:
        raise ParameterError(
            f"{given[0]}: {manifest.name} finds one object in each image; this is for models that find all."
        )


def _words(found: Localization) -> str:
    box = found.box
    place = f"{box.x_min:g}, {box.y_min:g} to {box.x_max:g}, {box.y_max:g} of {found.width}x{found.height}"
    return f"{classification.words(found)} at {place}"


_PLACE = {
    "box": {"x_min": 40.0, "y_min": 30.0, "x_max": 200.0, "y_max": 150.0},
    "box_normalized": {"x_min": 0.1, "y_min": 0.1, "x_max": 0.5, "y_max": 0.5},
}
_SIZE = {"width": 400, "height": 300}

LOCALIZE = Face(
    path="/localize",
    summary="Name what is in each image and say where: a label, its score and a box; by a model that finds "
    "several objects, all of them.",
    options=LocalizeOptions,
    response=LocalizeResponse,
    examples={
        "one": {
            "summary": "By a model that finds one object.",
            "answer": {"label": "cat", "score": 0.91, **_PLACE, **_SIZE},
        },
        "all": {
            "summary": "By a model that finds all objects.",
            "answer": {
                "label": "cat",
                "score": 0.91,
                **_PLACE,
                "objects": [{"label": "cat", "score": 0.91, **_PLACE}],
                "counts": {"cat": 1},
                **_SIZE,
            },
        },
        "none": {
            "summary": "By the same, where there is none.",
            "answer": {
                **dict.fromkeys(("label", "score", "box", "box_normalized")),
                "objects": [],
                "counts": {},
                **_SIZE,
            },
        },
    },
    pictures="overlay",
)

LOCALIZATION = ServedTask(
    name="localization",
    face=LOCALIZE,
    answer=localize,
    columns=lambda _: COLUMNS,
    rows=_rows,
    words=_words,
    threshold=lambda _: "the label of a lower score is null",
    check=_check,
    carried=_carried,
    draw=_draw,
)
