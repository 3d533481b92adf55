"""Folders of one's own: every layout is recognised, and what is wrong with one is named by its file."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.training.sets import photo
from training.commands.inspection import inspect
from training.datasets import DatasetError, Task
from training.datasets.own.layout import list_folder
from training.datasets.own.listing import Listing, part_of

VOC = """<annotation><filename>elsewhere/x.jpg</filename><size><width>40</width><height>30</height></size>{}
</annotation>"""
OBJECT = """<object><name>{}</name><bndbox>
<xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"""


def picture(path: Path, size: tuple[int, int] = (40, 30)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def facts(listing: Listing) -> list[tuple[str, str, tuple[float, ...] | None, str | None]]:
    """Return name, label, box and part of each item."""
    return sorted((listing.name(item.path), item.label, item.box, item.part) for item in listing.items)


def test_class_folders(tmp_path: Path) -> None:
    """Each outermost folder is a class; however deep the images lie in it, where that is said to be meant.

    Hidden files do not count.
    """
    for name in ("cat/a.jpg", "cat/2021/b.png", "dog/a.webp", "dog/.hidden.jpg", "__MACOSX/cat/a.jpg"):
        picture(tmp_path / name)
    listing = list_folder(tmp_path, None, "folders")
    assert (listing.task, listing.layout, listing.faults) == ("classification", "class folders", ())
    assert facts(listing) == [
        ("cat/2021/b.png", "cat", None, None),
        ("cat/a.jpg", "cat", None, None),
        ("dog/a.webp", "dog", None, None),
    ]


def test_parts_above_class_folders(tmp_path: Path) -> None:
    """Where all outermost folders are parts, the classes stand below them."""
    for name in ("train/cat/a.jpg", "valid/cat/b.jpg", "test/dog/c.jpg"):
        picture(tmp_path / name)
    assert facts(list_folder(tmp_path)) == [
        ("test/dog/c.jpg", "dog", None, "test"),
        ("train/cat/a.jpg", "cat", None, "train"),
        ("valid/cat/b.jpg", "cat", None, "validation"),
    ]


def test_a_train_may_be_a_class(tmp_path: Path) -> None:
    """`train` beside `bus` is a vehicle; `train` and `test` beside `bus` could be either, and is refused."""
    picture(tmp_path / "train" / "a.jpg")
    picture(tmp_path / "bus" / "a.jpg")
    assert {item.label for item in list_folder(tmp_path).items} == {"train", "bus"}
    picture(tmp_path / "test" / "a.jpg")
    with pytest.raises(DatasetError, match="test, train stand beside bus"):
        list_folder(tmp_path)


def test_part_names() -> None:
    """The usual names of parts are known, with a year behind them too."""
    assert [part_of([name]) for name in ("Train", "val2017", "valid", "testing", "cats")] == [
        "train",
        "validation",
        "validation",
        "test",
        None,
    ]


def lay_voc(folder: Path) -> None:
    picture(folder / "JPEGImages" / "1.jpg")
    small, large = OBJECT.format("cat", 1, 1, 5, 5), OBJECT.format("dog", 11, 6, 40, 30)
    write(folder / "Annotations" / "1.xml", VOC.format(small + large))


def lay_coco(folder: Path) -> None:
    picture(folder / "images" / "1.jpg")
    document = {
        "images": [{"id": 7, "file_name": "1.jpg", "width": 40, "height": 30}],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 1, "bbox": [0, 0, 5, 5]},
            {"id": 2, "image_id": 7, "category_id": 2, "bbox": [10, 5, 30, 25]},
            {"id": 3, "image_id": 7, "category_id": 1, "bbox": [0, 0, 40, 30], "iscrowd": 1},
        ],
    }
    write(folder / "annotations" / "instances.json", json.dumps(document))


def lay_csv(folder: Path) -> None:
    picture(folder / "images" / "1.jpg")
    lines = ["file,x_min,y_min,x_max,y_max,label", "1.jpg,0,0,5,5,cat", "images/1.jpg,10,5,40,30,dog"]
    write(folder / "boxes.csv", "\n".join(lines))


def lay_other_csv(folder: Path) -> None:
    picture(folder / "images" / "1.jpg")
    lines = ["Class;Filename;X;Y;W;H", "cat;1.jpg;0;0;5;5", r"dog;images\1.jpg;10;5;30;25"]
    write(folder / "boxes.csv", "\ufeff" + "\r\n".join(lines))


@pytest.mark.parametrize("lay", [lay_voc, lay_coco, lay_csv, lay_other_csv])
def test_boxes(tmp_path: Path, lay: Callable[[Path], None]) -> None:
    """VOC, COCO and CSV give the same: the largest box of an image with its label, in pixels from 0."""
    lay(tmp_path)
    # All of them are meant, where nobody says otherwise.
    assert list_folder(tmp_path).task == "detection"
    listing = list_folder(tmp_path, "localization")
    assert [item[1:] for item in facts(listing)] == [("dog", (10, 5, 40, 30), None)]
    assert listing.warnings == (
        "1 of 2 boxes are dropped: 1 images have several, and of each only the largest is learnt",
    )
    assert not listing.faults


def test_boxes_give_classes_too(tmp_path: Path) -> None:
    """Where there is nothing else to classify by, the labels of boxes are the classes."""
    lay_voc(tmp_path)
    assert list_folder(tmp_path, "classification").items[0].label == "dog"


def test_a_csv_of_labels(tmp_path: Path) -> None:
    """A CSV with files and labels alone is for classification."""
    picture(tmp_path / "a.jpg")
    write(tmp_path / "labels.csv", "image\tcategory\na.jpg\tcat\n")
    assert facts(list_folder(tmp_path)) == [("a.jpg", "cat", None, None)]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("truth.csv", "id,breed\na,cat\n", "truth.csv is not understood, its first line being: id, breed;"),
        ("truth.json", "[1]", "truth.json is not understood: COCO has lists of images and annotations"),
        ("labels/a.txt", "a cat, sitting", "1 .txt files with the names of images are not read"),
    ],
)
def test_label_files_that_are_not_understood_are_told(
    tmp_path: Path, name: str, text: str, told: str
) -> None:
    """Nobody looks for labels that are there and were passed over: the error says so, or a note does."""
    picture(tmp_path / "a.jpg")
    write(tmp_path / name, text)
    with pytest.raises(DatasetError, match=re.escape(told)):
        list_folder(tmp_path)
    with pytest.raises(DatasetError, match=re.escape(told)):
        list_folder(tmp_path, "localization")
    picture(tmp_path / "cat" / "b.jpg")
    picture(tmp_path / "dog" / "c.jpg")
    (tmp_path / "a.jpg").rename(tmp_path / "dog" / "a.jpg")
    listing = list_folder(tmp_path)
    assert any(told in text for text in (*listing.notes, *listing.warnings))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("HAM10000_metadata.csv", "lesion_id,image_id,dx\nHAM_1,ISIC_1,nv\nHAM_2,ISIC_2,mel\n"),
        ("via_region_data.json", '{"ISIC_1.jpg1234": {"filename": "ISIC_1.jpg", "regions": []}}'),
        ("ann/ISIC_1.jpg.json", '{"objects": []}'),
        ("annotations.xml", '<annotations><image id="0" name="ISIC_1.jpg"></image></annotations>'),
    ],
)
def test_labels_elsewhere_are_a_warning_beside_folders(tmp_path: Path, name: str, text: str) -> None:
    """Where a file that is not understood names the photos, it is not said that nothing is wrong."""
    picture(tmp_path / "images_part_1" / "ISIC_1.jpg")
    picture(tmp_path / "images_part_2" / "ISIC_2.jpg")
    write(tmp_path / name, text)
    (warning,) = list_folder(tmp_path).warnings
    assert warning.startswith(f"the folders are taken for classes, but {name} is not understood")
    write(tmp_path / name, text.replace("ISIC_1", "else").replace("ISIC_2", "more"))
    if "ann/" not in name:
        assert not list_folder(tmp_path).warnings


def test_classes_within_a_folder_of_images(tmp_path: Path) -> None:
    """images/cat/1.jpg is a cat, with parts above, too; photos right in images/ have no class."""
    for part in ("train", "val"):
        for label in ("cat", "dog"):
            picture(tmp_path / "whole" / part / "images" / label / "1.jpg")
            picture(tmp_path / "plain" / "images" / label / f"{part}.jpg")
            picture(tmp_path / "parts" / "images" / part / f"{label}.jpg")
    assert {(item.label, item.part) for item in list_folder(tmp_path / "whole").items} == {
        (label, part) for label in ("cat", "dog") for part in ("train", "validation")
    }
    assert {item.label for item in list_folder(tmp_path / "plain").items} == {"cat", "dog"}
    with pytest.raises(DatasetError, match="without labels"):
        list_folder(tmp_path / "parts")


def test_the_folder_within_is_named(tmp_path: Path) -> None:
    """Where an archive put all classes into one folder, it is said which folder to give."""
    for label in ("cat", "dog"):
        for number in range(3):
            photo(
                tmp_path / "my photos" / "all" / label / f"{number}.png", number + len(label) * ord(label[0])
            )
    assert inspect(tmp_path).obstacle == (
        f"All images are 'my photos': to tell classes apart there must be two at least. If cat/ and dog/ are "
        f"classes, give the folder that they are in: {tmp_path / 'my photos' / 'all'}"
    )


def test_same_names_in_two_parts(tmp_path: Path) -> None:
    """Images of one name in two parts go with the labels of their own part."""
    for part, label in (("train", "cat"), ("val", "dog")):
        picture(tmp_path / part / "images" / "1.jpg")
        write(tmp_path / part / "labels" / "1.xml", VOC.format(OBJECT.format(label, 1, 1, 9, 9)))
    assert [(name, label) for name, label, _, _ in facts(list_folder(tmp_path))] == [
        ("train/images/1.jpg", "cat"),
        ("val/images/1.jpg", "dog"),
    ]


@pytest.mark.parametrize("pattern", ["{part}/{kind}/1{tail}.png", "{kind}/{part}/1{tail}.png"])
def test_masks(tmp_path: Path, pattern: str) -> None:
    """Masks belong to the images of their names, with parts above or below, and with or without `_mask`."""
    for part in ("train", "test"):
        picture(tmp_path / pattern.format(part=part, kind="images", tail=""))
        picture(tmp_path / pattern.format(part=part, kind="masks", tail="_mask" * (part == "test")))
    listing = list_folder(tmp_path)
    assert listing.task == "segmentation"
    for item in listing.items:
        assert item.part in ("train", "test")
        assert isinstance(item.mask, Path)
        assert item.part in item.mask.relative_to(tmp_path).parts
    assert len(listing.items) == 2


def test_what_does_not_match_is_named(tmp_path: Path) -> None:
    """Images without labels, labels without images and broken label files are faults of those files."""
    lay_voc(tmp_path)
    picture(tmp_path / "JPEGImages" / "2.jpg")
    write(tmp_path / "Annotations" / "3.xml", VOC.format(OBJECT.format("cat", 1, 1, 9, 9)))
    write(tmp_path / "Annotations" / "4.xml", "<annotation>")
    write(tmp_path / "Annotations" / "5.xml", VOC.format(""))
    write(tmp_path / "Annotations" / "6.xml", VOC.format(OBJECT.format("cat", "left", 1, 9, 9)))
    found = [(fault.file, fault.kind) for fault in list_folder(tmp_path).faults]
    assert ("Annotations/3.xml", "label without image") in found
    assert ("Annotations/4.xml", "broken label") in found
    assert ("Annotations/5.xml", "label without image") in found
    assert ("Annotations/6.xml", "broken label") in found
    assert ("JPEGImages/2.jpg", "image without label") in found


@pytest.mark.parametrize(
    ("encoding", "box"), [("gb2312", 1), ("unheard-of", 1), ("utf-8", "nan"), ("utf-8", "1e999")]
)
def test_voc_that_cannot_be_read_is_named(tmp_path: Path, encoding: str, box: object) -> None:
    """An encoding that is not known and a number that is none are faults of the file."""
    lay_voc(tmp_path)
    text = VOC.format(OBJECT.format("cat", box, 1, 9, 9))
    write(tmp_path / "Annotations" / "2.xml", f'<?xml version="1.0" encoding="{encoding}"?>{text}')
    assert [(fault.file, fault.kind) for fault in list_folder(tmp_path).faults] == [
        ("Annotations/2.xml", "broken label")
    ]


def test_masks_that_do_not_match_are_named(tmp_path: Path) -> None:
    """So are masks without image, images without mask, and two images that one mask would be for."""
    for name in ("images/1.jpg", "images/1.png", "masks/1.png", "images/2.png", "masks/3.png"):
        picture(tmp_path / name)
    assert [(fault.file, fault.kind) for fault in list_folder(tmp_path).faults] == [
        ("images/1.png", "same name"),
        ("images/2.png", "image without label"),
        ("masks/3.png", "label without image"),
    ]


def test_csv_faults_name_the_line(tmp_path: Path) -> None:
    """What is wrong with a line of a CSV is told with its number."""
    picture(tmp_path / "a.jpg")
    lines = ["file,x_min,y_min,x_max,y_max,label", "a.jpg,0,0,9,9,cat", "a.jpg,0,,9,9,cat", "a.jpg,0,0,9,9,"]
    write(tmp_path / "boxes.csv", "\n".join([*lines, "b.jpg,0,0,9,9,dog", ",0,0,9,9,dog"]))
    texts = [str(fault) for fault in list_folder(tmp_path).faults]
    assert "boxes.csv: line 3: x_min, y_min, x_max, y_max must be numbers" in texts
    assert "boxes.csv: line 4: the label is empty" in texts
    assert "boxes.csv: line 5: there is no image b.jpg" in texts
    assert "boxes.csv: line 6: the file is empty" in texts


@pytest.mark.parametrize(
    ("header", "boxes"), [("file,label", ""), ("file,label,x_min,y_min,x_max,y_max", ",0,0,9,9")]
)
def test_two_labels_for_one_thing_are_named(tmp_path: Path, header: str, boxes: str) -> None:
    """An image, or its box, under two labels is a contradiction with both lines; the same twice is none."""
    for name in ("a.jpg", "b.jpg"):
        picture(tmp_path / name)
    rows = [f"{row}{boxes}" for row in ("a.jpg,cat", "a.jpg,dog", "b.jpg,cat", "b.jpg,cat")]
    write(tmp_path / "labels.csv", "\n".join([header, *rows]))
    listing = list_folder(tmp_path)
    way = "" if boxes else ", or learn both with --task multilabel"
    assert [str(fault) for fault in listing.faults] == [
        f"a.jpg: is cat by labels.csv, line 2, but dog by labels.csv, line 3: keep one of them{way}"
    ]
    assert listing.faults[0].kind == "contradiction"
    assert bool(listing.warnings) == bool(boxes)


def test_broken_coco_is_named(tmp_path: Path) -> None:
    """COCO JSON without its parts is an error; an incomplete annotation is a fault."""
    lay_coco(tmp_path)
    path = tmp_path / "annotations" / "instances.json"
    document = json.loads(path.read_text())
    document["annotations"].append({"id": 9, "image_id": 8, "category_id": 1, "bbox": [0, 0, 5, 5]})
    path.write_text(json.dumps(document))
    assert "annotation 9" in str(list_folder(tmp_path).faults[0])
    path.write_text('{"images": [], "annotations": [}')
    with pytest.raises(DatasetError, match=r"instances\.json is not COCO"):
        list_folder(tmp_path)


def both(folder: Path) -> None:
    lay_csv(folder)
    lay_coco(folder)


def images_only(folder: Path) -> None:
    picture(folder / "a.jpg")


def two_tasks(folder: Path) -> None:
    lay_csv(folder)
    picture(folder / "masks" / "1.png")


@pytest.mark.parametrize(
    ("lay", "task", "message"),
    [
        (both, "localization", "several kinds for localization.*COCO JSON, CSV with boxes"),
        (two_tasks, None, "detection or segmentation.*--task"),
        (images_only, None, "images without labels.*one folder per class"),
        (lay_csv, "segmentation", r"no labels for segmentation: it has CSV with boxes"),
        (lambda folder: None, None, "no images"),
    ],
)
def test_what_is_not_clear_is_refused(
    tmp_path: Path, lay: Callable[[Path], None], task: Task | None, message: str
) -> None:
    """A folder that fits no layout, or more than one, is an error that says what would be right."""
    lay(tmp_path)
    with pytest.raises(DatasetError, match=message):
        list_folder(tmp_path, task)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    """A folder that is not there is an error that names it."""
    with pytest.raises(DatasetError, match=r"no folder .*nowhere"):
        list_folder(tmp_path / "nowhere")


def test_the_fingerprint_tells_changes(tmp_path: Path) -> None:
    """It is the same wherever the folder lies, and another one when a file comes or a label changes."""
    for folder in (tmp_path / "one", tmp_path / "two"):
        lay_csv(folder)
    first, second = (list_folder(tmp_path / name).fingerprint for name in ("one", "two"))
    assert first == second
    path = tmp_path / "one" / "boxes.csv"
    path.write_text(path.read_text().replace("dog", "cow"))
    changed = list_folder(tmp_path / "one").fingerprint
    picture(tmp_path / "one" / "images" / "2.jpg")
    assert len({first, changed, list_folder(tmp_path / "one").fingerprint}) == 3
