"""Localization: one row -> a label and a box."""

from typing import Any

from service.images import fitting, pictures
from service.images.codec import Photo
from service.manifest import Manifest
from service.options import LocalizeOptions
from service.schemas import Box, Localization, LocalizeResponse
from service.tasks import classification
from service.tasks.task import Row, ServedTask, Size, familiarity, unit


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


def _draw(photo: Photo, row: Row, manifest: Manifest, options: LocalizeOptions) -> bytes:
    found = localize(row, manifest, options, Size(photo.width, photo.height))
    # A very large photo is drawn on at a fraction of its size.
    wide, high = photo.image.size
    part = found.box_normalized
    box = (part.x_min * wide, part.y_min * high, part.x_max * wide, part.y_max * high)
    return pictures.overlay_box(photo, box, f"{found.label or '?'} {found.score:.2f}")


_BOX = ("x_min", "y_min", "x_max", "y_max")


def _cells(found: Localization) -> tuple[Any, ...]:
    corners = (getattr(found.box, name) for name in _BOX)
    return found.label, found.score, *corners, found.width, found.height


def _words(found: Localization) -> str:
    box = found.box
    place = f"{box.x_min:g}, {box.y_min:g} to {box.x_max:g}, {box.y_max:g} of {found.width}x{found.height}"
    return f"{classification.words(found)} at {place}"


LOCALIZATION = ServedTask(
    name="localization",
    path="/localize",
    summary="Name what is in each image and say where: a label, its score and a box.",
    options=LocalizeOptions,
    response=LocalizeResponse,
    answer=localize,
    columns=lambda _: ("label", "score", *_BOX, "width", "height"),
    cells=_cells,
    words=_words,
    threshold=lambda _: "the label of a lower score is null",
    draw=_draw,
    pictures="overlay",
)
