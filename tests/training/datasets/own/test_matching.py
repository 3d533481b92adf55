"""A label goes to the image that its file means, wherever both lie, and never to another of the same name."""

import re
from pathlib import Path

import pytest

from training.datasets.own.matching import Images

TREE = ("images/a/0.png", "images/b/0.png", "images/b/1.png")


def match(images: tuple[str, ...], file: str, *names: str) -> list[str]:
    """Return the image for each stated path, or what is wrong; then the note, if there is one."""
    found, note = Images(map(Path, images)).stated(Path(file), names)
    return [*(one if isinstance(one, str) else one.as_posix() for one in found), *[note] * bool(note)]


@pytest.mark.parametrize(
    ("images", "file", "stated", "found"),
    [
        (("1.png",), "boxes.csv", "1.png", "1.png"),
        (("images/1.png",), "boxes.csv", "1.png", "images/1.png"),
        (("images/1.png",), "labels/boxes.csv", "../images/1.png", "images/1.png"),
        (("images/1.png",), "boxes.csv", r"C:\me\photos\images\1.png", "images/1.png"),
        (("imgs/1.png",), "boxes.csv", "images/1.png", "imgs/1.png"),
        (("1.png",), "boxes.csv", "images/1.png", "1.png"),
        (TREE, "annotations/all.json", "a/0.png", "images/a/0.png"),
        (TREE, "annotations/all.json", "/home/me/b/0.png", "images/b/0.png"),
        (TREE, "a/boxes.csv", "0.png", "images/a/0.png"),
        (("train/images/1.png", "val/images/1.png"), "val/boxes.csv", "images/1.png", "val/images/1.png"),
        (("images/train/1.png", "images/val/1.png"), "boxes.csv", "val/images/1.png", "images/val/1.png"),
        (("Cats/1.png", "dogs/1.png"), "boxes.csv", "cats/1.png", "Cats/1.png"),
    ],
)
def test_a_stated_path_is_found(images: tuple[str, ...], file: str, stated: str, found: str) -> None:
    """Paths may begin elsewhere, with other slashes and other names for the folder of images."""
    assert match(images, file, stated) == [found]


@pytest.mark.parametrize(
    ("images", "file", "stated", "message"),
    [
        (TREE, "boxes.csv", "images/a/1.png", "there is no image images/a/1.png"),
        (TREE, "boxes.csv", "images/c/1.png", "there is no image images/c/1.png, only images/b/1.png"),
        (TREE, "boxes.csv", "a/2.png", "there is no image a/2.png"),
        (
            TREE,
            "a/boxes.csv",
            "1.png",
            "there is no image 1.png where this file belongs, only images/b/1.png",
        ),
        (
            TREE,
            "boxes.csv",
            "0.png",
            "several images are called 0.png (images/a/0.png, images/b/0.png); give the folder too",
        ),
        (
            ("x/a/0.png", "y/a/0.png"),
            "boxes.csv",
            "a/0.png",
            "several images fit a/0.png (x/a/0.png, y/a/0.png); give the whole path",
        ),
        (
            ("train/1.png",),
            "test/boxes.csv",
            "1.png",
            "there is no image 1.png where this file belongs, only",
        ),
        (
            ("train/images/1.png",),
            "test/boxes.csv",
            "images/1.png",
            "there is no image 1.png where this file",
        ),
        (("images/train/1.png",), "boxes.csv", "test/1.png", "there is no image test/1.png, only images/tr"),
    ],
)
def test_an_image_of_the_same_name_is_another(
    images: tuple[str, ...], file: str, stated: str, message: str
) -> None:
    """Where the image that is meant is missing, no other takes its label; several that fit are named."""
    (found,) = match(images, file, stated)
    assert found.startswith(message)


def test_moved_images_are_found_by_name() -> None:
    """Where no folder that a file states is here, names alone count, and that is said; once only in doubt."""
    images = ("pics/1.png", "pics/2.png")
    found = match(images, "boxes.csv", "/old/one/1.png", "/old/two/2.png")
    assert found[:2] == list(images)
    assert found[2].startswith("boxes.csv: there is no folder /old/one here")
    for doubtful in (("/old/one/1.png", "/old/two/1.png"), ("pics/2.png", "/old/1.png")):
        assert any(one.startswith("there is no image /old/") for one in match(images, "boxes.csv", *doubtful))


def test_voc_files_go_by_their_own_names() -> None:
    """A VOC file is for the image of its stem in the folder of the same name, and for none elsewhere."""
    images = Images(map(Path, (*TREE, "train/7.jpg", "test/8.jpg")), stems=True)
    for file, image in (
        ("labels/a/0.xml", "images/a/0.png"),
        ("images/b/0.xml", "images/b/0.png"),
        ("Annotations/1.xml", "images/b/1.png"),
        ("test/8.xml", "test/8.jpg"),
    ):
        assert images.beside(Path(file), Path(file).stem) == Path(image)
    for file, message in (
        ("test/7.xml", "no image 7 where this file belongs, only train/7.jpg"),
        ("labels/a/1.xml", "no image 1 where this file belongs"),
        ("Annotations/0.xml", "several images are called 0 .*; put this file beside its image"),
    ):
        assert re.search(message, str(images.beside(Path(file), Path(file).stem)))
