"""Detection: one row -> all objects, each with a label, a score and a box.

Besides `scores` `[K]`, the best first, a row has `boxes` `[K, 4]`, as localization's `box`, and `labels`
`[K]`, indices of the manifest's. Clients that know one object find the best in the fields that they read.
"""

from collections import Counter
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.errors import ParameterError
from service.images import captions, fitting, seams, tiling
from service.images.codec import Photo
from service.manifest import Manifest
from service.options import LocalizeOptions
from service.schemas import Box, DetectedObject, Detection
from service.tasks import localization, matching
from service.tasks.segmentation import palette
from service.tasks.task import Row, ServedTask, Size, TileRule, familiarity, farthest
from service.wording import nearest, quoted

LEAST = 1e-6
"""The least score that an answer shows, of six digits: below it an object is none, whatever the threshold."""


def detect(row: Row, manifest: Manifest, options: LocalizeOptions, size: Size) -> Detection:
    """Name and place all objects that count, in the posted image by the model's resize rule.

    What has no area in the image, as a box in the padding, is no object of it.
    """
    scores = _rounded(row)
    fractions = row["boxes"].astype(np.float64)
    if options.tile is None:
        fractions = fitting.boxes_out_of(fractions, (size.width, size.height), manifest.input)
    fractions = np.round(fractions.clip(0.0, 1.0), 6)
    pixels = np.round(fractions * (size.width, size.height, size.width, size.height), 2)
    labels = _indices(row)
    counted = _counted(scores, labels, manifest, options) & (pixels[:, 2:] > pixels[:, :2]).all(axis=1)
    best = np.flatnonzero(counted)
    # Of equal scores, what is higher comes first: an engine may list them in any order.
    best = best[np.lexsort((*pixels[best, :2].T, -scores[best]))][: options.max_objects]
    names = [manifest.labels[index] for index in labels[best].tolist()]
    found = tuple(
        DetectedObject(name, score, Box(*box), Box(*part))
        for name, score, box, part in zip(
            names, scores[best].tolist(), pixels[best].tolist(), fractions[best].tolist(), strict=True
        )
    )
    first = found[0] if found else None
    return Detection(
        label=first.label if first else None,
        score=first.score if first else None,
        box=first.box if first else None,
        box_normalized=first.box_normalized if first else None,
        objects=found,
        counts=dict(Counter(names)),
        width=size.width,
        height=size.height,
        familiarity=familiarity(row),
    )


def _rounded(row: Row) -> NDArray[np.float64]:
    """Return the scores as they are answered."""
    return np.asarray(np.round(np.clip(row["scores"], 0.0, 1.0).astype(np.float64), 6))


def _indices(row: Row) -> NDArray[np.intp]:
    """Return the labels' indices, which an engine may give as any kind of number."""
    return np.rint(row["labels"]).astype(np.intp)


def _counted(
    scores: NDArray[np.float64], labels: NDArray[np.intp], manifest: Manifest, options: LocalizeOptions
) -> NDArray[np.bool_]:
    """Tell which objects are asked for. No object has a label that is none."""
    threshold = manifest.threshold if options.threshold is None else options.threshold
    counted = (scores >= max(threshold, LEAST)) & (labels >= 0) & (labels < len(manifest.labels))
    if options.labels is not None:
        counted &= np.isin(labels, wanted(options.labels, manifest.labels))
    return counted


@lru_cache(256)
def wanted(text: str, labels: tuple[str, ...]) -> tuple[int, ...]:
    """Return the indices of the labels that are asked for, separated by commas; ParameterError names one that
    is none, and what it is most like. A label that has a comma itself can be asked for alone.
    """
    names = [text] if text in labels else [name.strip() for name in text.split(",")]
    for name in names:
        if name not in labels:
            meant = nearest(name, labels)
            hint = f" Did you mean {meant}?" if meant else ""
            known = ", ".join(labels[:20]) + (", ..." if len(labels) > 20 else "")
            raise ParameterError(
                f"labels: {quoted(name)} is no label of this model.{hint} There are: {known}."
            )
    return tuple(sorted({labels.index(name) for name in names}))


def _check(options: LocalizeOptions, manifest: Manifest) -> None:
    if options.tile is not None and manifest.input.resize == "tile":
        raise ParameterError(f"tile: {manifest.name} looks at every image in tiles, of a size of its own.")
    if options.labels is not None:
        wanted(options.labels, manifest.labels)


def _carried(row: Row, manifest: Manifest, size: Size) -> Row:
    boxes = fitting.boxes_out_of(row["boxes"], (size.width, size.height), manifest.input)
    return row | {"boxes": boxes.astype(np.float32)}


def _draw(photo: Photo, row: Row, manifest: Manifest, options: LocalizeOptions) -> bytes:
    found = detect(row, manifest, options, Size(photo.width, photo.height))
    # A very large photo is drawn on at a fraction of its size.
    wide, high = photo.image.size
    colours = dict(zip(manifest.labels, palette(len(manifest.labels) + 1)[1:], strict=True))
    boxes = []
    for each in found.objects:
        x_min, y_min, x_max, y_max = localization.corners(each.box_normalized)
        box = (x_min * wide, y_min * high, x_max * wide, y_max * high)
        boxes.append(captions.Captioned(box, f"{each.label} {each.score:.2f}", colours[each.label]))
    return captions.overlay_boxes(photo, boxes)


class _Merged:
    """The objects of an image in tiles."""

    def __init__(self, plan: tiling.Tiling, manifest: Manifest, options: LocalizeOptions) -> None:
        self._merge = seams.Merge(plan)
        self._manifest, self._options = manifest, options

    def add(self, corner: tiling.Size, row: Row, /) -> None:
        scores, labels = _rounded(row), _indices(row)
        counted = _counted(scores, labels, self._manifest, self._options)
        self._merge.add(corner, row["boxes"][counted], row["scores"][counted], labels[counted])

    def row(self) -> Row:
        boxes, scores, labels = self._merge.answer()
        found = {"boxes": boxes, "scores": scores, "labels": labels}
        return {name: values.astype(np.float32) for name, values in found.items()}


def _differences(expected: Row, found: Row, manifest: Manifest) -> dict[str, float]:
    """Compare object by object; a label that is another is an object that is missing."""
    off = farthest(expected, found) | matching.differences(expected, found, manifest.threshold / 2)
    del off["labels"]
    return off


def _rows(found: Detection) -> list[tuple[Any, ...]]:
    size = (found.width, found.height)
    if not found.objects:
        return [(*[None] * 6, *size)]
    return [(each.label, each.score, *localization.corners(each.box), *size) for each in found.objects]


def _words(found: Detection) -> str:
    if not found.objects:
        return "no objects"
    counts = ", ".join(f"{count} {label}" for label, count in found.counts.items())
    best = found.objects[0]
    x_min, y_min, x_max, y_max = localization.corners(best.box)
    place = f"{x_min:g}, {y_min:g} to {x_max:g}, {y_max:g} of {found.width}x{found.height}"
    return f"{counts}; best {best.label} {best.score:.4f} at {place}"


def _facts(manifest: Manifest) -> list[tuple[str, str]]:
    assert manifest.detection
    most = manifest.detection.max_objects
    each = "tile" if manifest.input.resize == "tile" else "image"
    told = f"the {most:,} best of each {each} at most; `max_objects` asks for fewer, `labels` for some labels"
    if each == "tile":
        return [("Objects told", told)]
    parts = f"with `tile=N` parts of N pixels' width that share a quarter, each as an image: {_MERGED}"
    return [("Objects told", told), ("Large photos", parts)]


_MERGED = (
    "boxes that a tile's border cuts are left to a tile that sees the whole object, or joined across the "
    "seam where none does; of boxes of one label from different tiles that overlap by half, the best stays"
)


DETECTION = ServedTask(
    name="detection",
    face=localization.LOCALIZE,
    answer=detect,
    columns=lambda _: localization.COLUMNS,
    rows=_rows,
    words=_words,
    threshold=lambda _: "objects of a lower score are left out",
    check=_check,
    draw=_draw,
    tiles=TileRule(
        gather=_Merged,
        told=_MERGED,
        asked=lambda options: options.tile,
    ),
    differences=_differences,
    carried=_carried,
    facts=_facts,
)
