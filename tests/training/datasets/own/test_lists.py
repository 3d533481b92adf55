"""The user's own division in files: Pascal VOC's ImageSets, lists of photos, of each class, and of paths."""

from pathlib import Path

import pytest

from tests.training.sets import blob, photo, save, voc, write
from training.datasets import Question
from training.datasets.own.classnames import class_names
from training.datasets.own.layout import list_folder
from training.datasets.own.listing import Listing


def parts(listing: Listing) -> dict[str, str | None]:
    """Return the part of each image by its stem."""
    return {item.path.stem: item.part for item in listing.items}


def lay(folder: Path, count: int = 6) -> None:
    for number in range(count):
        voc(folder, f"2007_{number}", [("cat" if number % 2 else "dog", (1, 1, 20, 20))], number)


def test_image_sets_divide(tmp_path: Path) -> None:
    """train, val and test of ImageSets/Main are the parts, and it is said; trainval is both, and no part."""
    lay(tmp_path)
    sets = tmp_path / "ImageSets" / "Main"
    write(sets / "train.txt", "2007_0\n2007_1\n2007_2\n")
    write(sets / "val.txt", "2007_3\n")
    write(sets / "trainval.txt", "2007_0\n2007_1\n2007_2\n2007_3\n")
    write(sets / "test.txt", "2007_4\r\n2007_5\r\n")
    listing = list_folder(tmp_path)
    assert parts(listing) == {
        "2007_0": "train",
        "2007_1": "train",
        "2007_2": "train",
        "2007_3": "validation",
        "2007_4": "test",
        "2007_5": "test",
    }
    assert listing.notes == (
        "ImageSets/Main/{test,train,val}.txt divide the images: train 3, validation 1, test 2",
    )
    assert not listing.faults


def test_trainval_alone_is_trained_on(tmp_path: Path) -> None:
    """Beside a test, trainval is all that there is to train on; validation is taken from it."""
    lay(tmp_path)
    write(tmp_path / "ImageSets" / "Main" / "trainval.txt", "2007_0\n2007_1\n2007_2\n2007_3\n")
    write(tmp_path / "ImageSets" / "Main" / "test.txt", "2007_4\n2007_5\n")
    assert set(parts(list_folder(tmp_path)).values()) == {"train", "test"}


def test_lists_of_each_class_divide(tmp_path: Path) -> None:
    """cat_train.txt names all images of the part with -1, 0 or 1: each is in it, whatever it shows."""
    lay(tmp_path)
    for label in ("cat", "dog"):
        sign = {"cat": (-1, 1), "dog": (1, -1)}[label]
        for part, numbers in (("train", range(4)), ("val", range(4, 6))):
            lines = "".join(f"2007_{number} {sign[number % 2]:2d}\n" for number in numbers)
            write(tmp_path / "ImageSets" / "Main" / f"{label}_{part}.txt", lines)
    listing = list_folder(tmp_path, "classification")
    assert parts(listing) == {f"2007_{n}": "train" if n < 4 else "validation" for n in range(6)}
    assert {item.path.stem: item.label for item in listing.items}["2007_1"] == "cat"


def test_segmentation_has_lists_of_its_own(tmp_path: Path) -> None:
    """Masks are divided by ImageSets/Segmentation, and photos that have none are not missing one."""
    lay(tmp_path)
    for number in range(4):
        save(tmp_path / "SegmentationClass" / f"2007_{number}.png", blob(8), palette=True)
    write(tmp_path / "ImageSets" / "Main" / "train.txt", "".join(f"2007_{n}\n" for n in range(6)))
    write(tmp_path / "ImageSets" / "Segmentation" / "train.txt", "2007_0\n2007_1\n2007_2\n")
    write(tmp_path / "ImageSets" / "Segmentation" / "val.txt", "2007_3\n")
    listing = list_folder(tmp_path, "segmentation")
    assert not listing.faults
    assert parts(listing) == {"2007_0": "train", "2007_1": "train", "2007_2": "train", "2007_3": "validation"}
    assert set(parts(list_folder(tmp_path, "localization")).values()) == {"train"}


def test_what_is_wrong_with_lists_is_named(tmp_path: Path) -> None:
    """An image in two lists, a name without an image, and how many are in none."""
    lay(tmp_path)
    write(tmp_path / "ImageSets" / "Main" / "train.txt", "2007_0\n2007_1\n2007_2\n2007_9\n")
    write(tmp_path / "ImageSets" / "Main" / "val.txt", "2007_2\n2007_3\n")
    listing = list_folder(tmp_path)
    assert [(fault.file, fault.kind, fault.text) for fault in listing.faults] == [
        ("ImageSets/Main/train.txt", "label without image", "there is no image 2007_9"),
        (
            "JPEGImages/2007_2.jpg",
            "leak",
            "is in train by ImageSets/Main/train.txt and in validation by ImageSets/Main/val.txt: "
            "keep it in one",
        ),
    ]
    assert listing.warnings == ("2 images are in none of these lists, and are left out",)


def test_lists_of_paths(tmp_path: Path) -> None:
    """train.txt may have paths, as YOLO's lists do, or names with numbers behind, as the pets' have."""
    for number in range(4):
        photo(tmp_path / "images" / f"a {number}.jpg", number)
        write(tmp_path / "labels" / f"a {number}.txt", "0 0.5 0.5 0.5 0.2")
    write(tmp_path / "train.txt", "./images/a 0.jpg\n/somewhere/else/images/a 1.jpg\n")
    write(tmp_path / "val.txt", "images\\a 2.jpg\nimages/a 3.jpg\n")
    expected = {"a 0": "train", "a 1": "train", "a 2": "validation", "a 3": "validation"}
    assert parts(list_folder(tmp_path)) == expected
    write(tmp_path / "train.txt", "#Image CLASS-ID SPECIES BREED ID\na 0 1 1 1\na 1 1 1 1\n")
    write(tmp_path / "val.txt", "a 2 1 1 2\na 3 1 1 2\n")
    assert parts(list_folder(tmp_path)) == expected


def test_a_folder_and_a_list_must_agree(tmp_path: Path) -> None:
    """An image in train/ that a list has for the test is a fault."""
    for part in ("train", "test"):
        for label in ("cat", "dog"):
            photo(tmp_path / part / label / f"{part}{label}.png", len(part) * len(label))
    write(tmp_path / "test.txt", "traincat\ntestcat\ntestdog\n")
    write(tmp_path / "train.txt", "traindog\n")
    (fault,) = list_folder(tmp_path).faults
    assert (fault.file, fault.kind) == ("train/cat/traincat.png", "leak")


def test_photos_called_train_are_no_list(tmp_path: Path) -> None:
    """The label file of an image that is called train.jpg is read as what it is."""
    for name in ("train", "test", "bus"):
        photo(tmp_path / f"{name}.jpg", len(name) + ord(name[0]))
        write(tmp_path / f"{name}.txt", "0 0.5 0.5 0.5 0.2")
    assert parts(list_folder(tmp_path)) == {"train": None, "test": None, "bus": None}


@pytest.mark.parametrize("task", ["localization", "segmentation"])
def test_a_question_before_the_lists(tmp_path: Path, task: str) -> None:
    """What a folder is for is asked before its lists are read, which differ by it."""
    lay(tmp_path)
    for number in range(6):
        save(tmp_path / "SegmentationClass" / f"2007_{number}.png", blob(8), palette=True)
    write(tmp_path / "ImageSets" / "Main" / "train.txt", "2007_0\n")
    with pytest.raises(Question, match=task):
        list_folder(tmp_path)


def test_a_list_of_validation_alone_leaves_the_rest_to_training(tmp_path: Path) -> None:
    """valid.txt without a train.txt, as in CamVid: what it does not name is trained on; none is lost."""
    for number in range(6):
        photo(tmp_path / "images" / f"0001TP_{number}.png", number)
        save(tmp_path / "labels" / f"0001TP_{number}_P.png", blob(1 + number % 2))
    write(tmp_path / "codes.txt", "Void\nTree\nCar\n")
    write(tmp_path / "valid.txt", "0001TP_4.png\n0001TP_5.png\n")
    listing = list_folder(tmp_path)
    assert parts(listing) == {
        f"0001TP_{number}": "validation" if number > 3 else "train" for number in range(6)
    }
    assert listing.notes == ("valid.txt divide the images: train 4, validation 2",)
    assert (listing.warnings, listing.faults) == ((), ())
    assert class_names(listing) == ["Void", "Tree", "Car"]
