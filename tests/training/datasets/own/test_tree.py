"""No file below a folder is left out without a word."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from training.datasets import DatasetError, Task
from training.datasets.own.layout import list_folder
from training.datasets.own.listing import Listing


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 30)).save(path, "PNG")


def lay(folder: Path, *names: str) -> Path:
    for name in names:
        picture(folder / name)
    return folder


def labels(listing: Listing) -> dict[str, str]:
    return {listing.name(item.path): item.label for item in listing.items}


@pytest.mark.parametrize("name", ["cat/1.jfif", "cat/1.JPE", "cat/images/1.png"])
def test_no_class_is_left_out(tmp_path: Path, name: str) -> None:
    """Rarer suffixes of JPEG count, and images/ below a class is the class's."""
    listing = list_folder(lay(tmp_path, "dog/1.png", "cow/1.png", name))
    assert labels(listing) == {"dog/1.png": "dog", "cow/1.png": "cow", name: "cat"}
    assert not listing.faults


def test_classes_may_all_have_images_below(tmp_path: Path) -> None:
    """train/cat/images/1.png, as some archives have it, is a class folder."""
    lay(tmp_path, *(f"{part}/{label}/images/1.png" for part in ("train", "val") for label in ("cat", "dog")))
    listing = list_folder(tmp_path)
    assert {(item.label, item.part) for item in listing.items} == {
        (label, part) for part in ("train", "validation") for label in ("cat", "dog")
    }


@pytest.mark.parametrize("above", ["", "train/"])
def test_a_mask_may_be_a_class(tmp_path: Path, above: str) -> None:
    """Photos of people with a mask are a class; masks of the photos are none, and are said to be left out."""
    lay(tmp_path / "faces", f"{above}mask/1.png", f"{above}no_mask/1.png")
    assert set(labels(list_folder(tmp_path / "faces", "classification")).values()) == {"mask", "no_mask"}
    lay(tmp_path / "pets", f"{above}cat/1.png", f"{above}dog/1.png", f"{above}masks/cat/1.png")
    listing = list_folder(tmp_path / "pets", "classification")
    assert set(labels(listing).values()) == {"cat", "dog"}
    assert listing.notes == ("1 masks are left out: they are for --task segment",)


def test_links_are_followed(tmp_path: Path) -> None:
    """A class folder may be a link; one that leads back is not followed for ever, a dangling one is named."""
    lay(tmp_path / "elsewhere", "1.png")
    folder = lay(tmp_path / "photos", "dog/1.png")
    (folder / "cat").symlink_to(tmp_path / "elsewhere")
    (folder / "dog" / "back").symlink_to(folder)
    (tmp_path / "elsewhere" / "up").symlink_to(folder / "dog")
    found = list_folder(folder, None, "folders")
    assert labels(found) == {"dog/1.png": "dog", "cat/1.png": "cat", "cat/up/1.png": "cat"}
    (folder / "cow").symlink_to(tmp_path / "nowhere")
    found = list_folder(folder, None, "folders")
    assert [str(fault) for fault in found.faults] == ["cow: is a link to nothing"]


@pytest.mark.parametrize("name", [b"cat/caf\xe9.png", b"caf\xe9/1.png"])
def test_names_that_are_not_utf_8_are_named(tmp_path: Path, name: bytes) -> None:
    """What could not be written into any report is a fault, in letters that can be."""
    lay(tmp_path, "cat/1.png", "dog/1.png")
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    picture(path)
    listing = list_folder(tmp_path)
    assert len(listing.items) == 2
    (fault,) = listing.faults
    assert (fault.kind, fault.text) == ("unusable", "its name is not UTF-8: rename it")
    assert fault.file.startswith(("cat/caf\\xe9", "caf\\xe9"))
    with pytest.raises(DatasetError, match=r"own\\xe9 is not UTF-8: rename the folder"):
        list_folder(path.parent.rename(tmp_path / "own\udce9"))


def test_other_files_are_counted(tmp_path: Path) -> None:
    """Files that are not looked at are told by their suffixes, in a folder without images, too."""
    for number in range(3):
        lay(tmp_path, "cat/1.png", f"dog/{number}.png").joinpath("dog", f"{number}.psd").touch()
    (tmp_path / "README").touch()
    assert list_folder(tmp_path).notes == (
        "neither images nor labels, and ignored: 3 .psd, 1 without suffix",
    )
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "1.cr2").touch()
    with pytest.raises(DatasetError, match=r"holds no images \(1 \.cr2 are none\)"):
        list_folder(tmp_path / "raw")


CSV = "file,label\n{0}/1.png,{1}\n{0}/2.png,{2}\n"


def test_a_csv_is_for_images_anywhere_below(tmp_path: Path) -> None:
    """Where a CSV labels the images, their folders are no classes, unless they are what it calls them."""
    lay(tmp_path, "pics/1.png", "pics/2.png")
    (tmp_path / "labels.csv").write_text(CSV.format("pics", "cat", "dog"))
    assert labels(list_folder(tmp_path)) == {"pics/1.png": "cat", "pics/2.png": "dog"}
    for text in (CSV.format("pics", "pics", "dog"), CSV.format("gone", "cat", "dog").replace("png", "gif")):
        (tmp_path / "labels.csv").write_text(text)
        with pytest.raises(DatasetError, match="several kinds for classification"):
            list_folder(tmp_path)


def parts(listing: Listing) -> dict[str, str | None]:
    return {listing.name(item.path): item.part for item in listing.items}


def test_parts_below_classes_count(tmp_path: Path) -> None:
    """cat/train and cat/test are the user's division, if all classes have it; else a note says it is none."""
    names = ("cat/train/1.png", "cat/test/2.png", "dog/Train/3.png", "dog/test/4.png")
    assert parts(list_folder(lay(tmp_path, *names))) == dict(
        zip(names, ("train", "test", "train", "test"), strict=True)
    )
    listing = list_folder(lay(tmp_path, "cow/5.png"), None, "folders")
    assert set(parts(listing).values()) == {None}
    assert listing.notes == (
        "cat/test/ does not count as a part: put train/, val/ and test/ above the classes, or below all of "
        "them",
    )


def test_a_train_below_a_class_is_a_train(tmp_path: Path) -> None:
    """Trains among vehicles are no division, and not worth a word."""
    folder = lay(tmp_path, "vehicle/train/1.png", "vehicle/bus/2.png", "animal/3.png")
    listing = list_folder(folder, None, "folders")
    assert (set(parts(listing).values()), listing.notes) == ({None}, ())


ONE = "file,x_min,y_min,x_max,y_max\nimages/{}.png,1,1,9,9\n"


def by_name(folder: Path) -> None:
    for name, number in (("train_boxes", 1), ("test2020", 2)):
        (folder / f"{name}.csv").write_text(ONE.format(number))


def by_folder(folder: Path) -> None:
    for name, number in (("train", 1), ("test", 2)):
        (folder / "labels" / name).mkdir(parents=True)
        (folder / "labels" / name / "boxes.csv").write_text(ONE.format(number))


@pytest.mark.parametrize("write", [by_name, by_folder])
def test_label_files_may_divide(tmp_path: Path, write: Callable[[Path], None]) -> None:
    """train.csv and test.csv over one folder of images are the user's division, which is told."""
    lay(tmp_path, "images/1.png", "images/2.png")
    write(tmp_path)
    listing = list_folder(tmp_path)
    assert parts(listing) == {"images/1.png": "train", "images/2.png": "test"}
    assert listing.notes[0].startswith("the label files divide the images: ")


def test_one_label_file_divides_nothing(tmp_path: Path) -> None:
    """A single test.csv is a table of that name."""
    lay(tmp_path, "images/1.png")
    (tmp_path / "test.csv").write_text(ONE.format(1))
    assert parts(list_folder(tmp_path)) == {"images/1.png": None}


def test_parts_that_contradict_are_named(tmp_path: Path) -> None:
    """An image of two label files, or of a folder and a file, cannot be in two parts."""
    lay(tmp_path, "images/train/1.png", "images/test/2.png")
    for name, stated in (("train", "test/2"), ("test", "train/1")):
        (tmp_path / f"{name}.csv").write_text(ONE.format(stated) + ONE.format("train/1").partition("\n")[2])
    assert [str(fault) for fault in list_folder(tmp_path).faults] == [
        "images/test/2.png: is in test by its folder and in train by train.csv: keep it in one",
        "images/train/1.png: is in train by its folder and in test by test.csv: keep it in one",
    ]


@pytest.mark.parametrize("task", ["classification", "localization"])
def test_boxes_may_be_for_a_class_called_mask(tmp_path: Path, task: Task) -> None:
    """A CSV may name images in a folder called mask; masks beside are no images without a label."""
    lay(tmp_path, "images/1.png", "mask/2.png")
    (tmp_path / "boxes.csv").write_text(ONE.format(1) + "mask/2.png,1,1,9,9\n")
    listing = list_folder(tmp_path, task)
    assert set(labels(listing)) == {"images/1.png", "mask/2.png"}
    (tmp_path / "boxes.csv").write_text(ONE.format(1))
    assert not list_folder(tmp_path, task).faults
