"""One output row and its manifest -> a Classification, Localization or Segmentation."""

import base64
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.manifest import Manifest
from service.schemas import (
    Box,
    ClassArea,
    Classification,
    ClassifyOptions,
    Instance,
    LabelScore,
    Localization,
    LocalizeOptions,
    ObjectPng,
    ObjectPolygons,
    ObjectRle,
    PngMask,
    PolygonMask,
    Polygons,
    Rle,
    RleMask,
    Segmentation,
    SegmentOptions,
)
from service.tasks import instances, masks
from service.tasks.instances import Found, Objects

Row = dict[str, NDArray[np.float32]]
"""The outputs for one image, by name; see `training/tasks/heads.py` for what they mean."""

Palette = list[tuple[int, int, int]]
PngEncoder = Callable[[NDArray[np.uint8], Palette], bytes]


@dataclass(frozen=True)
class Size:
    """Of the upright posted image, in pixels."""

    width: int
    height: int


def classify(row: Row, manifest: Manifest, options: ClassifyOptions) -> Classification:
    """Name the most probable classes."""
    threshold = manifest.threshold if options.threshold is None else options.threshold
    # As a list: for the few classes of most models, NumPy takes longer to begin than Python to finish.
    scores = row["scores"].tolist()
    best = sorted(range(len(scores)), key=scores.__getitem__, reverse=True)[: options.top_k]
    ranked = [LabelScore(manifest.labels[index], _unit(scores[index])) for index in best]
    top = tuple(each for each in ranked if each.score >= threshold)
    return Classification(label=top[0].label if top else None, score=ranked[0].score, top=top)


def localize(row: Row, manifest: Manifest, options: LocalizeOptions, size: Size) -> Localization:
    """Name the class and place the box."""
    scores = row["scores"]
    best = int(scores.argmax())
    threshold = manifest.threshold if options.threshold is None else options.threshold
    x_min, y_min, x_max, y_max = (_unit(value) for value in row["box"])
    return Localization(
        label=manifest.labels[best] if _unit(scores[best]) >= threshold else None,
        score=_unit(scores[best]),
        box=Box(
            x_min=round(x_min * size.width, 2),
            y_min=round(y_min * size.height, 2),
            x_max=round(x_max * size.width, 2),
            y_max=round(y_max * size.height, 2),
        ),
        box_normalized=Box(x_min=x_min, y_min=y_min, x_max=x_max, y_max=y_max),
        width=size.width,
        height=size.height,
    )


def class_mask(row: Row, manifest: Manifest, options: SegmentOptions, size: Size) -> NDArray[np.uint8]:
    """Return class indices `[height, width]` at the posted image's size."""
    threshold = manifest.threshold if options.threshold is None else options.threshold
    return masks.enlarge(row["mask"], size.height, size.width, threshold)


def separate(row: Row, manifest: Manifest, options: SegmentOptions, size: Size) -> Objects:
    """Return the separate objects of what `class_mask` shows."""
    threshold = manifest.threshold if options.threshold is None else options.threshold
    return instances.find(row["mask"], size.height, size.width, threshold)


def segment(
    row: Row, manifest: Manifest, options: SegmentOptions, size: Size, encode_png: PngEncoder
) -> Segmentation:
    """Measure and encode the class mask. `encode_png` turns indices and a palette into a PNG."""
    mask = class_mask(row, manifest, options, size)
    objects = separate(row, manifest, options, size) if options.instances else None
    counts = masks.areas(mask, len(manifest.labels))
    return Segmentation(
        width=size.width,
        height=size.height,
        classes=tuple(
            ClassArea(
                label=label,
                index=index,
                pixels=counts[index],
                fraction=round(counts[index] / mask.size, 6),
            )
            for index, label in enumerate(manifest.labels)
        ),
        mask=_encode(mask, manifest, options, encode_png),
        instances=_instances(objects, manifest, options, size, encode_png) if objects else None,
        instance_count=len(objects.found) if objects else None,
    )


def _encode(
    mask: NDArray[np.uint8], manifest: Manifest, options: SegmentOptions, encode_png: PngEncoder
) -> PngMask | RleMask | PolygonMask | None:
    classes = list(enumerate(manifest.labels))[1:]
    if options.mask == "png":
        png = encode_png(mask, palette(len(manifest.labels)))
        return PngMask(data=base64.b64encode(png).decode("ascii"))
    if options.mask == "rle":
        size = (mask.shape[0], mask.shape[1])
        runs = tuple(
            Rle(label=label, size=size, counts=masks.run_lengths(mask == index)) for index, label in classes
        )
        return RleMask(classes=runs)
    if options.mask == "polygons":
        polygons = []
        for index, label in classes:
            outer, holes = masks.outlines(mask == index)
            polygons.append(Polygons(label=label, outlines=outer, holes=holes))
        return PolygonMask(classes=tuple(polygons))
    return None


def _instances(
    objects: Objects, manifest: Manifest, options: SegmentOptions, size: Size, encode_png: PngEncoder
) -> tuple[Instance, ...]:
    colours = palette(len(manifest.labels))

    def encode(one: Found) -> ObjectPng | ObjectRle | ObjectPolygons | None:
        if options.mask == "none":
            return None
        pixels, (x, y) = objects.pixels(one), one.box[:2]
        if options.mask == "rle":
            whole = (size.height, size.width)
            return ObjectRle(size=whole, counts=masks.run_lengths_within(pixels, x, y, whole))
        if options.mask == "polygons":
            outer, holes = masks.outlines(pixels, x, y)
            return ObjectPolygons(outlines=outer, holes=holes)
        png = encode_png(pixels.astype(np.uint8), [colours[0], colours[one.index]])
        return ObjectPng(data=base64.b64encode(png).decode("ascii"))

    return tuple(
        Instance(manifest.labels[one.index], Box(*one.box), one.area, _unit(one.score), encode(one))
        for one in objects.largest(drawn=options.mask != "none")
    )


def palette(count: int) -> Palette:
    """Return `count` colours that can be told apart, also by colour-blind people; the first is black.

    Okabe and Ito, "Color Universal Design" (2008); repeated where there are more classes than colours.
    """
    colours = [(230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0)]
    return [(0, 0, 0), *(colours[index % len(colours)] for index in range(count - 1))]


def _unit(value: float | np.floating) -> float:
    """Round a probability or fraction to six digits, within 0..1 in spite of rounding in the engine."""
    return round(min(1.0, max(0.0, float(value))), 6)
