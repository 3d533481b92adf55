"""Label files as the well-known tools write them: every object is where the tool put it."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_masks

from tests.training.sets import blob, photo, voc, write
from training.commands.inspection import inspect
from training.datasets import DatasetError, Question, Request, Task
from training.datasets.own.folder import load, mask_meaning
from training.datasets.own.layout import list_folder
from training.datasets.own.listing import Listing
from training.datasets.own.survey import Canvas, Survey, canvas, survey


def look(folder: Path, task: Task, labels: str = "") -> Survey:
    """Return what is read of the folder at its pictures' own size."""
    return read(list_folder(folder, task, labels))[0]


def read(listing: Listing) -> tuple[Survey, Canvas]:
    """Return what is read of a listing at its pictures' own size, and the pixels."""
    request = Request(listing.task, 30, 40, 3)
    onto = canvas(listing, request)
    return survey(listing, request, onto), onto


def boxes(found: Survey) -> dict[str, tuple[str, tuple[float, ...]]]:
    """Return label and box in pixels of each image, rounded."""
    rounded = {
        one.item.path.name: (one.item.label, tuple(round(side, 2) for side in one.item.box or ()))
        for one in found.seen
    }
    assert not found.faults
    return dict(sorted(rounded.items()))


def drawn(folder: Path) -> tuple[tuple[str, ...], list[Any]]:
    """Return the classes, and the masks in their numbers, by the images' names."""
    found, onto = read(list_folder(folder, "segmentation"))
    assert not found.faults
    assert onto.masks is not None
    meaning = mask_meaning(found, found.seen, "")
    rows = sorted(found.seen, key=lambda one: one.item.path.name)
    return meaning.labels, [meaning.index(onto.masks[one.row], one.values) for one in rows if one.values]


# ---- YOLO


def yolo(folder: Path, lines: dict[str, str], names: str = "names: [cat, dog]\n") -> None:
    for number, (name, text) in enumerate(lines.items()):
        photo(folder / "images" / f"{name}.png", number)
        write(folder / "labels" / f"{name}.txt", text)
    write(folder / "data.yaml", f"path: ../datasets/own\ntrain: images/train\nval: images/val\n{names}")


def test_yolo_boxes_are_fractions(tmp_path: Path) -> None:
    """Class, centre and size become pixels; the parts are those of the folders; the names data.yaml's."""
    yolo(tmp_path, {"train/1": "1 0.5 0.5 0.5 0.2\n0 0.1 0.1 0.1 0.1\n", "val/2": "0 0.25 0.5 0.5 1\n"})
    found = look(tmp_path, "localization")
    assert boxes(found) == {"1.png": ("dog", (10, 12, 30, 18)), "2.png": ("cat", (0, 0, 20, 30))}
    assert {one.item.path.name: one.item.part for one in found.seen} == {
        "1.png": "train",
        "2.png": "validation",
    }
    assert list_folder(tmp_path).task == "detection"


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("data.yaml", "names:\n  0: cat\n  1: dog\n"),
        ("classes.txt", "cat\ndog\n"),
        ("obj.names", "cat\ndog\n"),
        ("_darknet.labels", "cat\ndog"),
        ("notes.json", {"categories": [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}], "info": {}}),
    ],
)
def test_yolo_names(tmp_path: Path, file: str, text: object) -> None:
    """The classes' names are those of Ultralytics, Darknet, Roboflow and Label Studio; else numbers."""
    photo(tmp_path / "1.png")
    write(tmp_path / "1.txt", "1 0.5 0.5 0.5 0.2")
    assert boxes(look(tmp_path, "localization")) == {"1.png": ("class 1", (10, 12, 30, 18))}
    write(tmp_path / file, text)
    assert boxes(look(tmp_path, "localization")) == {"1.png": ("dog", (10, 12, 30, 18))}
    assert not list_folder(tmp_path, "localization").notes


def test_yolo_images_without_objects(tmp_path: Path) -> None:
    """An empty file and a missing one are images without objects: left out and counted, or all background."""
    yolo(tmp_path, {"1": "0 0.5 0.5 0.5 0.2", "2": "", "3": "0 0.1 0.1 0.9 0.1 0.9 0.9"})
    photo(tmp_path / "images" / "4.png", 4)
    listing = list_folder(tmp_path, "localization")
    assert [item.path.stem for item in listing.items] == ["1", "3"]
    assert "2 images have no object in their label files, and are left out" in listing.warnings
    (tmp_path / "labels" / "1.txt").unlink()
    labels, masks = drawn(tmp_path)
    assert labels == ("background", "cat")
    assert [int(mask.sum()) > 0 for mask in masks] == [False, False, True, False]


def test_yolo_outlines(tmp_path: Path) -> None:
    """Polygons are drawn as masks, and without a task one is asked for."""
    yolo(tmp_path, {"1": "1 0.25 0.2 0.75 0.2 0.75 0.6 0.25 0.6\n", "2": "0 0 0 0.5 0 0.5 1 0 1\n"})
    labels, (first, second) = drawn(tmp_path)
    assert labels == ("background", "cat", "dog")
    expected = np.zeros((30, 40), np.uint8)
    expected[6:18, 10:30] = 2
    assert np.array_equal(first, expected)
    assert np.array_equal(second[:, :20], np.ones((30, 20)))
    assert not second[:, 20:].any()
    assert boxes(look(tmp_path, "localization"))["1.png"] == ("dog", (10, 6, 30, 18))
    with pytest.raises(Question, match="--task segment"):
        list_folder(tmp_path)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("2 0.5 0.5 0.1 0.1", "there is no class 2: data.yaml names 2, from 0"),
        ("0 20 15 10 10", "no fractions of width and height"),
        ("0 0.5 0.5 0.1 0.1 0.9", "six numbers, as an answer with its score has"),
        ("cat 0.5 0.5 0.1 0.1", "a class number and fractions are expected"),
        ("0.5 0.5 0.5 0.1 0.1", "the class must be a whole number"),
        ("0 0.5 0.5", "three points or more"),
        ("0 0.9 0.5 0.5 0.1", "goes beyond the image"),
        ("0 0.5 0.5 0 0", "is empty"),
        ("0 0.5 0.5 nan 0.1", "a class number and fractions are expected"),
    ],
)
def test_yolo_faults(tmp_path: Path, line: str, told: str) -> None:
    """What is wrong with a line is told with the file and the line."""
    yolo(tmp_path, {"1": f"0 0.5 0.5 0.5 0.2\n{line}\n", "2": "0 0.5 0.5 0.5 0.2", "3": "0 0.5 0.5 0.5 0.2"})
    (fault,) = look(tmp_path, "localization").faults
    assert told in str(fault)
    assert "line 2" in str(fault)
    assert "labels/1.txt" in str(fault)


def test_yolo_divides_by_data_yaml(tmp_path: Path) -> None:
    """Folders that data.yaml gives to train, val and test are these parts, whatever they are called."""
    for number, place in enumerate(("one", "one", "two", "three")):
        photo(tmp_path / "images" / place / f"{number}.png", number)
        write(tmp_path / "labels" / place / f"{number}.txt", "0 0.5 0.5 0.5 0.2")
    text = (
        "path: /nowhere/own\ntrain: [images/one]\nval: images/two\ntest: ../images/three\nnames: {0: cat}\n"
    )
    write(tmp_path / "data.yaml", text)
    listing = list_folder(tmp_path)
    assert [(item.path.stem, item.part) for item in listing.items] == [
        ("0", "train"),
        ("1", "train"),
        ("3", "test"),
        ("2", "validation"),
    ]
    assert "data.yaml divide the images: train 2, validation 1, test 1" in listing.notes


# ---- COCO


def coco(folder: Path, annotations: list[dict[str, Any]], name: str = "instances.json") -> None:
    for number in range(3):
        photo(folder / "images" / f"{number}.png", number)
    images = [{"id": number, "file_name": f"{number}.png", "width": 40, "height": 30} for number in range(3)]
    categories = [{"id": 7, "name": "cat"}, {"id": 3, "name": "dog"}]
    rows = [{"id": place, "iscrowd": 0} | row for place, row in enumerate(annotations)]
    write(folder / "annotations" / name, {"images": images, "annotations": rows, "categories": categories})


def test_coco_outlines(tmp_path: Path) -> None:
    """Polygons, plain and compressed run lengths and crowds are masks; an image without any is background."""
    cover = blob(1).astype(bool)
    packed = coco_masks.encode(np.asfortranarray(cover.astype(np.uint8)))
    text = {"size": [30, 40], "counts": packed["counts"].decode()}
    flat = np.concatenate([[0], cover.T.ravel().astype(np.int8), [0]])
    edges = np.flatnonzero(np.diff(flat))
    counts = np.diff(np.concatenate([[0], edges, [cover.size]])).tolist()
    square = [10.0, 6, 30, 6, 30, 18, 10, 18]
    coco(
        tmp_path,
        [
            {"image_id": 0, "category_id": 7, "bbox": [10, 6, 20, 12], "segmentation": [square]},
            {
                "image_id": 0,
                "category_id": 3,
                "bbox": [12, 8, 2, 2],
                "segmentation": [[12, 8, 14, 8, 14, 10, 12, 10]],
            },
            {"image_id": 1, "category_id": 3, "bbox": [8, 5, 10, 10], "segmentation": text},
            {
                "image_id": 1,
                "category_id": 7,
                "bbox": [8, 5, 10, 10],
                "iscrowd": 1,
                "segmentation": {"size": [30, 40], "counts": counts},
            },
        ],
    )
    labels, (first, second, third) = drawn(tmp_path)
    assert labels == ("background", "cat", "dog")
    expected = np.zeros((30, 40), np.uint8)
    expected[6:18, 10:30] = 1
    expected[8:10, 12:14] = 2  # the smaller lies on top
    assert np.array_equal(first, expected)
    assert np.array_equal(second > 0, cover)
    assert not third.any()
    # For boxes the crowd does not count, and the image without an object is told.
    listing = list_folder(tmp_path, "localization")
    assert [(item.path.name, item.label) for item in listing.items] == [("0.png", "cat"), ("1.png", "dog")]
    assert "1 images have no object in their label files, and are left out" in listing.warnings


@pytest.mark.parametrize(
    ("outline", "told"),
    [
        ([[1, 2, 3, 4]], "three points or more"),
        ([[1, 2, 3, 4, 5, "x"]], "could not convert"),
        ({"size": [30, 40], "counts": [1200, 1]}, "add up to 1201"),
        ({"size": [40, 30], "counts": [1200]}, "are of 30x40, the upright image is 40x30"),
        ({"size": [30, 40]}, "segmentation must be"),
        ([], "has no outline"),
    ],
)
def test_bad_outlines_are_named(tmp_path: Path, outline: object, told: str) -> None:
    """An outline that is none is told with its annotation, and never drawn as something else."""
    good = {"image_id": 1, "category_id": 3, "bbox": [8, 5, 9, 9], "segmentation": [[8, 5, 17, 5, 17, 14]]}
    coco(tmp_path, [good, {"image_id": 0, "category_id": 7, "bbox": [1, 1, 5, 5], "segmentation": outline}])
    faults = look(tmp_path, "segmentation").faults
    assert any(told in str(fault) for fault in faults)
    assert {fault.file for fault in faults} <= {"annotations/instances.json", "images/0.png"}
    assert "annotation 1" in str(faults)


def test_coco_as_it_is_published(tmp_path: Path) -> None:
    """train2017/ and val2017/, a file of instances for each, and captions and key points beside them."""
    for number, part in enumerate(("train2017", "val2017")):
        photo(tmp_path / part / f"{number}.jpg", number)
        images = [{"id": number, "file_name": f"{number}.jpg", "width": 40, "height": 30}]
        row = {
            "id": 1,
            "image_id": number,
            "category_id": 1,
            "bbox": [1, 2, 9, 9],
            "iscrowd": 0,
            "segmentation": [],
        }
        document = {"images": images, "annotations": [row], "categories": [{"id": 1, "name": "person"}]}
        write(tmp_path / "annotations" / f"instances_{part}.json", document)
        points = {"annotations": [row | {"num_keypoints": 1, "keypoints": [3, 3, 2]}]}
        write(tmp_path / "annotations" / f"person_keypoints_{part}.json", document | points)
        caption = {"images": images, "annotations": [{"id": 1, "image_id": number, "caption": "A person."}]}
        write(tmp_path / "annotations" / f"captions_{part}.json", caption)
    listing = list_folder(tmp_path)
    assert (listing.task, listing.faults, listing.warnings) == ("localization", (), ())
    assert [(item.path.name, item.label, item.part) for item in listing.items] == [
        ("0.jpg", "person", "train"),
        ("1.jpg", "person", "validation"),
    ]


# ---- Roboflow


@pytest.mark.parametrize("kind", ["coco", "csv", "voc", "yolo", "one-hot"])
def test_roboflow(tmp_path: Path, kind: str) -> None:
    """Its exports have train/, valid/ and test/, each with the labels beside the images."""
    for number, part in enumerate(("train", "valid", "test")):
        name = f"a_jpg.rf.{number}abc"
        image = tmp_path / part / ("images" * (kind == "yolo")) / f"{name}.jpg"
        photo(image, number)
        row = {
            "id": 0,
            "image_id": 0,
            "category_id": 1,
            "bbox": [4, 6, 20, 12],
            "area": 240,
            "segmentation": [],
        }
        document = {
            "info": {},
            "categories": [{"id": 0, "name": "cells"}, {"id": 1, "name": "WBC", "supercategory": "cells"}],
            "images": [{"id": 0, "file_name": image.name, "height": 30, "width": 40}],
            "annotations": [row],
        }
        table = f"filename,width,height,class,xmin,ymin,xmax,ymax\n{image.name},40,30,WBC,4,6,24,18\n"
        xml = (
            f"<annotation><filename>{image.name}</filename><size><width>40</width><height>30</height></size>"
            "<object><name>WBC</name><bndbox><xmin>5</xmin><xmax>24</xmax><ymin>7</ymin><ymax>18</ymax></bndbox>"
            "</object></annotation>"
        )
        files: dict[str, tuple[str, object]] = {
            "coco": ("_annotations.coco.json", document),
            "csv": ("_annotations.csv", table),
            "voc": (f"{name}.xml", xml),
            "yolo": (f"labels/{name}.txt", "0 0.35 0.4 0.5 0.4"),
            "one-hot": ("_classes.csv", f"filename, RBC, WBC\n{image.name}, 0, 1\n"),
        }
        write(tmp_path / part / files[kind][0], files[kind][1])
    write(tmp_path / "README.roboflow.txt", "\nblood - v1\n")
    if kind == "yolo":
        text = "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n\nnc: 1\nnames: ['WBC']\n"
        write(tmp_path / "data.yaml", text)
    listing = list_folder(tmp_path)
    assert listing.task == ("classification" if kind == "one-hot" else "localization")
    assert sorted(str(item.part) for item in listing.items) == ["test", "train", "validation"]
    found = look(tmp_path, listing.task)
    box = () if kind == "one-hot" else (4, 6, 24, 18)
    assert set(boxes(found).values()) == {("WBC", box)}
    assert not listing.warnings


def test_csv_states_the_size(tmp_path: Path) -> None:
    """Where a CSV has corners and the image's width and height, an image of another size is a fault."""
    photo(tmp_path / "1.png")
    write(
        tmp_path / "_annotations.csv",
        "filename,width,height,class,xmin,ymin,xmax,ymax\n1.png,80,60,a,4,6,24,18\n",
    )
    (fault,) = look(tmp_path, "localization").faults
    assert "its label file says 80x60, the upright image is 40x30" in str(fault)


# ---- LabelMe


def labelme(folder: Path, name: str, shapes: list[dict[str, Any]], seed: int = 0) -> None:
    photo(folder / f"{name}.png", seed)
    rows = [{"group_id": None, "description": "", "flags": {}, "mask": None} | shape for shape in shapes]
    document = {
        "version": "5.5.0",
        "flags": {},
        "shapes": rows,
        "imagePath": f"{name}.png",
        "imageData": "AAAA",
        "imageHeight": 30,
        "imageWidth": 40,
    }
    write(folder / f"{name}.json", document)


def test_labelme(tmp_path: Path) -> None:
    """Polygons, rectangles by any two corners, circles and bitmaps are boxes and masks."""
    buffer = io.BytesIO()
    Image.fromarray(np.ones((4, 6), bool)).save(buffer, "PNG")
    bitmap = base64.b64encode(buffer.getvalue()).decode()
    square = [[10, 6], [30, 6], [30, 18], [10, 18]]
    labelme(tmp_path, "1", [{"label": "cat", "points": square, "shape_type": "polygon"}])
    labelme(tmp_path, "2", [{"label": "dog", "points": [[30, 18], [10, 6]], "shape_type": "rectangle"}], 1)
    labelme(tmp_path, "3", [{"label": "dog", "points": [[20, 15], [20, 25]], "shape_type": "circle"}], 2)
    mask = {"label": "cat", "points": [[3, 4], [8, 7]], "shape_type": "mask", "mask": bitmap}
    labelme(tmp_path, "4", [mask], 3)
    assert boxes(look(tmp_path, "localization")) == {
        "1.png": ("cat", (10, 6, 30, 18)),
        "2.png": ("dog", (10, 6, 30, 18)),
        "3.png": ("dog", (10, 5, 30, 25)),
        "4.png": ("cat", (3, 4, 9, 8)),
    }
    labels, masks = drawn(tmp_path)
    assert labels == ("background", "cat", "dog")
    expected = np.zeros((30, 40), np.uint8)
    expected[6:18, 10:30] = 1
    assert np.array_equal(masks[0], expected)
    assert np.array_equal(masks[1], 2 * expected)
    assert abs(int((masks[2] == 2).sum()) - 314) < 12
    assert np.array_equal(np.argwhere(masks[3])[[0, -1]], [[4, 3], [7, 8]])


def test_labelme_faults(tmp_path: Path) -> None:
    """A shape without area and a file that is not whole are named; so is an image of another size."""
    labelme(tmp_path, "1", [{"label": "cat", "points": [[1, 1]], "shape_type": "point"}])
    labelme(tmp_path, "2", [{"label": "cat", "points": [[1, 1], [9, 9]], "shape_type": "rectangle"}], 1)
    labelme(tmp_path, "3", [{"label": "cat", "points": [[1, 1], [9, 9]], "shape_type": "rectangle"}], 2)
    photo(tmp_path / "3.png", 2, (41, 30))
    texts = [str(fault) for fault in look(tmp_path, "localization").faults]
    assert any("1.json: shape 1: a point has no area" in text for text in texts)
    assert any(
        "its label file says 40x30, the upright image is 41x30 (3.json, shape 1)" in text for text in texts
    )


# ---- Label Studio


def region(label: str, **value: Any) -> dict[str, Any]:
    kind = "polygonlabels" if "points" in value else "rectanglelabels"
    return {
        "original_width": 40,
        "original_height": 30,
        "image_rotation": 0,
        "value": value | {"rotation": value.get("rotation", 0), kind: [label]},
        "id": "x1",
        "from_name": "label",
        "to_name": "image",
        "type": kind,
        "origin": "manual",
    }


def task(number: int, *answers: tuple[int, list[dict[str, Any]]]) -> dict[str, Any]:
    return {
        "id": number,
        "annotations": [
            {"id": place, "completed_by": who, "result": rows, "was_cancelled": False}
            for place, (who, rows) in enumerate(answers)
        ],
        "file_upload": f"0123abcd-{number}.png",
        "data": {"image": f"/data/upload/1/0123abcd-{number}.png"},
        "predictions": [],
    }


def test_label_studio(tmp_path: Path) -> None:
    """Percents become pixels, turned rectangles the boxes around them, polygons masks."""
    for number in (1, 2, 3):
        photo(tmp_path / "images" / f"{number}.png", number)
    turned = region("cat", x=50, y=20, width=25, height=40, rotation=90)
    outline = region("dog", points=[[25, 20], [75, 20], [75, 60], [25, 60]])
    tasks = [
        task(1, (1, [region("cat", x=25, y=20, width=50, height=40)])),
        task(2, (1, [turned])),
        task(3, (1, [outline])),
    ]
    write(tmp_path / "project-1-at-2026.json", tasks)
    assert boxes(look(tmp_path, "localization")) == {
        "1.png": ("cat", (10, 6, 30, 18)),
        "2.png": ("cat", (8, 6, 20, 16)),
        "3.png": ("dog", (10, 6, 30, 18)),
    }
    labels, masks = drawn(tmp_path)
    assert labels == ("background", "cat", "dog")
    expected = np.zeros((30, 40), np.uint8)
    expected[6:18, 10:30] = 2
    assert np.array_equal(masks[2], expected)


@pytest.mark.parametrize("kind", ["json", "csv"])
def test_label_studio_in_short(tmp_path: Path, kind: str) -> None:
    """JSON-MIN and CSV say the same."""
    photo(tmp_path / "1.png")
    value = {"x": 25, "y": 20, "width": 50, "height": 40, "rotation": 0, "rectanglelabels": ["cat"]}
    short = json.dumps([value | {"original_width": 40, "original_height": 30}])
    quoted = short.replace('"', '""')
    if kind == "csv":
        header = "annotation_id,annotator,created_at,id,image,label,lead_time"
        text = f'{header}\n1,1,x,1,/data/local-files/?d=set/1.png,"{quoted}",3.5\n'
    else:
        marks = '"id":1,"annotator":1,"annotation_id":1,"lead_time":3'
        text = f'[{{"image":"/data/upload/1/0123abcd-1.png","label":{short},{marks}}}]'
    write(tmp_path / f"export.{kind}", text)
    assert list_folder(tmp_path).task == "localization"
    assert boxes(look(tmp_path, "localization")) == {"1.png": ("cat", (10, 6, 30, 18))}


def test_label_studio_choices(tmp_path: Path) -> None:
    """Choices are classes, in both JSON exports."""
    for number in (1, 2):
        photo(tmp_path / f"{number}.png", number)
    choice = {"type": "choices", "from_name": "choice", "to_name": "image", "id": "c"}
    tasks = [
        task(number, (1, [choice | {"value": {"choices": [label]}}]))
        for number, label in ((1, "cat"), (2, "dog"))
    ]
    write(tmp_path / "full.json", tasks)
    listing = list_folder(tmp_path)
    assert [(item.path.name, item.label) for item in listing.items] == [("1.png", "cat"), ("2.png", "dog")]
    (tmp_path / "full.json").unlink()
    rows = [
        {"image": f"/x/{n}.png", "id": n, "choice": label, "annotator": 1, "annotation_id": n}
        for n, label in ((1, "cat"), (2, "dog"))
    ]
    write(tmp_path / "min.json", rows)
    listing = list_folder(tmp_path)
    assert [(item.path.name, item.label) for item in listing.items] == [("1.png", "cat"), ("2.png", "dog")]


def test_label_studio_brushes_are_refused_by_name(tmp_path: Path) -> None:
    """Run lengths of a brush are of a form of their own: the error says what to export instead."""
    photo(tmp_path / "1.png")
    brush = region("cat") | {
        "type": "brushlabels",
        "value": {"format": "rle", "rle": [0, 1], "brushlabels": ["cat"]},
    }
    write(tmp_path / "export.json", [task(1, (1, [brush]))])
    for wanted in ("localization", "segmentation"):
        with pytest.raises(DatasetError, match="regions of a brush are not read from this export"):
            list_folder(tmp_path, wanted)


# ---- several


def test_two_annotators_are_a_warning(tmp_path: Path) -> None:
    """Boxes of one picture by two people, or in two files, are told with how many pictures."""
    for number in (1, 2):
        photo(tmp_path / "studio" / f"{number}.png", number)
        photo(tmp_path / "files" / f"{number}.png", number)
        photo(tmp_path / "table" / f"{number}.png", number)
    box = region("cat", x=25, y=20, width=50, height=40)
    write(tmp_path / "studio" / "a.json", [task(1, (1, [box]), (2, [box])), task(2, (1, [box]))])
    (warning,) = [text for text in list_folder(tmp_path / "studio").warnings if "several times" in text]
    assert warning.startswith("1 images are labelled several times (annotator 1, annotator 2)")
    header = "file,x_min,y_min,x_max,y_max,label"
    for name in ("ann", "bob"):
        write(tmp_path / "files" / f"{name}.csv", f"{header}\n1.png,1,1,9,9,cat\n2.png,1,1,9,9,cat\n")
    (warning,) = [text for text in list_folder(tmp_path / "files").warnings if "several times" in text]
    assert warning.startswith("2 images are labelled several times (ann.csv, bob.csv)")
    assert not list_folder(tmp_path / "files", labels="bob.csv").warnings
    write(
        tmp_path / "table" / "a.csv",
        f"{header},annotator\n1.png,1,1,9,9,cat,ann\n1.png,1,1,9,9,cat,bob\n2.png,1,1,9,9,cat,bob\n",
    )
    (warning,) = [text for text in list_folder(tmp_path / "table").warnings if "several times" in text]
    assert warning.startswith("1 images are labelled several times (ann, bob)")


def test_labels_of_several_kinds(tmp_path: Path) -> None:
    """They are named with an example and the option for each; a kind or a file decides."""
    for number in range(3):
        voc(tmp_path, f"{number}", [("cat", (1, 1, 20, 20))], number)
        write(tmp_path / "labels" / f"{number}.txt", "0 0.5 0.5 0.5 0.2")
    write(tmp_path / "boxes.csv", "file,x_min,y_min,x_max,y_max,label\n0.jpg,0,0,9,9,cow\n")
    with pytest.raises(Question) as asked:
        list_folder(tmp_path)
    for text in (
        "Annotations/0.xml",
        "boxes.csv",
        "labels/0.txt",
        "--labels voc",
        "--labels csv",
        "--labels yolo",
    ):
        assert text in str(asked.value)
    for labels, label in (("voc", "cat"), ("yolo", "class 0"), ("boxes.csv", "cow"), ("Annotations", "cat")):
        assert list_folder(tmp_path, labels=labels).items[0].label == label
    with pytest.raises(DatasetError, match=r"neither a kind of labels .*folders, groups, masks, .*yolo"):
        list_folder(tmp_path, labels="nothing.csv")
    with pytest.raises(DatasetError, match="has no labels for localization"):
        list_folder(tmp_path, "localization", labels="coco")


def test_dropped_boxes_are_counted(tmp_path: Path) -> None:
    """How many boxes of all are not learnt is a warning, in what `inspect` says, too."""
    for number in range(4):
        many = [("cat", (1, 1, 20 + place, 20)) for place in range(number + 1)]
        voc(tmp_path, f"{number}", many, number)
    told = inspect(tmp_path, "localization")
    assert told.warnings == [
        "6 of 10 boxes are dropped: 3 images have several, and of each only the largest is learnt"
    ]


@pytest.mark.parametrize(
    ("box", "told"),
    [
        ((5, 5, 5, 5), "is empty"),
        ((5, 5, 9, 5), "is empty"),
        ((9, 5, 5, 9), "has its corners reversed"),
        ((5, 5, 60, 20), "goes beyond the image"),
        ((0.1, 0.2, 0.5, 0.6), "is in fractions of width and height"),
    ],
)
def test_voc_boxes_are_checked(tmp_path: Path, box: tuple[float, ...], told: str) -> None:
    """Boxes without extent, outside, reversed, or in fractions are faults in VOC files as in any other."""
    voc(tmp_path, "0", [("cat", (1, 1, 20, 20)), ("cat", box)])
    (fault,) = look(tmp_path, "localization").faults
    assert told in str(fault)
    assert "Annotations/0.xml, object 2" in str(fault)


def test_outlines_are_learnt_like_masks(tmp_path: Path) -> None:
    """A folder of polygons loads as splits with masks of its classes, copies kept in one part."""
    lines = {str(number): "0 0.25 0.2 0.75 0.2 0.75 0.6 0.25 0.6" for number in range(8)}
    yolo(tmp_path, lines)
    photo(tmp_path / "images" / "8.png", 7)
    write(tmp_path / "labels" / "8.txt", lines["7"])
    splits = load(tmp_path, Request("segmentation", 30, 40, 3))
    assert splits.labels == ("background", "cat")
    assert splits.train.masks is not None
    assert set(np.unique(splits.train.masks)) == {0, 1}
    parts = [
        {path.stem for path in part.paths or ()} for part in (splits.train, splits.validation, splits.test)
    ]
    assert sum(len(part) for part in parts) == 9
    assert any({"7", "8"} <= part for part in parts)
    write(tmp_path / "labels" / "8.txt", "0 0 0 0.1 0 0.1 0.1")
    with pytest.raises(DatasetError, match="has another mask than"):
        load(tmp_path, Request("segmentation", 30, 40, 3))
