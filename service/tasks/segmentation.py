"""Segmentation: one row -> a class for every pixel, and the separate objects among them."""

import base64
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from service.images import fitting, pictures, tiling
from service.images.codec import Photo
from service.manifest import Manifest
from service.options import SegmentOptions
from service.responses import SegmentResponse
from service.schemas import (
    Box,
    ClassArea,
    Instance,
    ObjectPng,
    ObjectPolygons,
    ObjectRle,
    PngMask,
    PolygonMask,
    Polygons,
    Rle,
    RleMask,
    Segmentation,
)
from service.tasks import instances, masks
from service.tasks.instances import MOST, Found, Objects
from service.tasks.task import Face, Row, ServedTask, Size, TileRule, familiarity, farthest, unit

Palette = list[tuple[int, int, int]]
PngEncoder = Callable[[NDArray[np.uint8], Palette], bytes]

PLANES = ("mask", "border")
"""The outputs of a number, or several, for each pixel; a model need not tell `border`."""

PIXEL_COSTS = {"none": 2, "png": 4, "rle": 5, "polygons": 5}
"""Bytes that a posted image takes per pixel at the peak while its mask is made, by the mask's form; measured
with masks of noise (1.0, 3.3, 4.0, 4.0) and rounded up."""


TILED_INSTANCE_COST = 80
"""Bytes per pixel of an image in tiles at the peak while its objects are separated at its own size: measured
where a quarter is objects (35), and more where all is."""
TILED_INSTANCE_PIXELS = 2**20
"""Pixels of an image in tiles whose objects are separated, at most: that takes about two seconds."""


def unpadded(row: Row, manifest: Manifest, size: Size) -> Row:
    """Return the row with that part of its planes alone that lies on the image, whose own size is `size`."""
    if manifest.input.resize != "letterbox":
        return row
    place = fitting.placed((size.width, size.height), manifest.input).place
    return row | {name: np.ascontiguousarray(row[name][place.pixels]) for name in PLANES if name in row}


def class_mask(row: Row, manifest: Manifest, options: SegmentOptions, size: Size) -> NDArray[np.uint8]:
    """Return class indices `[height, width]` at the posted image's size."""
    threshold = manifest.threshold if options.threshold is None else options.threshold
    return masks.enlarge(row["mask"], size.height, size.width, threshold)


def separate(row: Row, manifest: Manifest, options: SegmentOptions, size: Size) -> Objects:
    """Return the separate objects of what `class_mask` shows."""
    threshold = manifest.threshold if options.threshold is None else options.threshold
    border = row["border"][..., 0] if "border" in row else None
    return instances.find(row["mask"], size.height, size.width, threshold, border)


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
        familiarity=familiarity(row),
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
        Instance(manifest.labels[one.index], Box(*one.box), one.area, unit(one.score), encode(one))
        for one in objects.largest(drawn=options.mask != "none")
    )


def palette(count: int) -> Palette:
    """Return `count` colours that can be told apart, also by colour-blind people; the first is black.

    Okabe and Ito, "Color Universal Design" (2008); repeated where there are more classes than colours.
    """
    colours = [(230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0)]
    return [(0, 0, 0), *(colours[index % len(colours)] for index in range(count - 1))]


def _answer(row: Row, manifest: Manifest, options: SegmentOptions, size: Size) -> Segmentation:
    return segment(unpadded(row, manifest, size), manifest, options, size, pictures.palette_png)


def _draw(photo: Photo, row: Row, manifest: Manifest, options: SegmentOptions) -> bytes:
    row = unpadded(row, manifest, Size(photo.width, photo.height))
    # A very large photo is drawn on at a fraction of its size.
    size = Size(*photo.image.size) if options.overlay else Size(photo.width, photo.height)
    mask, colours = class_mask(row, manifest, options, size), palette(len(manifest.labels))
    if not options.overlay:
        return pictures.palette_png(mask, colours)
    edges = separate(row, manifest, options, size).edges() if options.instances else None
    return pictures.overlay_mask(photo, mask, colours, edges)


def _threshold(manifest: Manifest) -> str:
    if len(manifest.labels) == 2:
        return f"the probability of {manifest.labels[1]} from which on a pixel is that"
    return f"a pixel whose most probable label is below it is {manifest.labels[0]}"


def _facts(manifest: Manifest) -> list[tuple[str, str]]:
    spec = manifest.input
    how = "a watershed"
    if any(output.name == "border" for output in manifest.outputs):
        how = "a watershed from what lies within the borders that the model tells,"
    if spec.resize == "tile":
        found = (
            f"with `instances=true` {how} at the image's own size, of {TILED_INSTANCE_PIXELS:,} pixels "
            f"at most, the {MOST:,} largest told"
        )
        return [("Mask", "the blended probabilities at the image's own size"), ("Objects", found)]
    within = " without its padding" if spec.resize == "letterbox" else ""
    found = f"with `instances=true` {how} at {spec.width}x{spec.height}{within}, the {MOST:,} largest told"
    enlarged = "probabilities enlarged (bilinear) up to twice the model's size, then pixels repeated"
    return [("Mask", enlarged), ("Objects", found)]


class _Blended:
    """The planes of an image in tiles: of its own size, `[H, W, K]`."""

    def __init__(self, plan: tiling.Tiling, manifest: Manifest, options: SegmentOptions) -> None:
        channels = _channels(manifest, options)
        self._blends = {name: tiling.Blend(plan, count) for name, count in channels.items()}

    def add(self, corner: tiling.Size, row: Row, /) -> None:
        for name, blend in self._blends.items():
            blend.add(corner, row[name])

    def row(self) -> Row:
        return {name: blend.answer() for name, blend in self._blends.items()}


class _EveryPlane(SegmentOptions):
    """What is asked for the outputs themselves: all planes, of which nothing is made."""


def _channels(manifest: Manifest, options: SegmentOptions) -> dict[str, int]:
    """Return how many numbers each pixel has, by the planes that are asked for."""
    asked = PLANES if options.instances or isinstance(options, _EveryPlane) else PLANES[:1]
    return {output.name: output.shape[-1] for output in manifest.outputs if output.name in asked}


def _tiled_cost(manifest: Manifest, options: SegmentOptions) -> int:
    row = 4 * sum(_channels(manifest, options).values())
    return row + (TILED_INSTANCE_COST if options.instances else 0)


def _differences(expected: Row, found: Row, _: Manifest) -> dict[str, float]:
    """Of each plane, the share of pixels that would be shown as something else."""
    planes = {name: _share_of_others(expected[name], found[name]) for name in PLANES if name in expected}
    return farthest(expected, found) | planes


def _share_of_others(wanted: NDArray[np.float32], given: NDArray[np.float32]) -> float:
    if wanted.shape[-1] == 1:
        return float(((wanted >= 0.5) != (given >= 0.5)).mean())
    return float((wanted.argmax(axis=-1) != given.argmax(axis=-1)).mean())


SEGMENT = Face(
    path="/segment",
    summary="Name every pixel of each image: the mask, and how much of the image each label covers.",
    options=SegmentOptions,
    response=SegmentResponse,
    examples={
        "areas": {
            "summary": "With mask=none: the areas alone.",
            "answer": {
                "width": 400,
                "height": 300,
                "classes": [
                    {"label": "background", "index": 0, "pixels": 90_000, "fraction": 0.75},
                    {"label": "pet", "index": 1, "pixels": 30_000, "fraction": 0.25},
                ],
                **dict.fromkeys(("mask", "instances", "instance_count")),
            },
        }
    },
    pictures="always",
)

SEGMENTATION = ServedTask(
    name="segmentation",
    face=SEGMENT,
    answer=_answer,
    columns=lambda manifest: ("width", "height", *(f"fraction of {label}" for label in manifest.labels)),
    rows=lambda found: [(found.width, found.height, *(each.fraction for each in found.classes))],
    words=lambda found: ", ".join(f"{each.label} {100 * each.fraction:.1f} %" for each in found.classes),
    threshold=_threshold,
    draw=_draw,
    pixel_cost=lambda options, picture: PIXEL_COSTS["png" if picture else options.mask],
    tiles=TileRule(
        gather=_Blended,
        told="their masks are blended: what is nearer to a tile's middle counts more",
        cost=_tiled_cost,
        pixels=lambda options: TILED_INSTANCE_PIXELS if options.instances else 2**28,
    ),
    outputs=_EveryPlane,
    differences=_differences,
    facts=_facts,
)
