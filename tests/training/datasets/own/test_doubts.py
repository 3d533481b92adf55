"""What is doubtful in a folder of one's own: near-duplicates, bad photos, odd ones, too few."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter

from tests import worlds
from tests.worlds import different_photos, photo
from training.commands.inspection import Inspection, inspect
from training.datasets import SOURCES, Request, Splits
from training.datasets.dataset import NEAR
from training.datasets.own import doubts


def told(inspection: Inspection) -> dict[str, list[tuple[str, ...]]]:
    """Return the files of each kind of doubt."""
    found: dict[str, list[tuple[str, ...]]] = {}
    for doubt in inspection.doubts:
        found.setdefault(doubt.kind, []).append(doubt.files)
    return found


def load(home: Path, fingerprint: str = "") -> Splits:
    return SOURCES["folder"].load(home, Request("classification", 32, 32, 3, fingerprint=fingerprint))


def parts(splits: Splits) -> dict[str, int]:
    return {
        path.relative_to(path.parents[1]).as_posix(): part
        for part, samples in enumerate((splits.train, splits.validation, splits.test))
        for path in samples.paths or ()
    }


def test_a_good_folder_raises_no_doubts(tmp_path: Path) -> None:
    """Different, sharp photos, enough of each class: nothing is said."""
    assert inspect(different_photos(tmp_path)).doubts == []


def test_near_duplicates_share_a_part(tmp_path: Path) -> None:
    """A photo and its smaller, re-encoded and brighter forms are never torn apart, whichever photo it is."""
    different_photos(tmp_path, 20)
    for number in range(20):
        original = Image.open(tmp_path / "cat" / f"{number:02d}.png")
        original.reduce(2).save(tmp_path / "cat" / f"{number:02d}-small.jpg", quality=60)
        ImageEnhance.Brightness(original).enhance(1.1).save(tmp_path / "cat" / f"{number:02d}-bright.png")
    splits = load(tmp_path)
    found = parts(splits)
    assert {found[name] for name in found} == {0, 1, 2}
    for number in range(20):
        forms = {found[f"cat/{number:02d}{end}"] for end in (".png", "-small.jpg", "-bright.png")}
        assert len(forms) == 1
    (first, *_) = [doubt for doubt in splits.doubts if "cat/00.png" in doubt.files]
    assert first.kind == doubts.NEAR
    assert first.files == ("cat/00-bright.png", "cat/00-small.jpg", "cat/00.png")
    # What was kept is what was read.
    assert load(tmp_path).doubts == splits.doubts


def test_a_run_from_before_goes_on_as_it_was_divided(tmp_path: Path) -> None:
    """A fingerprint from before near-duplicates were kept together gives the division of that time: what was
    trained on then is not tested on now.
    """
    different_photos(tmp_path, 20)
    for number in range(20):
        photo(number).reduce(2).save(tmp_path / "cat" / f"{number:02d}-small.jpg")
    new = load(tmp_path)
    assert new.fingerprint.startswith(NEAR)
    old = load(tmp_path, new.fingerprint.removeprefix(NEAR))
    assert old.fingerprint == new.fingerprint.removeprefix(NEAR)
    torn = [
        n for n in range(20) if len({parts(old)[f"cat/{n:02d}{end}"] for end in (".png", "-small.jpg")}) > 1
    ]
    assert torn
    assert parts(load(tmp_path, new.fingerprint)) == parts(new)
    assert parts(load(tmp_path, old.fingerprint)) == parts(old)


def test_near_duplicates_in_the_users_own_parts_are_told(tmp_path: Path) -> None:
    """Where the user has divided, a photo stays where it is, and it is said that figures will be too good."""
    different_photos(tmp_path / "train")
    for place, label in enumerate(("cat", "dog")):
        (tmp_path / "test" / label).mkdir(parents=True)
        for number in range(4):
            photo(5000 + 100 * place + number).save(tmp_path / "test" / label / f"{number}.png")
    Image.open(tmp_path / "train" / "cat" / "03.png").save(tmp_path / "test" / "cat" / "same.jpg", quality=80)
    found = inspect(tmp_path)
    assert found.sound
    (doubt,) = [one for one in found.doubts if one.kind == doubts.ACROSS]
    assert doubt.files == ("test/cat/same.jpg", "train/cat/03.png")
    assert "in test and in train: the figures will be too good" in doubt.text


def test_near_duplicates_with_two_labels_are_told(tmp_path: Path) -> None:
    """Almost the same picture as a cat and as a dog: one of them is wrong."""
    different_photos(tmp_path)
    Image.open(tmp_path / "cat" / "05.png").save(tmp_path / "dog" / "odd.jpg", quality=70)
    found = told(inspect(tmp_path))
    assert found == {doubts.UNLIKE: [("cat/05.png", "dog/odd.jpg")]}


def test_where_all_are_alike_training_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Frames of a camera that does not move are all near-duplicates: keeping them together would leave no
    division, so it is made without, and that is told.
    """
    chance = np.random.default_rng(0)
    for label in ("open", "closed"):
        (tmp_path / label).mkdir()
        for number in range(12):
            frame = np.asarray(photo(1)) + chance.integers(0, 3, (240, 320, 3), np.uint8)
            Image.fromarray(frame.astype(np.uint8)).save(tmp_path / label / f"{number}.png")
    splits = load(tmp_path)
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [16, 4, 4]
    assert "Too many images are near-duplicates to be kept in one part: only copies are." in caplog.text
    assert {doubt.kind for doubt in splits.doubts} == {doubts.ACROSS, doubts.UNLIKE}


def test_bad_photos_are_told(tmp_path: Path) -> None:
    """Dark, washed out, blurred and blank ones, small ones, and those of another shape, each by its name."""
    different_photos(tmp_path, 30)
    white = Image.new("RGB", (320, 240), "white")
    white.paste(photo(901, (60, 45)), (130, 100))
    bad = {
        "dark": ImageEnhance.Brightness(photo(900)).enhance(0.2),
        "bright": white,
        "blurred": photo(902).filter(ImageFilter.GaussianBlur(14)),
        "blank": Image.new("RGB", (320, 240), (128, 120, 110)),
        "odd size": photo(903, (60, 45)),
        "odd shape": photo(904, (900, 90)),
    }
    for name, image in bad.items():
        image.save(tmp_path / "cat" / f"{name}.png")
    inspection = inspect(tmp_path)
    assert told(inspection) == {kind: [(f"cat/{kind}.png",)] for kind in bad}
    texts = {doubt.kind: doubt.text for doubt in inspection.doubts}
    assert texts["odd size"] == "60x45, where 320x240 is usual"
    assert inspection.sound


def test_what_all_photos_here_are_is_not_told(tmp_path: Path) -> None:
    """In a folder of dark slides, dark is how photos are."""
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        for number in range(12):
            image = ImageEnhance.Brightness(photo(ord(label) * 100 + number)).enhance(0.25)
            image.save(tmp_path / label / f"{number}.png")
    assert inspect(tmp_path).doubts == []


def test_few_and_uneven_classes_are_told(tmp_path: Path) -> None:
    """A class of four photos, and one of more than ten times as many."""
    different_photos(tmp_path, 4, ("rare",))
    (tmp_path / "many").mkdir()
    for number in range(44):
        photo(1000 + number, (96, 72)).save(tmp_path / "many" / f"{number}.png")
    texts = [str(doubt) for doubt in inspect(tmp_path).doubts if not doubt.files]
    assert texts == [
        "few photos: rare has 4, 1 of them for the test: figures of so few say little, and 20 or more teach "
        "better",
        "uneven classes: many has 11 times the photos of rare: what would help is more of rare",
    ]


def test_class_folders_without_images_are_told(tmp_path: Path) -> None:
    """An empty one, and one that holds other files, is a warning: nothing is learnt of it."""
    different_photos(tmp_path)
    (tmp_path / "bird").mkdir()
    (tmp_path / "fish").mkdir()
    (tmp_path / "fish" / "clip.mov").write_bytes(b"film")
    (tmp_path / "fish" / "raw.cr3").write_bytes(b"raw")
    assert inspect(tmp_path).warnings == [
        "bird/ is empty: there is nothing to learn of this class in it",
        "fish/ holds 1 .cr3, 1 .mov, but no image: there is nothing to learn of this class in it",
    ]


def test_training_says_that_there_are_doubts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """In one line, with the kinds and their numbers."""
    different_photos(tmp_path)
    Image.open(tmp_path / "cat" / "05.png").save(tmp_path / "dog" / "odd.jpg", quality=70)
    load(tmp_path)
    lines = worlds.logged(caplog, "training")
    assert f"{tmp_path}: doubtful: {doubts.UNLIKE} 1; `inspect` tells which" in lines
