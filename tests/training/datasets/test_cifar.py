"""CIFAR, from folders and from the official binary files."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.datasets import SOURCES, DatasetError, Request
from training.datasets.cifar import COARSE, FINE, SUPERCLASSES

TEN = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
REQUEST = Request("classification", 32, 32, 3)


def write_folders(root: Path, names: tuple[str, ...], per_class: int = 10) -> Path:
    """Write folders of plain images; a training image's red is its class, its green its number."""
    for label, name in enumerate(names):
        for part, count in (("train", per_class), ("test", 1)):
            folder = root / part / name.replace(" ", "_")
            folder.mkdir(parents=True)
            for number in range(count):
                Image.new("RGB", (32, 32), (label, number, 7)).save(folder / f"{number:02}.png")
    return root


def test_the_superclasses_are_twenty_of_five() -> None:
    """Each of the 100 fine classes is in exactly one of the 20 coarse ones."""
    assert len(COARSE) == 20
    assert all(len(names) == 5 for names in SUPERCLASSES.values())
    assert len(set(FINE)) == 100
    assert FINE[0] == "apple"
    assert FINE[-1] == "worm"


def test_folders_are_split_by_class(tmp_path: Path) -> None:
    """A tenth of each class is for validation, the test folder for test, and no image is in two parts."""
    splits = SOURCES["cifar-10"].load(write_folders(tmp_path, TEN), REQUEST)
    assert splits.labels == TEN
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [90, 10, 10]
    assert splits.validation.labels is not None
    assert sorted(splits.validation.labels.tolist()) == list(range(10))
    for part in (splits.train, splits.validation, splits.test):
        assert part.images[:, 5, 5, 0].tolist() == (part.labels.tolist() if part.labels is not None else [])
    assert splits.train.paths is not None
    assert splits.validation.paths is not None
    assert not set(splits.train.paths) & set(splits.validation.paths)


def test_coarse_labels_follow_the_table(tmp_path: Path) -> None:
    """With the target coarse, an image of a fine class has the label of its superclass."""
    write_folders(tmp_path, FINE, per_class=2)
    load = SOURCES["cifar-100"].load
    fine = load(tmp_path, REQUEST)
    coarse = load(tmp_path, Request("classification", 32, 32, 3, target="coarse"))
    assert (fine.labels, coarse.labels) == (FINE, COARSE)
    assert fine.test.labels is not None
    assert coarse.test.labels is not None
    for label, group in zip(fine.test.labels, coarse.test.labels, strict=True):
        assert FINE[label] in SUPERCLASSES[COARSE[group]]


def records(labels: list[list[int]]) -> bytes:
    """Return records of the binary form: label bytes, then a red, a green and a blue plane."""
    planes = np.repeat(np.asarray([10, 20, 30], np.uint8), 1024).tobytes()
    return b"".join(bytes(label) + planes for label in labels)


def write_archive_files(root: Path) -> Path:
    """Write the unpacked archive of CIFAR-100: coarse label, fine label, pixels."""
    folder = root / "cifar-100-binary"
    folder.mkdir(parents=True)
    (folder / "train.bin").write_bytes(records([[4, fine] for fine in (0, 0, 99, 99)]))
    (folder / "test.bin").write_bytes(records([[4, 0]]))
    return folder


def test_binary_files_hold_planes_of_colour(tmp_path: Path) -> None:
    """The fine label and red, green, blue of each pixel are found where the format has them."""
    write_archive_files(tmp_path)
    splits = SOURCES["cifar-100"].load(tmp_path, REQUEST)
    assert splits.train.images.shape == (2, 32, 32, 3)
    assert splits.train.images[0, 3, 4].tolist() == [10, 20, 30]
    assert splits.test.labels is not None
    assert splits.test.labels.tolist() == [0]
    small = SOURCES["cifar-100"].load(tmp_path, Request("classification", 16, 16, 1))
    assert small.train.images.shape == (2, 16, 16, 1)


def test_faults_are_named(tmp_path: Path) -> None:
    """A damaged file, a class too many, an empty class, a damaged archive and an unknown target are errors
    that say so.
    """
    folder = write_archive_files(tmp_path)
    load = SOURCES["cifar-100"].load
    with pytest.raises(DatasetError, match="'fine' and 'coarse', not 'medium'"):
        load(tmp_path, Request("classification", 32, 32, 3, target="medium"))
    (folder / "test.bin").write_bytes(records([[4, 100]]))
    with pytest.raises(DatasetError, match="a class 100"):
        load(tmp_path, REQUEST)
    (folder / "test.bin").write_bytes(b"short")
    with pytest.raises(DatasetError, match=r"test\.bin is damaged"):
        load(tmp_path, REQUEST)
    (folder / "test.bin").unlink()
    with pytest.raises(DatasetError, match=r"test\.bin is missing"):
        load(tmp_path, REQUEST)
    ten = write_folders(tmp_path / "ten", TEN[:-1], per_class=2)
    with pytest.raises(DatasetError, match="truck has no PNG files"):
        SOURCES["cifar-10"].load(ten, REQUEST)
    (tmp_path / "other").mkdir()
    archive = tmp_path / "other" / "cifar-10-binary.tar.gz"
    archive.write_bytes(b"no archive")
    with pytest.raises(DatasetError, match=r"tar\.gz is damaged: its md5"):
        SOURCES["cifar-10"].load(tmp_path / "other", REQUEST)
