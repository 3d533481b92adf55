"""`inspect` tells what lies in a folder and names all that is wrong; its exit code says if anything is."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from training import drawn, golden
from training.__main__ import app
from training.commands.inspection import inspect
from training.commands.samples import sample
from training.datasets import DatasetError
from training.datasets.own.listing import Item
from training.datasets.own.survey import Seen


def call(*words: str | Path) -> tuple[int, str]:
    """Call the command line in this process; return exit code and output."""
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    return result.exit_code, result.output


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of eight pictures of each of four classes."""
    return drawn.draw_folder(tmp_path / "photos", "classification", 32)


def test_a_sound_folder_is_told(photos: Path) -> None:
    """Layout, counts by class and part, sizes, colours and formats; the exit code is 0. Eight photos of a
    class are few.
    """
    code, text = call("inspect", photos)
    assert code == 0
    assert "class folders, for classification; 32 images" in text
    assert "animal        8  (train 6, validation 1, test 1)" in text
    assert "32 RGB" in text
    assert "32 JPEG" in text
    assert "doubtful, few photos: animal has 8, 1 of them for the test" in text
    assert text.endswith("it can be trained on; doubts: 4\n")


def test_figures_for_programs(photos: Path) -> None:
    """With --json the same as data: sizes, imbalance, colours, EXIF orientation, copies."""
    picture = golden.draw_pet(np.random.default_rng(0), 80, 60)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture).save(photos / "animal" / "turned.jpg", exif=exif)
    Image.fromarray(picture).convert("L").save(photos / "animal" / "grey.png")
    Image.fromarray(picture).convert("RGBA").save(photos / "animal" / "alpha.png")
    Image.fromarray(picture).save(photos / "animal" / "plain.png")
    code, text = call("inspect", photos, "--json")
    told = json.loads(text)
    assert code == 0
    assert told["sound"]
    assert told["imbalance"] == 1.5
    assert told["modes"] == {"RGB": 34, "L": 1, "RGBA": 1}
    assert told["formats"] == {"JPEG": 33, "PNG": 3}
    assert told["turned"] == 1
    # Opaque alpha changes nothing: the picture is the same.
    assert told["copies"] == [["animal/alpha.png", "animal/plain.png"]]
    assert told["height"]["min"] <= told["height"]["median"] <= told["height"]["max"]
    assert told["aspect"]["min"] <= 0.75


def test_everything_wrong_is_named(photos: Path) -> None:
    """Broken files, strays and contradictions are each named; the exit code is 1."""
    (photos / "sign" / "broken.jpg").write_bytes(b"no picture")
    first = min((photos / "animal").iterdir())
    (photos / "sign" / "same.jpg").write_bytes(first.read_bytes())
    (photos / "stray.jpg").write_bytes(first.read_bytes())
    code, text = call("inspect", photos)
    assert code == 1
    assert "unreadable: sign/broken.jpg: cannot be read as an image" in text
    assert f"contradiction: sign/same.jpg: is sign, but animal/{first.name} is the same picture" in text
    assert "image without label: stray.jpg" in text
    assert "to mend: 3 faults" in text


def test_leaks_are_named(photos: Path) -> None:
    """A picture in two of the user's own parts is a leak, and so is a group of --group-by; exit code 1."""
    for part in ("train", "test"):
        drawn.draw_folder(photos.parent / "parted" / part, "classification", 24, seed=len(part))
    folder = photos.parent / "parted"
    assert call("inspect", folder)[0] == 0
    assert "is in train and" in call("inspect", folder, "--group-by", r"^(\d)")[1]
    source = min((folder / "test" / "sign").iterdir())
    (folder / "train" / "sign" / "copy.jpg").write_bytes(source.read_bytes())
    code, text = call("inspect", folder)
    assert code == 1
    assert "leak: train/sign/copy.jpg: is in train and, as test/sign/" in text


def test_what_makes_training_impossible_is_told(photos: Path) -> None:
    """A class with two pictures cannot be divided: exit code 1, and the words say what would be right."""
    (photos / "rare").mkdir()
    for seed in range(2):
        picture = golden.draw_pet(np.random.default_rng(seed), 64, 48)
        Image.fromarray(picture).save(photos / "rare" / f"{seed}.png")
    code, text = call("inspect", photos)
    assert code == 1
    assert "rare (2). At least 3 per class" in text


@pytest.mark.parametrize("task", ["classify", "localize", "segment"])
def test_a_picture_shows_labelled_samples(tmp_path: Path, task: str) -> None:
    """--picture draws samples with their boxes or masks laid over them."""
    assert call("sample", tmp_path / "own", "--task", task, "--count", "30")[0] == 0
    code, text = call("inspect", tmp_path / "own", "--picture", tmp_path / "seen" / "own.png")
    assert code == 0, text
    sheet = np.asarray(Image.open(tmp_path / "seen" / "own.png"))
    assert sheet.shape == (4 * 178, 960, 3)
    if task == "localize":
        # An orange frame in each of the 24 tiles.
        orange = (sheet == (255, 176, 0)).all(axis=2)
        tiles = [orange[r : r + 160, c : c + 160] for r in range(0, 712, 178) for c in range(0, 960, 160)]
        assert min(tile.sum() for tile in tiles) > 40


def test_where_nothing_can_be_written_is_named(photos: Path) -> None:
    """A folder given for the picture, or a file for the folder of samples, is an error with its name."""
    with pytest.raises(DatasetError, match=r"photos, for it is a PNG: give a file's name"):
        call("inspect", photos, "--picture", photos)
    (photos.parent / "folder.png").mkdir()
    with pytest.raises(DatasetError, match=r"folder\.png cannot be written: it is a folder\. Give a file's"):
        call("inspect", photos, "--picture", photos.parent / "folder.png")
    path = min((photos / "sign").iterdir())
    with pytest.raises(DatasetError, match=r"\.jpg cannot be a new folder: it is a file"):
        call("sample", path)
    with pytest.raises(DatasetError, match=r"own cannot be a new folder: Not a directory"):
        call("sample", path / "own")


def test_mask_pixels_are_painted(tmp_path: Path) -> None:
    """Where the mask is, the sample is half the class's colour; elsewhere it is itself."""
    for part, value in (("images", 0), ("masks", 0)):
        (tmp_path / "own" / part).mkdir(parents=True)
        for number in range(3):
            pixels = np.full((156, 156), value, np.uint8)
            pixels[:78] = (number + 1) if part == "images" else 255
            Image.fromarray(pixels).save(tmp_path / "own" / part / f"{number}.png")
    assert call("inspect", tmp_path / "own", "--picture", tmp_path / "seen.png")[0] == 0
    sheet = np.asarray(Image.open(tmp_path / "seen.png"))
    assert np.abs(sheet[20, 20].astype(int) - (127, 88, 0)).max() <= 2
    assert sheet[140, 20].tolist() == [0, 0, 0]


def test_small_objects_are_counted(tmp_path: Path) -> None:
    """A class counts in every image that shows it, be its object a few pixels of a large photo."""
    for part in ("images", "masks"):
        (tmp_path / part).mkdir()
    for number in range(6):
        pixels = np.full((600, 600), number, np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number}.png")
        mask = np.zeros((600, 600), np.uint8)
        mask[100:300] = 1
        mask[403:406, 403:406] = 2
        Image.fromarray(mask).save(tmp_path / "masks" / f"{number}.png")
    code, text = call("inspect", tmp_path, "--json")
    assert code == 0
    assert json.loads(text)["classes"]["class 2"] == {"train": 4, "validation": 1, "test": 1}


def test_greys_of_a_border_are_painted_by_half(tmp_path: Path) -> None:
    """In the picture of samples, too, a smoothed mask is cut at half, and the text says so."""
    for part in ("images", "masks"):
        (tmp_path / "own" / part).mkdir(parents=True)
    for number in range(4):
        Image.new("L", (156, 156), number).save(tmp_path / "own" / "images" / f"{number}.png")
        ramp = np.clip((np.arange(156) - 70) * 18, 0, 255).astype(np.uint8)
        ramp[60 + number] = 5
        Image.fromarray(ramp[:, None].repeat(156, axis=1)).save(tmp_path / "own" / "masks" / f"{number}.png")
    code, text = call("inspect", tmp_path / "own", "--picture", tmp_path / "seen.png", "--masks", "binary")
    assert code == 0, text
    assert "masks are black and white with greys between" in text
    sheet = np.asarray(Image.open(tmp_path / "seen.png"))
    painted = (sheet[2:158, 20] > 60).any(axis=1)
    assert np.flatnonzero(painted).min() == 78


def test_the_picture_shows_a_sample_not_the_first_files(tmp_path: Path) -> None:
    """Files that follow one another are often alike: of 40 files a class, not the first ones, all parts, each
    class as often; the same ones each time.
    """
    seen: list[Seen] = []
    parts: list[str] = []
    for label in ("cat", "dog"):
        for number in range(40):
            item = Item(tmp_path / f"{label}{number:02d}.png", label)
            seen.append(Seen(item, len(seen), 1, 1, "RGB", "PNG", False, ""))
            parts.append("test" if number >= 36 else "validation" if number >= 32 else "train")
    chosen = sample(seen, parts, 24)
    assert [one.item.label for one in chosen] == ["cat", "dog"] * 12
    numbers = sorted(int(one.item.path.stem[3:]) for one in chosen)
    assert sum(number < 32 for number in numbers) == 8
    assert sum(number >= 36 for number in numbers) == 8
    assert len({one.item.path for one in chosen}) == 24
    firsts = [int(one.item.path.stem[3:]) for one in chosen if int(one.item.path.stem[3:]) < 32]
    assert max(firsts) > 12
    assert sample(seen, parts, 24) == chosen
    many = [replace(one, item=replace(one.item, label=one.item.path.stem)) for one in seen]
    labels = [one.item.label for one in sample(many, parts, 24)]
    assert len(set(labels)) == 24
    assert {label[:3] for label in labels} == {"cat", "dog"}


def test_the_picture_shows_every_box(tmp_path: Path) -> None:
    """Not only the one that is learnt, which is drawn broader."""
    lines = ["file,x_min,y_min,x_max,y_max,label"]
    (tmp_path / "own").mkdir()
    for number in range(8):
        pixels = np.full((156, 156, 3), number, np.uint8)
        Image.fromarray(pixels).save(tmp_path / "own" / f"{number}.png")
        boxes = ("10,10,40,40", "60,60,140,140", "100,10,120,30")
        lines += [f"{number}.png,{box},a" for box in boxes]
    (tmp_path / "own" / "boxes.csv").write_text("\n".join(lines) + "\n")
    assert call("inspect", tmp_path / "own", "--task", "localize", "--picture", tmp_path / "seen.png")[0] == 0
    orange = (np.asarray(Image.open(tmp_path / "seen.png"))[:160, :160] == (255, 176, 0)).all(axis=2)
    assert orange[12, 20]
    assert not orange[13, 20]
    assert orange[12, 110]
    assert orange[62, 100]
    assert orange[63, 100]


def test_captions_stand_right_below_their_photos(tmp_path: Path) -> None:
    """Below a wide photo, too, for what stands above the next row is read as that row's."""
    for label in ("cat", "dog"):
        for number in range(3):
            seeded = np.random.default_rng(number + ord(label[0])).integers(0, 200, (20, 80, 3), np.uint8)
            place = tmp_path / "photos" / label / f"{number}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(seeded).save(place)
    inspect(tmp_path / "photos", picture=tmp_path / "seen.png")
    sheet = np.asarray(Image.open(tmp_path / "seen.png").convert("L"))
    rows = np.flatnonzero((sheet < 128).any(axis=1))
    assert rows[-1] < 2 + round(0.25 * sheet.shape[1] / 6) + 20
