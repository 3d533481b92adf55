"""Folders whose images have many objects, one, or none: all boxes are learnt, whatever the label files."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from service.images import fitting
from tests.training.folders import load, mask_folder, picture
from training.commands.inspection import describe, inspect
from training.datasets import DatasetError
from training.datasets.dataset import IGNORED, NOTHING, Request
from training.datasets.objects import padded
from training.datasets.own.layout import list_folder

VOC = "<annotation><size><width>40</width><height>30</height></size>{}</annotation>"
BOX = "<bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox>"
OBJECT = f"<object><name>{{}}</name>{BOX}</object>"
COUNT, SIZE = 12, (40, 30)
CAT, DOG = (4, 3, 12, 12), (20, 9, 40, 30)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def photos(folder: Path) -> list[Path]:
    """Twelve photos of which every third shows nothing, and the others a cat and a dog."""
    paths = [folder / "images" / f"{number:02d}.png" for number in range(COUNT)]
    for path in paths:
        picture(path, SIZE)
    return paths


def shown(number: int) -> dict[str, tuple[int, int, int, int]]:
    return {} if number % 3 == 0 else {"cat": CAT, "dog": DOG}


def lay_voc(folder: Path) -> None:
    for number, path in enumerate(photos(folder)):
        some = [OBJECT.format(name, a + 1, b + 1, c, d) for name, (a, b, c, d) in shown(number).items()]
        write(folder / "Annotations" / f"{path.stem}.xml", VOC.format("".join(some)))


def lay_coco(folder: Path) -> None:
    images: list[dict[str, object]] = []
    boxes: list[dict[str, object]] = []
    for number, path in enumerate(photos(folder)):
        images.append({"id": number, "file_name": path.name, "width": 40, "height": 30})
        for name, (a, b, c, d) in shown(number).items():
            kind = ["cat", "dog"].index(name)
            boxes.append(
                {"id": len(boxes), "image_id": number, "category_id": kind, "bbox": [a, b, c - a, d - b]}
            )
    kinds = [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}]
    document = {"images": images, "annotations": boxes, "categories": kinds}
    write(folder / "coco.json", json.dumps(document))


def lay_csv(folder: Path) -> None:
    lines = ["file,x_min,y_min,x_max,y_max,label"]
    for number, path in enumerate(photos(folder)):
        rows = [",".join(map(str, (path.name, *box, name))) for name, box in shown(number).items()]
        # A line of blanks, as RetinaNet's and others' tables have it, says that nothing is there.
        lines += rows or [f"{path.name},,,,,"]
    write(folder / "boxes.csv", "\n".join(lines))


def lay_yolo(folder: Path) -> None:
    write(folder / "classes.txt", "cat\ndog\n")
    for number, path in enumerate(photos(folder)):
        lines = [
            f"{kind} {(a + c) / 80:.6f} {(b + d) / 60:.6f} {(c - a) / 40:.6f} {(d - b) / 30:.6f}"
            for kind, (a, b, c, d) in enumerate(shown(number).values())
        ]
        write(folder / "labels" / f"{path.stem}.txt", "\n".join(lines))


def lay_labelme(folder: Path) -> None:
    for number, path in enumerate(photos(folder)):
        shapes = [
            {"label": name, "shape_type": "rectangle", "points": [[a, b], [c, d]]}
            for name, (a, b, c, d) in shown(number).items()
        ]
        document = {"shapes": shapes, "imagePath": path.name, "imageWidth": 40, "imageHeight": 30}
        write(path.with_suffix(".json"), json.dumps(document))


LAYOUTS = (lay_voc, lay_coco, lay_csv, lay_yolo, lay_labelme)


@pytest.mark.parametrize("lay", LAYOUTS)
def test_all_boxes_are_learnt_and_images_without_one_too(tmp_path: Path, lay: Callable[[Path], None]) -> None:
    """Every layout gives the same objects; nobody has to say that there are several."""
    lay(tmp_path)
    assert list_folder(tmp_path).task == "detection"
    splits = load(tmp_path, "detection")
    assert splits.labels == ("cat", "dog")
    counts = []
    for part in (splits.train, splits.validation, splits.test):
        assert part.objects is not None
        for objects in part.objects:
            real = objects[objects[:, 4] >= 0]
            counts.append(len(real))
            for box, (*found, label) in zip((CAT, DOG), real.tolist(), strict=False):
                np.testing.assert_allclose(found, np.asarray(box) / (40, 30, 40, 30), atol=1e-5)
                assert splits.labels[int(label)] == ("cat" if box == CAT else "dog")
    assert sorted(counts) == [0] * 4 + [2] * 8
    again = load(tmp_path, "detection")
    np.testing.assert_array_equal(again.train.objects, splits.train.objects)


def test_one_box_each_is_localization(tmp_path: Path) -> None:
    """Where each image has exactly one box, the one that is learnt is all there is."""
    for number in range(3):
        picture(tmp_path / f"{number}.png", SIZE)
        write(tmp_path / f"{number}.xml", VOC.format(OBJECT.format("cat", 1, 1, 9, 9)))
    assert list_folder(tmp_path).task == "localization"
    write(tmp_path / "0.xml", VOC.format(""))
    assert list_folder(tmp_path).task == "detection"


def test_difficult_and_crowded_objects_do_not_count(tmp_path: Path) -> None:
    """What VOC calls difficult and COCO a crowd is kept, to be passed over, and is no class of its own."""
    hard = OBJECT.format("wolf", 21, 10, 40, 30).replace("</name>", "</name><difficult>1</difficult>")
    for number in range(6):
        picture(tmp_path / "voc" / f"{number}.png", SIZE)
        write(tmp_path / "voc" / f"{number}.xml", VOC.format(OBJECT.format("cat", 5, 4, 12, 12) + hard))
        picture(tmp_path / "coco" / f"{number}.png", SIZE)
    boxes = [
        {"id": 2 * number + crowd, "image_id": number, "category_id": 1, "bbox": box, "iscrowd": crowd}
        for number in range(6)
        for crowd, box in enumerate(([4, 3, 8, 9], [20, 9, 20, 21]))
    ]
    images = [{"id": number, "file_name": f"{number}.png"} for number in range(6)]
    document = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "cat"}]}
    write(tmp_path / "coco" / "boxes.json", json.dumps(document))
    for folder in ("voc", "coco"):
        splits = load(tmp_path / folder, "detection")
        assert splits.labels == ("cat",)
        assert splits.train.objects is not None
        assert splits.train.objects[0, :, 4].tolist() == [0, IGNORED]
        np.testing.assert_allclose(splits.train.objects[0, 1, :4], (0.5, 0.3, 1, 1), atol=1e-6)


def test_numbered_masks_give_boxes(tmp_path: Path) -> None:
    """Around each number of a mask is a box, to the last pixel; masks that number nothing are refused."""
    masks = []
    for number in range(6):
        mask = np.zeros((16, 24), np.uint16)
        mask[2:5, 3:9], mask[8:16, 20:24] = 300 + number, 7
        masks.append(mask)
    folder = mask_folder(tmp_path, [Image.fromarray(mask) for mask in masks])
    (folder / "classes.txt").unlink(missing_ok=True)
    splits = load(folder, "detection", masks="instances")
    assert len(splits.labels) == 1
    assert splits.train.objects is not None
    rows = sorted(splits.train.objects[0, :, :4].tolist())
    np.testing.assert_allclose(rows, [(3 / 24, 2 / 16, 9 / 24, 5 / 16), (20 / 24, 8 / 16, 1, 1)], atol=1e-6)
    with pytest.raises(DatasetError, match="do not number objects"):
        load(folder, "detection", masks="binary")


def test_what_a_crop_leaves_of_an_object() -> None:
    """Of what lies outside of the frame nothing is left, a quarter or more is learnt, less does not count."""
    frame = Request("detection", 30, 30, 3, resize="crop")
    boxes = [(0.0, 0.0, 0.1, 1.0), (0.0, 0.2, 0.5, 0.4), (0.04, 0.5, 0.14, 0.9)]
    found = padded([((40, 30), [(box, 0) for box in boxes]), ((40, 30), [])], frame)
    assert found.shape == (2, 2, 5)
    assert found[0, :, 4].tolist() == [0, IGNORED]
    np.testing.assert_allclose(found[0, 0, :4], (0, 0.2, 0.5, 0.4), atol=1e-6)
    assert (found[1, :, 4] == NOTHING).all()


fractions = st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted).filter(lambda two: two[1] - two[0] > 0.01)
many_boxes = st.lists(st.tuples(fractions, fractions), max_size=40)
frames = st.sampled_from(
    [
        Request("detection", 24, 40, 3, resize=rule, crop_share=share)  # type: ignore[arg-type]
        for rule, share in (("stretch", 1), ("letterbox", 1), ("crop", 1), ("crop", 0.75))
    ]
)


@given(
    sizes=st.lists(st.tuples(st.integers(8, 3000), st.integers(8, 3000)), min_size=1, max_size=3),
    many=many_boxes,
    frame=frames,
)
def test_many_boxes_come_into_the_frame_as_they_come_out_of_it(
    sizes: list[tuple[int, int]], many: list[tuple[list[float], list[float]]], frame: Request
) -> None:
    """By every resize rule: what is in sight of each box is where the service tells it to be, in their order;
    of the others nothing is left.
    """
    boxes = [(across[0], down[0], across[1], down[1]) for across, down in many]
    found = padded([(size, [(box, 0) for box in boxes]) for size in sizes], frame)
    assert ((found[..., :4] >= 0) & (found[..., :4] <= 1)).all()
    for size, rows in zip(sizes, found, strict=True):
        seen = fitting.placed(size, frame).seen
        low, high = np.divide(seen[:2], size), np.divide(seen[2:], size)
        expected = [(*np.maximum(box[:2], low), *np.minimum(box[2:], high)) for box in boxes]
        again = [fitting.box_out_of(row[:4].tolist(), size, frame) for row in rows if row[4] != NOTHING]
        told, there = (
            np.reshape([one for one in some if min(one[2] - one[0], one[3] - one[1]) > 1e-6], (-1, 4))
            for some in (again, expected)
        )
        np.testing.assert_allclose(told, there, atol=1e-5)


def test_inspect_tells_of_objects(tmp_path: Path) -> None:
    """Objects per image, their sizes and how far they overlap are told, and which images show each class."""
    lay_coco(tmp_path)
    told = inspect(tmp_path)
    assert told.task == "detection"
    assert told.sound
    assert told.objects["per image"] == {"min": 0, "median": 2, "max": 2}
    assert told.objects["side"]["min"] == pytest.approx((8 * 9 / 1200) ** 0.5, abs=1e-3)
    assert told.objects["overlap"]["max"] == 0
    text = describe(told)
    assert "16 objects" in text
    assert "objects per image: min 0, median 2, max 2" in text
