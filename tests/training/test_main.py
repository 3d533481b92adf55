"""The command line, as a user calls it."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.processes import until
from training.__main__ import app, run
from training.schema import RecipeError
from training.zoo import ArchitectureError

if TYPE_CHECKING:
    from training.fit.runs import Run
RECIPE = """
name = "mine"
description = "From the command line."
task = "classification"
dataset = "oxford-iiit-pet"
architecture = "lecture-cnn-a"
golden = "pets"
[input]
height = 32
width = 32
channels = 3
[training]
epochs = 5
batch_size = 4
learning_rate = 0.001
"""


def call(*words: str | Path) -> str:
    """Call the command line in this process and return what it printed."""
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def spawn(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Call the command line as a process of its own."""
    command = [sys.executable, "-m", "training", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_lists() -> None:
    """Data sets and architectures are listed with what one needs to choose."""
    assert "oxford-iiit-pet: Oxford-IIIT Pet" in call("datasets")
    listed = call("architectures", "unet", "vgg16")
    assert "unet: U-Net, 16 to 256 filters; 1,941,088 parameters at 128x128x3; from 16x16" in listed
    assert "14,714,688 parameters at 224x224x3; from 32x32; ImageNet weights" in listed
    with pytest.raises(ArchitectureError, match="no architecture 'vgg'; there are mlp"):
        call("architectures", "vgg")


def test_summary_explains_recipes_and_architectures() -> None:
    """`summary` takes either and ends with the totals."""
    assert "Total parameters: 225,930" in call("summary", "digits")
    assert "Total parameters: 1,413,834" in call("summary", "lecture-cnn-b")


def test_summary_takes_another_head_and_size() -> None:
    """Any architecture is explained with any head at any size that fits, and others are refused in a line."""
    text = call("summary", "lecture-cnn-c", "--task", "segment", "--size", "32x48x3", "--labels", "2")
    assert "mask (Conv2D)" in text
    assert "32x48x3" in text
    with pytest.raises(RecipeError, match="'64x' is no size"):
        call("summary", "lenet-5", "--size", "64x")
    with pytest.raises(ArchitectureError, match="at least 32x32"):
        call("summary", "lenet-5", "--size", "28x28")
    assert "With a head of 10 labels" in call("summary", "lenet-5")
    assert "With a head" not in text


def test_a_recipe_file_is_explained(tmp_path: Path) -> None:
    """`summary` takes what `train` takes."""
    (tmp_path / "mine.toml").write_text(RECIPE)
    assert "Total parameters: " in call("summary", tmp_path / "mine.toml", "--labels", "3")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("export", "none", "--runs-dir", "afile"), "error: afile/none/recipe.json: Not a directory"),
        (("train", "mine.toml", "--seed", "-1"), "Invalid value for '--seed'"),
        (("train", "mine.toml", "--fresh", "--resume"), "give one of them"),
        (("train", "mine.toml", "--resume", "--weights", "none"), "leave out --weights"),
        (("train", "--data", ".", "--task", "classify"), "give --runs-dir a place elsewhere"),
        (("sweep", "latin.toml"), "latin.toml cannot be read as UTF-8"),
        (("train", "latin.toml"), "latin.toml cannot be read as UTF-8"),
        (("inspect", "none", "--json"), '"sound": false'),
    ],
)
def test_plain_mistakes_are_told_in_a_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    told: str,
) -> None:
    """Nothing that a user can mend ends with a traceback."""
    (tmp_path / "mine.toml").write_text(RECIPE)
    (tmp_path / "latin.toml").write_bytes(RECIPE.replace("From", "F\xfcr").encode("latin-1"))
    (tmp_path / "afile").touch()
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (40, 40)).save(tmp_path / name / "1.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRPC_VERBOSITY", "ERROR")
    monkeypatch.setattr(sys, "argv", ["training", *words])
    with pytest.raises(SystemExit) as ended:
        run()
    assert ended.value.code
    # A text is what Python would tell at its end.
    assert told in "".join((*capsys.readouterr(), str(ended.value.code)))


@pytest.mark.slow
def test_train_evaluate_export(data_dir: Path, tmp_path: Path) -> None:
    """The three commands lead from a recipe file to a version, with the overrides applied."""
    recipe = tmp_path / "mine.toml"
    recipe.write_text(RECIPE)
    common = ("--runs-dir", tmp_path / "runs")
    trained = spawn("train", recipe, "--data-dir", data_dir, "--epochs", "1", "--seed", "3", *common)
    assert trained.returncode == 0, trained.stderr
    assert "test, 10 images: accuracy" in trained.stdout
    assert (tmp_path / "runs" / "mine" / "report.html").is_file()
    exported = call("export", "mine", "--models-dir", tmp_path / "models", *common)
    assert Path(exported.strip()) == tmp_path / "models" / "mine" / "1"
    assert (tmp_path / "models" / "mine" / "1" / "saved_model.pb").is_file()
    assert "test, 10 images: accuracy" in call("evaluate", "mine", "--data-dir", data_dir, *common)
    kept = (tmp_path / "runs" / "mine" / "recipe.json").read_text()
    assert '"epochs": 1' in kept
    assert '"seed": 3' in kept
    again = spawn("train", recipe, "--data-dir", data_dir, *common)
    assert again.returncode == 1
    assert again.stderr.splitlines()[-1].startswith("error: ")
    assert "--fresh" in again.stderr
    assert "Traceback" not in again.stderr


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Have children take Ctrl-C: a job in the background passes it over, and so would all that it starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_is_told_in_a_line_and_the_run_goes_on(data_dir: Path, tmp_path: Path) -> None:
    """Ctrl-C amid a training ends it with status 130 and a sentence; --resume goes on from there."""
    recipe = tmp_path / "mine.toml"
    recipe.write_text(RECIPE)
    common = ("--data-dir", data_dir, "--runs-dir", tmp_path / "runs")
    command = [sys.executable, "-m", "training", "train", str(recipe), "--epochs", "5000", *map(str, common)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    history = tmp_path / "runs" / "mine" / "history.csv"
    until(lambda: process.poll() is not None or lines(history) >= 3)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in told
    assert told.splitlines()[-1] == "stopped; the same command with --resume goes on after what is finished."
    done = lines(history) - 1
    call("train", recipe, "--resume", "--epochs", str(done + 1), *common)
    assert lines(history) - 1 == done + 1


def lines(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


def test_report_look_and_another_split(runs: dict[str, "Run"], data_dir: Path, tmp_path: Path) -> None:
    """An evaluated run becomes a page and a picture, and can be measured on its validation split too."""
    folder = tmp_path / "seen"
    shutil.copytree(runs["classification"].folder, folder)
    common = ("--data-dir", data_dir, "--runs-dir", tmp_path)
    assert "validation, 2 images: accuracy" in call("evaluate", "seen", "--split", "validation", *common)
    assert Path(call("report", "seen", *common).strip()) == folder / "report.html"
    assert "<h2" in (folder / "report.html").read_text("utf-8")
    photo = data_dir / "oxford-iiit-pet" / "images" / "beagle_1.jpg"
    picture = tmp_path / "seen.png"
    words = ("--layer", "conv1", "--layer", "conv2", "--label", "dog", "--output", picture)
    assert Path(call("look", folder, photo, *words).strip()) == picture
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_weights_and_overrides_are_checked_before_anything_is_trained(data_dir: Path, tmp_path: Path) -> None:
    """Weights that do not exist, and epochs fewer than the frozen ones, are told; no run is begun."""
    recipe = tmp_path / "mine.toml"
    recipe.write_text(RECIPE + "[transfer]\nfrozen_epochs = 2\n")
    common = ("--data-dir", data_dir, "--runs-dir", tmp_path / "runs")
    with pytest.raises(RecipeError, match="needs weights to freeze"):
        call("train", recipe, *common)
    recipe.write_text(RECIPE)
    with pytest.raises(RecipeError, match="There are no weights nosuch: give imagenet"):
        call("train", recipe, "--weights", "nosuch", "--max-minutes", "5", *common)
    assert not (tmp_path / "runs" / "mine" / "recipe.json").exists()
