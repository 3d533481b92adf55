"""Boxes that all have one label: no class is invented beside it, from the folder to the answer."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.manifest import Manifest, manifest_path
from training import drawn
from training.__main__ import app
from training.evaluation import chosen, evaluate
from training.export import export
from training.fit import loop
from training.recipes import defaults
from training.reports import page
from training.reports.look import look


@pytest.mark.slow
def test_boxes_of_one_label_from_folder_to_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels, figures, report, manifest and answers know that one label; what it would score is not told, for
    always saying it is no merit.
    """
    folder = drawn.draw_folder(tmp_path / "discs", "localization", 40)
    boxes = folder / "boxes.csv"
    boxes.write_text(boxes.read_text().replace("square", "disc"))
    recipe = defaults.for_folder(folder, "localization", size=32, architecture="lecture-cnn-a")
    training = recipe.training.model_copy(update={"epochs": 2})
    run = loop.train(recipe.model_copy(update={"training": training}), tmp_path / "runs" / "discs", tmp_path)
    assert run.labels == ("disc",)
    told = evaluate.evaluate(run, tmp_path)
    assert told.headline == "mean_iou"
    assert 0 < told.figures["mean_iou"] < 1
    assert "log_width_bias" in told.figures
    assert not {"accuracy", "macro_f1", "ece"} & told.figures.keys()
    assert chosen.temperature(run) == 1
    text = page.write(run, tmp_path).read_text("utf-8")
    assert not [word for word in ('id="confusion"', 'id="calibration"', "looked at") if word in text]
    look(run, folder / "images" / "0000.png", [], "", tmp_path / "look.png")
    version = export(run, tmp_path / "models")
    manifest = Manifest.model_validate_json(manifest_path(version).read_bytes())
    assert manifest.labels == ("disc",)
    with pytest.raises(ValueError, match="classification needs two labels at the least"):
        Manifest.model_validate(manifest.model_dump() | {"task": "classification"})
    monkeypatch.setenv("STRIATE_ENGINE", "tensorflow")
    monkeypatch.setenv("STRIATE_PRECISION", "float32")
    place = tmp_path / "out.json"
    options = ["--model", str(version), "--to", str(place)]
    assert CliRunner().invoke(app, ["predict", str(folder / "images"), *options]).exit_code == 0
    results = json.loads(place.read_text("utf-8"))["results"]
    assert [(each["label"], each["score"]) for each in results] == [("disc", 1.0)] * 40
