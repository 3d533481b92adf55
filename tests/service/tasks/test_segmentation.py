"""A row of probabilities per pixel and its manifest make a mask, areas and objects."""

import base64
import io
from dataclasses import asdict
from typing import Literal

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco

from service.images import tiling
from service.images.codec import Photo
from service.options import SegmentOptions
from service.schemas import (
    ObjectPng,
    ObjectPolygons,
    ObjectRle,
    PngMask,
    PolygonMask,
    RleMask,
    Segmentation,
)
from service.tasks import segmentation
from service.tasks.segmentation import SEGMENTATION, Palette
from service.tasks.task import Row, Size
from tests.service.manifests import make_input, make_manifest

MANIFEST = make_manifest()
BINARY = make_manifest(labels=("background", "nucleus"), task="segmentation", threshold=0.3)


def raw(mask: NDArray[np.uint8], colours: Palette) -> bytes:
    """Encode a mask as its bytes, behind the number of colours."""
    return bytes([len(colours)]) + mask.tobytes()


def drawn_mask() -> NDArray[np.uint8]:
    """Return a mask `[6, 8]` with two regions of class 1 and one of class 2."""
    mask = np.zeros((6, 8), np.uint8)
    mask[0:2, 0:3] = 1
    mask[4, 6] = 1
    mask[3:6, 1:4] = 2
    return mask


def drawn_row(count: int = 3) -> Row:
    """Return the row of a model that is quite sure of `drawn_mask`."""
    return {
        "mask": np.where(np.arange(count) == drawn_mask()[..., None], 0.9, 0.1 / (count - 1)).astype(
            np.float32
        )
    }


SIZE = Size(width=8, height=6)


@pytest.mark.parametrize(("threshold", "expected"), [(None, [0, 1, 1]), (0.45, [0, 0, 1]), (0.0, [1, 1, 1])])
def test_two_classes_use_the_models_threshold(threshold: float | None, expected: list[int]) -> None:
    """With two classes the manifest's threshold decides, unless the request brings its own."""
    row = {"mask": np.asarray([0.2, 0.4, 0.5], np.float32).reshape(1, 3, 1)}
    mask = segmentation.class_mask(row, BINARY, SegmentOptions(threshold=threshold), Size(3, 1))
    assert mask.tolist() == [expected]


def test_several_classes_need_no_threshold() -> None:
    """With more classes the most probable one wins, however weak, unless the request sets a threshold."""
    row = {"mask": np.asarray([0.3, 0.4, 0.3], np.float32).reshape(1, 1, 3)}
    assert segmentation.class_mask(row, MANIFEST, SegmentOptions(), Size(1, 1)).tolist() == [[1]]
    assert segmentation.class_mask(row, MANIFEST, SegmentOptions(threshold=0.5), Size(1, 1)).tolist() == [[0]]


def test_mask_has_the_posted_images_shape() -> None:
    """The mask is as high and wide as the posted image, not turned."""
    row = {"mask": np.zeros((4, 4, 1), np.float32)}
    assert segmentation.class_mask(row, BINARY, SegmentOptions(), Size(width=30, height=20)).shape == (20, 30)


def test_areas_add_up() -> None:
    """Every class is measured, absent ones with 0 pixels, and the pixels add up to the image."""
    row = {"mask": drawn_row()["mask"] @ np.asarray([[1, 0, 0], [0, 1, 0], [0, 1, 0]], np.float32)}
    answer = segmentation.segment(row, MANIFEST, SegmentOptions(mask="none"), SIZE, raw)
    assert [(each.label, each.index, each.pixels) for each in answer.classes] == [
        ("disc", 0, 32),
        ("box", 1, 16),
        ("star", 2, 0),
    ]
    assert sum(each.pixels for each in answer.classes) == answer.width * answer.height == 48
    assert answer.classes[1].fraction == round(16 / 48, 6)


def test_no_mask_is_no_mask() -> None:
    """With mask=none there are only the measures, and instances only where asked for."""
    answer = segmentation.segment(drawn_row(), MANIFEST, SegmentOptions(mask="none"), SIZE, raw)
    assert answer.mask is None
    assert answer.instances is None


def test_png_is_base64_of_the_encoders_bytes() -> None:
    """The PNG encoder gets the indices and one colour per label, and its bytes come as base64."""
    answer = segmentation.segment(drawn_row(), MANIFEST, SegmentOptions(), SIZE, raw)
    assert isinstance(answer.mask, PngMask)
    assert base64.b64decode(answer.mask.data) == bytes([3]) + drawn_mask().tobytes()


def test_run_lengths_come_per_class() -> None:
    """Each class but the background has its runs, which decode to its pixels; absent ones too."""
    manifest = make_manifest(labels=("background", "a", "b", "absent"))
    answer = segmentation.segment(drawn_row(4), manifest, SegmentOptions(mask="rle"), SIZE, raw)
    assert isinstance(answer.mask, RleMask)
    assert [each.label for each in answer.mask.classes] == ["a", "b", "absent"]
    for index, each in enumerate(answer.mask.classes, start=1):
        decoded = coco.decode({"size": list(each.size), "counts": each.counts.encode()})
        assert (decoded == (drawn_mask() == index)).all()


def test_polygons_come_per_class() -> None:
    """Each class but the background has its outlines, which fill to its pixels."""
    answer = segmentation.segment(drawn_row(), MANIFEST, SegmentOptions(mask="polygons"), SIZE, raw)
    assert isinstance(answer.mask, PolygonMask)
    assert [(each.label, len(each.outlines)) for each in answer.mask.classes] == [("box", 2), ("star", 1)]
    for index, each in enumerate(answer.mask.classes, start=1):
        canvas = np.zeros((6, 8), np.uint8)
        cv2.fillPoly(canvas, [np.asarray(flat, np.int32).reshape(-1, 1, 2) for flat in each.outlines], 1)
        assert (canvas == (drawn_mask() == index)).all()


@pytest.mark.parametrize("mask", ["none", "png", "rle", "polygons"])
def test_instances_are_listed_with_label_box_area_and_score(
    mask: Literal["none", "png", "rle", "polygons"],
) -> None:
    """Each object of each class is listed, the largest first, and how many there are is told."""
    answer = segmentation.segment(drawn_row(), MANIFEST, SegmentOptions(mask=mask, instances=True), SIZE, raw)
    assert answer.instances is not None
    assert [(each.label, each.area, tuple(asdict(each.box).values())) for each in answer.instances] == [
        ("box", 6, (0, 0, 3, 2)),
        ("box", 1, (6, 4, 7, 5)),
        ("star", 9, (1, 3, 4, 6)),
    ]
    assert [each.score for each in answer.instances] == [0.9, 0.9, 0.9]
    assert answer.instance_count == 3
    if mask == "none":
        assert [each.mask for each in answer.instances] == [None] * 3


def test_each_instance_has_its_mask_as_png() -> None:
    """With mask=png an object's mask is a picture of its box, of two colours: black and its class's."""
    answer = segmentation.segment(drawn_row(), MANIFEST, SegmentOptions(instances=True), SIZE, raw)
    assert answer.instances is not None
    first = answer.instances[0].mask
    assert isinstance(first, ObjectPng)
    assert base64.b64decode(first.data) == bytes([2]) + bytes([1] * 6)


def test_each_instance_has_its_mask_as_run_lengths() -> None:
    """With mask=rle an object's runs are of the whole image, and decode to its pixels alone."""
    answer = segmentation.segment(
        drawn_row(), MANIFEST, SegmentOptions(mask="rle", instances=True), SIZE, raw
    )
    assert answer.instances is not None
    covered = np.zeros((6, 8), np.uint8)
    for each, index in zip(answer.instances, (1, 1, 2), strict=True):
        assert isinstance(each.mask, ObjectRle)
        decoded = coco.decode({"size": list(each.mask.size), "counts": each.mask.counts.encode()})
        assert decoded.sum() == each.area
        covered += decoded * np.uint8(index)
    assert (covered == drawn_mask()).all()


def test_each_instance_has_its_mask_as_polygons() -> None:
    """With mask=polygons an object's outlines lie where it is in the whole image."""
    answer = segmentation.segment(
        drawn_row(), MANIFEST, SegmentOptions(mask="polygons", instances=True), SIZE, raw
    )
    assert answer.instances is not None
    covered = np.zeros((6, 8), np.uint8)
    for each, index in zip(answer.instances, (1, 1, 2), strict=True):
        assert isinstance(each.mask, ObjectPolygons)
        cv2.fillPoly(
            covered, [np.asarray(flat, np.int32).reshape(-1, 1, 2) for flat in each.mask.outlines], index
        )
        assert each.mask.holes == ()
    assert (covered == drawn_mask()).all()


def test_palette_has_a_colour_per_label() -> None:
    """There are as many colours as asked for, the first black, the first seven all different."""
    assert len(segmentation.palette(40)) == 40
    assert segmentation.palette(2)[0] == (0, 0, 0)
    assert len(set(segmentation.palette(7))) == 7


def test_an_answer_in_a_table_and_in_words() -> None:
    """The image's size, and which part of it each label has."""
    task = segmentation.SEGMENTATION
    row = {"mask": np.asarray([0.2, 0.4, 0.5, 0.1], np.float32).reshape(1, 4, 1)}
    answer = segmentation.segment(row, BINARY, SegmentOptions(), Size(4, 1), raw)
    assert task.columns(BINARY) == ("width", "height", "fraction of background", "fraction of nucleus")
    assert task.rows(answer) == [(4, 1, 0.5, 0.5)]
    assert task.words(answer) == "background 50.0 %, nucleus 50.0 %"


def test_a_letterboxed_mask_is_of_the_image_alone() -> None:
    """What the network says of its padding is in no mask, no area, no object and no picture; how familiar the
    image is stays told.
    """
    spec = make_input(16, 16, 3, "letterbox")
    manifest = make_manifest(
        task="segmentation", labels=("background", "nucleus"), threshold=0.5, input=spec.model_dump()
    )
    # An image of 32x16 lies in rows 4 to 12: a nucleus in columns 2 to 6 there, and all of the padding.
    row = np.ones((16, 16, 1), np.float32)
    row[4:12] = 0
    row[6:10, 2:6] = 1
    size = Size(32, 16)
    options = SegmentOptions(mask="png", instances=True)
    rows = {"mask": row, "familiarity": np.asarray(0.25, np.float32)}
    answer = segmentation.SEGMENTATION.answer(rows, manifest, options, size)
    assert isinstance(answer, Segmentation)
    assert answer.familiarity == 0.25
    assert (answer.width, answer.height) == (32, 16)
    assert isinstance(answer.mask, PngMask)
    found = np.asarray(Image.open(io.BytesIO(base64.b64decode(answer.mask.data))))
    expected = np.zeros((16, 32), np.uint8)
    expected[4:12, 4:12] = 1
    assert (found == expected).all()
    assert answer.instances
    assert answer.instance_count == len(answer.instances) == 1
    assert asdict(answer.instances[0].box) == {"x_min": 4, "y_min": 4, "x_max": 12, "y_max": 12}
    assert answer.classes[1].pixels == 64
    assert segmentation.SEGMENTATION.draw
    photo = Photo(Image.new("RGB", (32, 16)), 32, 16)
    picture = segmentation.SEGMENTATION.draw(photo, {"mask": row}, manifest, options)
    assert (np.asarray(Image.open(io.BytesIO(picture))) == expected).all()


@pytest.mark.parametrize("resize", ["stretch", "letterbox", "tile"])
def test_borders_tell_instances_apart(resize: str) -> None:
    """By every resize rule, where the model tells them beside its mask; the mask itself is whole."""
    spec = make_input(32, 32, 3, resize, overlap=8 if resize == "tile" else 0)
    planes = [{"name": name, "shape": (32, 32, 1), "meaning": ""} for name in ("mask", "border")]
    labels = ("background", "brick")
    manifest = make_manifest(
        task="segmentation", labels=labels, threshold=0.5, input=spec.model_dump(), outputs=planes
    )
    size, options = Size(32, 16), SegmentOptions(mask="none", instances=True)
    row: Row = {name: np.zeros((32, 32, 1), np.float32) for name in ("mask", "border")}
    row["mask"][10:22, 4:28] = 0.9
    row["border"][10:22, 15:17] = 0.8
    if resize == "tile":
        assert SEGMENTATION.tiles
        plan = tiling.tiled((size.width, size.height), (32, 32), 8)
        gathering = SEGMENTATION.tiles.gather(plan, manifest, options)
        gathering.add((0, 0), {name: plane[8:24] for name, plane in row.items()})
        row = gathering.row()
        assert (
            SEGMENTATION.tiles.cost(manifest, options) - SEGMENTATION.tiles.cost(manifest, SegmentOptions())
            > 4
        )
    answer = SEGMENTATION.answer(row, manifest, options, size)
    assert isinstance(answer, Segmentation)
    assert answer.instances
    assert answer.instance_count == 2
    assert sum(each.area for each in answer.instances) == answer.classes[1].pixels
    alone = SEGMENTATION.answer({"mask": row["mask"]}, manifest, options, size)
    assert isinstance(alone, Segmentation)
    assert alone.instance_count == 1
    assert "within the borders" in dict(SEGMENTATION.facts(manifest))["Objects"]
