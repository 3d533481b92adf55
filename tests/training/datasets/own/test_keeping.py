"""A folder of one's own is decoded once for all that is done with it, and again only where a file changed."""

import logging
import os
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.sets import blob, photo, save, write
from training import drawn
from training.datasets import DatasetError, Request, Splits, Task
from training.datasets.own.folder import load
from training.datasets.own.tree import state_of
from training.learnable import LEARNABLE
from training.recipes import defaults

opened: Counter[str] = Counter()
"""How often each file was opened, by all of this process, since the last look."""


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and isinstance(arguments[0], str | os.PathLike):
        opened[os.fspath(arguments[0])] += 1


sys.addaudithook(_note)


def times(folder: Path) -> Counter[int]:
    """Return how many images were opened so many times since the last look."""
    found = Counter(
        opened[str(path)] for path in sorted(folder.rglob("*")) if path.suffix in (".jpg", ".png")
    )
    opened.clear()
    return found


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("TRAINING_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def settle(folder: Path) -> None:
    """Let all files be of yesterday, as those of a user are."""
    for path in folder.rglob("*"):
        os.utime(path, ns=(10**18, 10**18))


def same(one: Splits, other: Splits) -> bool:
    """Return whether two splits hold the same, array by array."""
    pairs = zip(
        (one.train, one.validation, one.test), (other.train, other.validation, other.test), strict=True
    )
    return one.labels == other.labels and all(
        left.paths == right.paths
        and all(
            np.array_equal(getattr(left, name), getattr(right, name))
            for name in ("images", "labels", "label_sets", "boxes", "masks", "instances", "objects")
            if getattr(left, name) is not None or getattr(right, name) is not None
        )
        for left, right in pairs
    )


@pytest.mark.parametrize("task", LEARNABLE)
def test_each_file_is_decoded_once(tmp_path: Path, cache: Path, task: Task) -> None:
    """Choosing a recipe and reading its data open a file twice, header and pixels; nothing later does."""
    folder = drawn.draw_folder(tmp_path / "photos", task, 24)
    settle(folder)
    opened.clear()
    recipe = defaults.for_folder(folder, task, size=32)
    first = recipe.load(tmp_path)
    once = times(folder)
    if task == "segmentation":
        # Masks have no header to be looked at: 24 photos, 24 masks.
        assert once == {2: 24, 1: 24}
    else:
        assert once == {2: 24}
    for _ in ("evaluate", "report"):
        assert same(recipe.load(tmp_path), first)
    assert times(folder) == {0: once.total()}
    assert isinstance(first.train.images, np.memmap)
    assert len(list(cache.iterdir())) == 2 + (LEARNABLE[task].truth in ("labels", "objects", "mask"))


def test_what_is_kept_is_what_was_read(tmp_path: Path, cache: Path) -> None:
    """Objects, notes and warnings come back as they were, each part a view of one mapped array."""
    for number in range(12):
        photo(tmp_path / "own" / "images" / f"{number}.png", number)
        values = np.zeros((30, 40), np.uint16)
        for place in range(18 + number):
            values[place, 3:9] = place * 20 + 1
        path = tmp_path / "own" / "masks" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        save(path, values)  # type: ignore[arg-type]
    request = Request("segmentation", 30, 40, 3)
    first = load(tmp_path / "own", request)
    assert first.train.instances is not None
    second = load(tmp_path / "own", request)
    assert same(first, second)
    assert second.train.instances is not None
    assert second.train.instances.dtype == np.uint16
    assert len(np.unique(second.train.instances[0])) > 16
    assert second.train.images.base is not None
    assert second.fingerprint == first.fingerprint


VICTIM = "images/0003.png"


def touch(folder: Path) -> None:
    status = (folder / VICTIM).stat()
    os.utime(folder / VICTIM, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


def resize(folder: Path) -> None:
    photo(folder / VICTIM, 99, (100, 90))


def add(folder: Path) -> None:
    photo(folder / "images" / "0099.png", 99, (50, 50))
    with (folder / "boxes.csv").open("a") as file:
        file.write("images/0099.png,1,1,20,20,disc\n")


def without(folder: Path) -> list[str]:
    return [line for line in (folder / "boxes.csv").read_text().splitlines() if VICTIM not in line]


def remove(folder: Path) -> None:
    (folder / VICTIM).unlink()
    write(folder / "boxes.csv", "\n".join(without(folder)))


def relabel(folder: Path) -> None:
    write(folder / "boxes.csv", "\n".join([*without(folder), f"{VICTIM},0,0,5,5,square"]))


def victims(splits: Splits) -> list[tuple[float, float]]:
    """Return how noisy the one image is, and how wide its box."""
    parts = (splits.train, splits.validation, splits.test)
    return [
        (float(part.images[row].std()), float(part.boxes[row, 2] - part.boxes[row, 0]))
        for part in parts
        for row, path in enumerate(part.paths or ())
        if path.as_posix().endswith(VICTIM) and part.boxes is not None
    ]


@pytest.mark.parametrize(
    ("change", "count"), [(touch, 24), (resize, 24), (add, 25), (remove, 23), (relabel, 24)]
)
def test_what_changes_is_read_again(
    tmp_path: Path, cache: Path, change: Callable[[Path], None], count: int
) -> None:
    """A file with another size or time, one more, one less, or another label: nothing old is answered."""
    folder = drawn.draw_folder(tmp_path / "photos", "localization", 24)
    request = Request("localization", 32, 32, 3)
    before = victims(load(folder, request))
    change(folder)
    opened.clear()
    again = load(folder, request)
    assert 0 not in times(folder)
    assert len(again.train) + len(again.validation) + len(again.test) == count
    assert (victims(again) == before) == (change in (touch, add))
    assert bool(victims(again)) == (change is not remove)


def test_other_options_are_other_data(tmp_path: Path, cache: Path) -> None:
    """Another size, or other groups, are read for themselves, and neither takes the other's place."""
    folder = drawn.draw_folder(tmp_path / "photos", "classification", 32)
    first = load(folder, Request("classification", 32, 32, 3))
    small = load(folder, Request("classification", 16, 16, 1))
    grouped = load(folder, Request("classification", 32, 32, 3, group_by=r"^\d{3}"))
    assert small.train.images.shape[1:] == (16, 16, 1)
    assert first.train.paths != grouped.train.paths or first.test.paths != grouped.test.paths
    assert same(load(folder, Request("classification", 32, 32, 3)), first)


def test_a_damaged_cache_is_made_again(tmp_path: Path, cache: Path) -> None:
    """What is cut short, gone or no JSON is read from the folder once more."""
    folder = drawn.draw_folder(tmp_path / "photos", "classification", 24)
    request = Request("classification", 32, 32, 3)
    images = np.array(load(folder, request).train.images)
    for damage in ("cut", "gone", "words"):
        array = next(cache.glob("own-*-images.npy"))
        document = next(cache.glob("own-*.json"))
        if damage == "cut":
            os.truncate(array, 500)
        elif damage == "gone":
            array.unlink()
        else:
            document.write_text("{")
        assert np.array_equal(load(folder, request).train.images, images)


def test_without_a_cache_it_is_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the cache cannot be written, a command still decodes once, and says so."""
    write(tmp_path / "file", "no folder")
    monkeypatch.setenv("TRAINING_CACHE_DIR", str(tmp_path / "file" / "cache"))
    folder = drawn.draw_folder(tmp_path / "photos", "classification", 24)
    request = Request("classification", 32, 32, 3)
    with caplog.at_level(logging.WARNING, "training"):
        first = load(folder, request)
    assert "decoding into memory" in caplog.text
    opened.clear()
    assert same(load(folder, request), first)
    assert times(folder) == {0: 24}


def test_the_log_says_the_same_each_time(
    tmp_path: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What was left out, noted and warned of is told by every command, from the cache too."""
    folder = drawn.draw_folder(tmp_path / "photos", "localization", 24)
    (folder / "images" / "0001.png").write_bytes(b"nothing")
    with (folder / "boxes.csv").open("a") as file:
        file.write("images/0002.png,1,1,9,9,disc\n")
    request = Request("localization", 32, 32, 3, skip_broken=True)
    texts = []
    for _ in range(2):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "training"):
            load(folder, request)
        texts.append([record.getMessage() for record in caplog.records])
    assert texts[0] == texts[1]
    assert any("left out: images/0001.png" in text for text in texts[0])
    assert any("1 of 25 boxes are dropped" in text for text in texts[0])


def test_a_changed_folder_is_refused_from_the_cache_too(tmp_path: Path, cache: Path) -> None:
    """A run that goes on must find what it began with, though something else is kept of the folder."""
    folder = drawn.draw_folder(tmp_path / "photos", "classification", 24)
    begun = load(folder, Request("classification", 32, 32, 3)).fingerprint
    photo(folder / "sign" / "new.png", 5)
    load(folder, Request("classification", 32, 32, 3))
    with pytest.raises(DatasetError, match="is not what it was when the run began"):
        load(folder, Request("classification", 32, 32, 3, fingerprint=begun))


def test_state_of_a_folder(tmp_path: Path) -> None:
    """Files, empty folders and links to nothing count, hidden ones do not, and links that lead back end."""
    save(tmp_path / "a" / "1.png", blob())
    (tmp_path / "a" / ".DS_Store").write_bytes(b"x")
    (tmp_path / "b").mkdir()
    (tmp_path / "c").symlink_to(tmp_path / "nowhere")
    (tmp_path / "a" / "d").symlink_to(tmp_path)
    assert [(name, size >= 0) for name, size, _ in state_of(tmp_path)] == [
        ("a/1.png", True),
        ("b/", False),
        ("c", False),
    ]
    assert state_of(tmp_path / "none") == [("", -1, 0)]
