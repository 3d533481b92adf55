"""COCO JSON: what is wrong with it is named, in its own words, and nothing wrong is trained on."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from training.datasets import DatasetError
from training.datasets.labels.annotations import Annotation
from training.datasets.labels.coco import read_coco

Document = dict[str, Any]


def document() -> Document:
    return {
        "images": [
            {"id": 1, "file_name": "1.jpg", "width": 40, "height": 30},
            {"id": 2, "file_name": "2.jpg"},
        ],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [
            {"id": 5, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]},
            {"id": 6, "image_id": 2, "category_id": 1, "bbox": [1, 2, 3, 4]},
        ],
    }


def read(path: Path, text: str, encoding: str = "utf-8") -> tuple[list[Annotation], list[str]]:
    """Return the annotations and what was reported."""
    path.write_bytes(text.encode(encoding))
    faults: list[str] = []
    return read_coco(path, lambda _, fault: faults.append(fault)), faults


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_it_is_read(tmp_path: Path, encoding: str) -> None:
    """Names, labels, corners and sizes come out; a byte order mark changes nothing."""
    found, faults = read(tmp_path / "a.json", json.dumps(document()), encoding)
    assert not faults
    assert [(one.image, one.label, one.box, one.size) for one in found] == [
        ("1.jpg", "cat", (1, 2, 4, 6), (40, 30)),
        ("2.jpg", "cat", (1, 2, 4, 6), None),
    ]


def test_without_categories_all_are_objects(tmp_path: Path) -> None:
    """A file that lists no categories has boxes of one label."""
    plain = document()
    del plain["categories"]
    found, faults = read(tmp_path / "a.json", json.dumps(plain))
    assert ({one.label for one in found}, faults) == ({"object"}, [])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda d: d["annotations"][0].update(bbox=[float("nan"), 1, 2, 3]),
            "annotation 5: bbox must be four",
        ),
        (
            lambda d: d["annotations"][0].update(bbox=[1, 2, float("inf"), 3]),
            "annotation 5: bbox must be four",
        ),
        (lambda d: d["annotations"][0].update(bbox=None), "x, y, width and height, but is None"),
        (
            lambda d: d["annotations"][0].update(bbox=[1, 2, 3, 10**400]),
            "annotation 5: bbox must be four numbers",
        ),
        (
            lambda d: d["annotations"][0].update(image_id=9),
            "annotation 5: there is no image with the id 9; ids",
        ),
        (
            lambda d: d["annotations"][0].update(image_id=[1]),
            "there is no image with the id [1]; ids are 1, 2",
        ),
        (lambda d: d["annotations"][0].update(category_id="1"), "no category with the id '1'; ids are 1"),
        (lambda d: d["images"][0].update(file_name=3), "images, id 1: file_name must be text, but is 3"),
        (
            lambda d: d["images"][0].update(file_name=None),
            "images, id 1: file_name must be text, but is None",
        ),
        (
            lambda d: d["images"][0].update(width="wide"),
            "annotation 5: width and height of the image 1 must be",
        ),
        (lambda d: d["images"][0].update(id=[1]), "images, number 1: the id must be a number or text"),
        (
            lambda d: d["images"].insert(0, {"id": 1, "file_name": "x.jpg"}),
            "images: more than one has the id 1",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, change: Callable[[Document], None], message: str) -> None:
    """A wrong annotation or image is told by its id; the other annotation is read all the same."""
    wrong = document()
    change(wrong)
    found, faults = read(tmp_path / "a.json", json.dumps(wrong))
    assert any(message in fault for fault in faults), faults
    assert [one.image for one in found if not one.nothing] == ["2.jpg"]


@pytest.mark.parametrize(
    ("categories", "message"),
    [
        ([{"id": 1, "name": ""}], "categories, id 1: name must be text, but is ''"),
        ([{"id": 1, "name": "cat"}, {"id": 1, "name": "dog"}], "categories: more than one has the id 1, dog"),
        ([{"id": None, "name": "cat"}], "categories, number 1: the id must be a number or text, but is None"),
    ],
)
def test_categories_must_be_clear(tmp_path: Path, categories: object, message: str) -> None:
    """Nothing is trained on under a label that is empty, or that could be another."""
    found, faults = read(tmp_path / "a.json", json.dumps(document() | {"categories": categories}))
    assert (found, faults[0].startswith(message)) == ([], True), faults


def test_the_same_image_twice_is_harmless(tmp_path: Path) -> None:
    """Merged files list an image twice, with the same name: that is no contradiction."""
    merged = document()
    merged["images"] *= 2
    assert read(tmp_path / "a.json", json.dumps(merged))[1] == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (json.dumps([document()]), "it is no object"),
        (json.dumps(document() | {"annotations": None}), "it has no list annotations"),
        (json.dumps(document() | {"categories": None}), "it has no list categories"),
        (json.dumps(document() | {"annotations": [[1]]}), "annotations, number 1, is no object"),
        ('{"images": [}', "line 1 column 13"),
        ("[" * 100_000, "recursion"),
    ],
)
def test_what_is_not_coco_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """A file of another shape is an error that names it and says what it needs."""
    with pytest.raises(
        DatasetError, match=rf"a\.json is not COCO JSON: .*{message}.*categories \(id, name\)"
    ):
        read(tmp_path / "a.json", text)


def test_another_encoding_is_told_in_a_line(tmp_path: Path) -> None:
    """The error says where the file is not UTF-8, and does not repeat the whole file."""
    text = json.dumps(document() | {"info": "caf\xe9" + "x" * 5000}, ensure_ascii=False)
    with pytest.raises(DatasetError, match="must be UTF-8") as raised:
        read(tmp_path / "a.json", text, "latin-1")
    assert len(str(raised.value)) < 500
