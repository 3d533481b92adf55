"""Where pictures and runs may lie: never in place of an image, nor among those that are learned from."""

from pathlib import Path

import pytest
from PIL import Image

from training import drawn
from training.commands import inspection
from training.datasets import DatasetError
from training.fit.runs import Run, RunError, held
from training.reports import look as looking
from training.reports.look import LayerError
from training.sweeps import tuner
from training.sweeps.sweep import parse

PLAN = """
name = "held"
description = "For tests."
[base]
task = "classification"
dataset = "mnist"
input = { height = 28, width = 28, channels = 1 }
training = { epochs = 1, batch_size = 32, learning_rate = 0.1 }
[grid]
architecture = ["lecture-cnn-a"]
"""


def test_no_picture_replaces_an_image(tmp_path: Path) -> None:
    """`inspect --picture` within the folder, or of another format, is refused and nothing is written."""
    photos = tmp_path / "photos"
    drawn.draw_folder(photos, "classification", 12)
    before = {path: path.read_bytes() for path in photos.rglob("*.jpg")}
    image = next(iter(before))
    for picture, message in (
        (image, "for it is a PNG"),
        (photos / "seen.png", "taken for one of the images"),
    ):
        with pytest.raises(DatasetError, match=message):
            inspection.inspect(photos, picture=picture)
    assert {path: path.read_bytes() for path in photos.rglob("*.jpg")} == before
    assert not (photos / "seen.png").exists()


def test_a_look_replaces_neither_its_image_nor_another(runs: dict[str, Run], tmp_path: Path) -> None:
    """`look --output` is refused where the image itself lies, and among the images of the run."""
    run = runs["classification"]
    image = tmp_path / "photo.png"
    Image.new("RGB", (40, 40)).save(image)
    before = image.read_bytes()
    with pytest.raises(LayerError, match="would replace"):
        looking.look(run, image, [], "", image)
    own = run.recipe.model_copy(update={"dataset": "folder", "data": str(tmp_path)})
    with pytest.raises(RunError, match="give --output a place elsewhere"):
        looking.look(Run(run.folder, own, run.labels), image, [], "", tmp_path / "seen.png")
    assert image.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["photo.png"]


def test_a_sweep_is_run_by_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`sweep --fresh` does not take a sweep from under another process."""
    from typer.testing import CliRunner

    from training.__main__ import app

    (tmp_path / "held.toml").write_text(PLAN)
    folder = tmp_path / "runs" / "held"
    tuner.prepare(parse(PLAN, "held.toml"), folder, resume=False)
    (folder / "trial").mkdir()
    monkeypatch.chdir(tmp_path)
    with held(folder):
        done = CliRunner().invoke(app, ["sweep", "held.toml", "--fresh"])
    assert isinstance(done.exception, RunError)
    assert "by another process" in str(done.exception)
    assert (folder / "trial").is_dir()
