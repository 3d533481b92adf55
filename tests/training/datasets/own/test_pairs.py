"""Photos beside their masks are never taken for two classes, whatever the folders are called."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.training.sets import blob, photo, save, voc, write
from training.__main__ import app
from training.commands.inspection import inspect
from training.datasets import DatasetError, Question, Request
from training.datasets.own.folder import load
from training.datasets.own.layout import list_folder
from training.datasets.own.pairs import photo_stem


def penn_fudan(folder: Path) -> None:
    for number in range(6):
        photo(folder / "PNGImages" / f"FudanPed0000{number}.png", number)
        save(folder / "PedMasks" / f"FudanPed0000{number}_mask.png", blob(1 + number % 2))
        write(
            folder / "Annotation" / f"FudanPed0000{number}.txt",
            "# Compatible with PASCAL Annotation Version 1.00",
        )


def voc_masks(folder: Path) -> None:
    for number in range(6):
        photo(folder / "JPEGImages" / f"2007_{number}.jpg", number)
        values = blob(15)
        values[4:6, :] = 255
        save(folder / "SegmentationClass" / f"2007_{number}.png", values, palette=True)
        save(folder / "SegmentationObject" / f"2007_{number}.png", blob(1), palette=True)


def camvid(folder: Path) -> None:
    for part in ("train", "val", "test"):
        for number in range(3):
            photo(folder / part / f"0001TP_{number}.png", number + 10 * ord(part[1]))
            save(
                folder / f"{part}_labels" / f"0001TP_{number}_L.png",
                np.dstack([blob(128), blob(64), blob(0)]),
            )


def camvid_beside(folder: Path) -> None:
    for number in range(6):
        photo(folder / f"0001TP_{number}.png", number)
        save(folder / f"0001TP_{number}_L.png", np.dstack([blob(128), blob(64), blob(0)]))


def segnet(folder: Path) -> None:
    for part in ("train", "val", "test"):
        for number in range(3):
            photo(folder / part / f"{number}.png", number + 10 * ord(part[1]))
            save(folder / f"{part}annot" / f"{number}.png", blob(11))


def carvana(folder: Path) -> None:
    for number in range(6):
        photo(folder / "cars" / f"{number}.jpg", number)
        path = save(folder / "outlines" / f"{number}_mask.gif", blob(255))
        assert path.is_file()


def jpegs(folder: Path) -> None:
    for number in range(6):
        photo(folder / "a" / f"{number}.jpg", number, (160, 120))
        values = np.kron(blob(255), np.ones((4, 4), np.uint8))
        save(folder / "b" / f"{number}.jpg", values)


def drawings(folder: Path) -> None:
    for number in range(6):
        path = folder / "pictures" / f"{number}.png"
        save(path, np.dstack([blob(200, 8 + number), blob(30), blob(99)]))
        save(folder / "areas" / f"{number}.png", blob(255, 8 + number))


def camvid_of_fastai(folder: Path) -> None:
    for number in range(6):
        photo(folder / "images" / f"0001TP_{number}.png", number)
        save(folder / "labels" / f"0001TP_{number}_P.png", blob(11))


def cityscapes(folder: Path) -> None:
    for part, town in (("train", "aachen"), ("val", "ulm")):
        for number in range(3):
            name = f"{town}_{number:06d}_000019"
            photo(folder / "leftImg8bit" / part / town / f"{name}_leftImg8bit.png", number + ord(town[0]))
            masks = folder / "gtFine" / part / town
            save(masks / f"{name}_gtFine_labelIds.png", blob(7))
            save(masks / f"{name}_gtFine_instanceIds.png", blob(250))
            save(masks / f"{name}_gtFine_color.png", np.dstack([blob(128), blob(64), blob(128)]))


def any_ending(folder: Path) -> None:
    for number in range(6):
        photo(folder / "scans" / f"a-{number}.png", number)
        save(folder / "truth" / f"a-{number}_lesion_area.png", blob(255))


def deepglobe(folder: Path) -> None:
    for number in range(6):
        photo(folder / "train" / f"{number}_sat.jpg", number)
        save(folder / "train" / f"{number}_mask.png", np.dstack([blob(255), blob(255), blob(0)]))


SETS = [
    *(penn_fudan, voc_masks, camvid, camvid_beside, segnet, carvana, jpegs, drawings),
    *(camvid_of_fastai, cityscapes, any_ending, deepglobe),
]


@pytest.mark.parametrize("lay", SETS)
def test_photos_with_masks_are_for_segmentation(tmp_path: Path, lay: Callable[[Path], None]) -> None:
    """Every photo gets its own mask; nothing is left over, and no folder is a class."""
    lay(tmp_path)
    listing = list_folder(tmp_path)
    assert (listing.task, listing.layout, listing.faults) == ("segmentation", "images/ and masks/", ())
    share = {"voc_masks": 3, "cityscapes": 4, "carvana": 1}.get(lay.__name__, 2)
    assert len(listing.items) == len(list(tmp_path.rglob("*.*g"))) // share
    for item in listing.items:
        assert isinstance(item.mask, Path)
        assert item.mask.stem.startswith(photo_stem(item.path))
        assert item.mask.stem.endswith("labelIds") == (lay is cityscapes)
    assert inspect(tmp_path).sound


@pytest.mark.parametrize("lay", SETS)
def test_they_are_not_classes(tmp_path: Path, lay: Callable[[Path], None]) -> None:
    """Asked to classify, the command names both readings with the options that decide, and ends with 2."""
    lay(tmp_path)
    with pytest.raises(Question) as asked:
        list_folder(tmp_path, "classification")
    assert [reading.option for reading in asked.value.readings] == [
        "--task segment",
        "--task classify --labels folders",
    ]
    assert asked.value.exit_code == 2


def test_the_owner_decides(tmp_path: Path) -> None:
    """`--labels folders` takes each folder as a class all the same."""
    drawings(tmp_path)
    listing = list_folder(tmp_path, "classification", "folders")
    assert {item.label for item in listing.items} == {"pictures", "areas"}
    assert len(listing.items) == 12


def test_classes_with_the_same_names_stay_classes(tmp_path: Path) -> None:
    """Photos called 1.jpg in each class folder are no masks, and neither are drawings in both."""
    for label in ("cat", "dog", "cow"):
        for number in range(4):
            photo(tmp_path / "photos" / label / f"{number}.jpg", sum(map(ord, label)) + 1000 * number)
            save(tmp_path / "digits" / label / f"{number}.png", blob(255, 4 + len(label) + number))
    for kind in ("photos", "digits"):
        assert list_folder(tmp_path / kind).task == "classification"
        assert len(list_folder(tmp_path / kind).items) == 12


def test_classes_with_masks_beside_the_photos(tmp_path: Path) -> None:
    """In class folders with `1.png` and `1_mask.png` the photos are classified, and the masks segmented."""
    for label in ("benign", "malignant"):
        for number in range(4):
            photo(tmp_path / label / f"{number}.png", number + len(label))
            save(tmp_path / label / f"{number}_mask.png", blob(255))
    listing = list_folder(tmp_path, "classification")
    assert {(item.label, "mask" in item.path.name) for item in listing.items} == {
        ("benign", False),
        ("malignant", False),
    }
    assert "8 masks are left out: they are for --task segment" in listing.notes
    assert len(list_folder(tmp_path, "segmentation").items) == 8
    with pytest.raises(Question, match="classification or segmentation"):
        list_folder(tmp_path)


def test_voc_has_masks_of_two_kinds(tmp_path: Path) -> None:
    """SegmentationClass counts, SegmentationObject is left out and said so, and can be chosen."""
    voc_masks(tmp_path)
    listing = list_folder(tmp_path)
    assert {item.mask.parent.name for item in listing.items if isinstance(item.mask, Path)} == {
        "SegmentationClass"
    }
    assert any("SegmentationObject/ is left out" in note for note in listing.notes)
    told = inspect(tmp_path)
    assert list(told.classes) == ["background", "class 15"]
    assert "masks hold 16 classes; 255 counts as background" in told.notes
    chosen = list_folder(tmp_path, "segmentation", "SegmentationObject")
    assert {item.mask.parent.name for item in chosen.items if isinstance(item.mask, Path)} == {
        "SegmentationObject"
    }


def test_two_masks_of_one_photo_are_never_picked_from_in_silence(tmp_path: Path) -> None:
    """What two people drew of the same photos is a fault, and `--labels` takes the one or the other."""
    for number in range(4):
        photo(tmp_path / "photos" / f"{number}.png", number)
        for who, side in (("anna", 8), ("ben", 12)):
            save(tmp_path / who / f"{number}.png", blob(255, side))
    assert [fault.text for fault in list_folder(tmp_path).faults] == [
        f"is a second mask beside anna/{number}.png: keep one of them, or take one folder's with "
        f"--labels FOLDER"
        for number in range(4)
    ]
    listing = list_folder(tmp_path, labels="ben")
    assert not listing.faults
    assert {item.mask for item in listing.items} == {
        tmp_path / "ben" / f"{number}.png" for number in range(4)
    }


def test_boxes_or_masks_is_asked(tmp_path: Path) -> None:
    """A folder with boxes and masks names both, each with its option; the exit code is 2."""
    for number in range(4):
        voc(tmp_path, f"{number}", [("cat", (1, 1, 20, 20))], number)
        save(tmp_path / "SegmentationClass" / f"{number}.png", blob(8), palette=True)
    result = CliRunner().invoke(app, ["inspect", str(tmp_path)])
    assert isinstance(result.exception, Question)
    assert "Pascal VOC XML for localization: say --task localize" in str(result.exception)
    assert "images/ and masks/ for segmentation: say --task segment" in str(result.exception)
    assert CliRunner().invoke(app, ["inspect", str(tmp_path), "--task", "segment"]).exit_code == 0


def test_masks_of_another_size_are_faults_not_classes(tmp_path: Path) -> None:
    """Masks at half of the photos' size are still masks: each is named with both sizes."""
    for number in range(4):
        photo(tmp_path / "photos" / f"{number}.jpg", number, (80, 60))
        save(tmp_path / "areas" / f"{number}.png", blob(255))
    told = inspect(tmp_path)
    assert told.task == "segmentation"
    assert [fault["kind"] for fault in told.faults] == ["wrong size"] * 4


def test_empty_class_folders_are_named(tmp_path: Path) -> None:
    """A class whose folder is empty, or has an empty folder alone, is told; so is one in a single part."""
    for part in ("", "parts/train/", "parts/test/"):
        for label in ("cat", "dog"):
            for number in range(3):
                place = tmp_path / (part or "plain") / label
                photo(place / f"{number}.png", sum(map(ord, f"{label}{part}")) + 1000 * number)
    (tmp_path / "plain" / "bird").mkdir()
    (tmp_path / "plain" / "fish" / "2021").mkdir(parents=True)
    (tmp_path / "parts" / "test" / "bird").mkdir()
    assert list_folder(tmp_path / "plain").warnings == (
        "bird/ is empty: there is nothing to learn of this class in it",
        "fish/ is empty: there is nothing to learn of this class in it",
    )
    assert list_folder(tmp_path / "parts").warnings == (
        "test/bird/ is empty: there is nothing to learn of this class in it",
    )
    told = CliRunner().invoke(app, ["inspect", str(tmp_path / "plain")])
    assert told.exit_code == 0, told.output
    assert "nothing is wrong" not in told.output
    assert "it can be trained on; warnings: 2" in told.output


def test_unreadable_files_decide_nothing(tmp_path: Path) -> None:
    """A broken file among the masks does not make classes of them: it is named as what it is."""
    penn_fudan(tmp_path)
    (tmp_path / "PedMasks" / "FudanPed00000_mask.png").write_bytes(b"nothing")
    Image.new("RGB", (3, 3)).save(tmp_path / "PNGImages" / "other.png")
    told = inspect(tmp_path)
    assert told.task == "segmentation"
    assert [(fault["file"], fault["kind"]) for fault in told.faults] == [
        ("PNGImages/other.png", "image without label"),
        ("PedMasks/FudanPed00000_mask.png", "broken mask"),
    ]


@pytest.mark.parametrize(
    ("photos", "masks"), [("PNGImages", "PedMasks"), ("JPEGImages", "SegmentationObject")]
)
def test_objects_are_not_classes(tmp_path: Path, photos: str, masks: str) -> None:
    """Palettes of numbers in folders that are known for it are separate objects, 255 between them none."""
    for number in range(9):
        photo(tmp_path / photos / f"{number}.png", number)
        values = blob(1)
        values[20:24, 20:24] = 2
        values[26:28, 30:] = 2 + number % 3
        values[4, :] = 255
        save(tmp_path / masks / f"{number}.png", values, palette=True)
    splits = load(tmp_path, Request("segmentation", 30, 40, 3))
    assert splits.labels == ("background", "object")
    assert splits.train.masks is not None
    assert splits.train.instances is not None
    assert not splits.train.masks[:, 4].any()
    assert not splits.train.instances[:, 4].any()
    assert set(np.unique(splits.train.instances)) == {0, 1, 2, 3, 4}


def test_palettes_of_numbers_are_asked_for(tmp_path: Path) -> None:
    """In other folders palettes of 1, 2, 3 ... up to one that differs may be either: it must be said."""
    for number in range(6):
        photo(tmp_path / "images" / f"{number}.png", number)
        values = blob(1)
        for place in range(number % 4):
            values[26:28, 8 * place : 8 * place + 4] = 2 + place
        save(tmp_path / "masks" / f"{number}.png", values, palette=True)
    with pytest.raises(DatasetError, match="could be classes or numbered objects"):
        load(tmp_path, Request("segmentation", 30, 40, 3))
    stated = load(tmp_path, Request("segmentation", 30, 40, 3, masks="classes"))
    assert len(stated.labels) == 5
