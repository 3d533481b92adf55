"""Nested class folders are groups of classes; what could be meant otherwise is asked, not guessed."""

import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.training.folders import load, picture
from training.__main__ import app
from training.datasets import DatasetError, Question
from training.datasets.own.layout import list_folder
from training.datasets.own.listing import Listing

BREEDS = ("cat/bengal", "cat/siamese", "dog/pug")


def lay(folder: Path, *names: str) -> Path:
    """Lay empty pictures: a folder is listed by its names alone."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30)).save(path, "PNG")
    return folder


def facts(listing: Listing) -> dict[str, tuple[str, str, str | None]]:
    """Return label, group and part of each image."""
    return {listing.name(one.path): (one.label, one.group, one.part) for one in listing.items}


def test_nested_class_folders_are_groups(tmp_path: Path) -> None:
    """photos/cat/bengal/1.jpg is a bengal of the group cat; a note says so, and how to have it otherwise."""
    listing = list_folder(lay(tmp_path, *(f"{breed}/1.png" for breed in BREEDS)))
    assert (listing.task, listing.layout) == ("classification", "nested class folders")
    assert facts(listing) == {
        "cat/bengal/1.png": ("bengal", "cat", None),
        "cat/siamese/1.png": ("siamese", "cat", None),
        "dog/pug/1.png": ("pug", "dog", None),
    }
    assert listing.notes == (
        "3 classes in 2 groups, the outermost folders; --labels folders takes these for the classes",
    )
    flat = list_folder(tmp_path, None, "folders")
    assert flat.layout == "class folders"
    assert {(label, group) for label, group, _ in facts(flat).values()} == {("cat", ""), ("dog", "")}


@pytest.mark.parametrize(
    "name",
    [
        "{part}/{group}/{breed}/1.png",
        "{group}/{part}/{breed}/1.png",
        "{group}/{breed}/{part}/1.png",
        "{part}/images/{group}/{breed}/1.png",
        "{part}/{group}/{breed}/images/1.png",
    ],
)
def test_parts_stand_above_between_or_below(tmp_path: Path, name: str) -> None:
    """Wherever train and test stand, if all images are in one; images/ on the way is nothing of its own."""
    for part in ("train", "test"):
        for breed in BREEDS:
            group, own = breed.split("/")
            lay(tmp_path, name.format(part=part, group=group, breed=own))
    assert set(facts(list_folder(tmp_path)).values()) == {
        (breed, group, part)
        for group, breed in (each.split("/") for each in BREEDS)
        for part in ("train", "test")
    }


@pytest.mark.parametrize(
    ("names", "words", "options"),
    [
        # One stray photo must not turn all breeds into cats and dogs.
        (("dog/2.png",), "(dog/2.png) and in folders within one (cat/bengal/1.png)", ["folders"]),
        # A group of one label is dog/dog/.
        (("cow/2.png",), "(cow/2.png) and in folders within one (cat/bengal/1.png)", ["folders"]),
        (("dog/bengal/2.png",), "has a folder bengal both in cat and in dog", ["folders"]),
        (("cat/bengal/old/2.png",), "(cat/bengal/old/2.png)", ["folders", "groups"]),
    ],
)
def test_what_is_not_plain_is_asked(
    tmp_path: Path, names: tuple[str, ...], words: str, options: list[str]
) -> None:
    """Flat beside nested, a class in two groups, a third folder: each is named, with what decides it."""
    folder = lay(tmp_path, *(f"{breed}/1.png" for breed in BREEDS), *names)
    with pytest.raises(Question) as raised:
        list_folder(folder)
    assert words in str(raised.value)
    assert [one.labels for one in raised.value.readings] == options
    for option in options:
        assert f"say --labels {option}" in str(raised.value)
    flat = facts(list_folder(folder, None, "folders"))
    assert all(label == name.split("/")[0] for name, (label, _, _) in flat.items())
    # Of one reading alone nobody is told that there is another.
    assert ("Either each" in str(raised.value)) == (len(options) > 1)


def test_deeper_folders_may_be_groups_where_that_is_said(tmp_path: Path) -> None:
    """With --labels groups the second folder is the class, whatever is in it; a photo without is a fault."""
    folder = lay(tmp_path, *(f"{breed}/1.png" for breed in BREEDS), "cat/bengal/old/2.png", "dog/3.png")
    listing = list_folder(folder, None, "groups")
    assert facts(listing)["cat/bengal/old/2.png"] == ("bengal", "cat", None)
    (fault,) = listing.faults
    assert str(fault).startswith("dog/3.png: has no label: it lies right in the folder of a group, so put it")


def test_what_cannot_be_groups_is_refused(tmp_path: Path) -> None:
    """One group says nothing, and two classes of one name would be one: each is said, and what is right."""
    one = lay(tmp_path / "one", "all/cat/1.png", "all/dog/1.png")
    assert {label for label, _, _ in facts(list_folder(one)).values()} == {"all"}
    with pytest.raises(DatasetError, match=r"are in all: one group alone says nothing\. Give the"):
        list_folder(one, None, "groups")
    two = lay(tmp_path / "two", "cat/black/1.png", "dog/black/1.png", "dog/brown/1.png")
    with pytest.raises(DatasetError, match=r"a folder black both in cat and in dog, .*: rename one"):
        list_folder(two, None, "groups")


def test_empty_class_and_group_folders_are_named(tmp_path: Path) -> None:
    """Where folders are nested, an empty class is told, and so is a group without any."""
    folder = lay(tmp_path, *(f"{breed}/1.png" for breed in BREEDS))
    (folder / "cat" / "sphynx").mkdir()
    (folder / "fish").mkdir()
    told = "is empty: there is nothing to learn of this class in it"
    assert list_folder(folder).warnings == (f"cat/sphynx/ {told}", f"fish/ {told}")


def photos(folder: Path) -> Path:
    for breed in BREEDS:
        for number in range(4):
            picture(folder / breed / f"{number}.png")
    return folder


def test_splits_have_the_group_of_each_label(tmp_path: Path) -> None:
    """The labels are the classes, each with its group, also where it is read from the cache again."""
    folder = photos(tmp_path / "own")
    for _ in range(2):
        splits = load(folder, "classification")
        assert (splits.labels, splits.groups) == (("bengal", "pug", "siamese"), ("cat", "dog", "cat"))
    assert load(folder, "classification", labels="folders").groups == ()


def test_one_group_that_is_left_is_none(tmp_path: Path) -> None:
    """Where all photos of the other group are broken and left out, groups say nothing any more."""
    folder = photos(tmp_path / "own")
    for number in range(4):
        (folder / "dog" / "pug" / f"{number}.png").write_bytes(b"no picture")
    splits = load(folder, "classification", skip_broken=True)
    assert (splits.labels, splits.groups) == (("bengal", "siamese"), ())


def test_inspect_tells_the_groups(tmp_path: Path) -> None:
    """Classes stand below their group; programs get them by group; what is asked ends with 2."""
    folder = photos(tmp_path / "own")
    told = CliRunner().invoke(app, ["inspect", str(folder)])
    assert told.exit_code == 0, told.output
    lines = told.output.splitlines()
    start = lines.index("  group cat: 2 classes")
    assert [line.split()[0] for line in lines[start + 1 : start + 3]] == ["bengal", "siamese"]
    assert lines[start + 3] == "  group dog: 1 classes"
    assert lines[-1] == "  it can be trained on; doubts: 3"
    told = CliRunner().invoke(app, ["inspect", str(folder), "--json"])
    assert json.loads(told.output)["groups"] == {"cat": ["bengal", "siamese"], "dog": ["pug"]}
    picture(folder / "dog" / "stray.png")
    told = CliRunner().invoke(app, ["inspect", str(folder)])
    assert isinstance(told.exception, Question)
    assert told.exception.exit_code == 2
    assert CliRunner().invoke(app, ["inspect", str(folder), "--labels", "folders"]).exit_code == 0
