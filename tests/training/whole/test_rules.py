"""A resize rule from the recipe to the answer: trained, exported, replayed, answered in the posted image."""

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.images import fitting
from service.manifest import Manifest, manifest_path
from tests import worlds
from tests.training.sets import draw_nuclei
from training.datasets.reading import read_image
from training.evaluation import evaluate, stitching
from training.export import export
from training.fit import loop
from training.prediction import predict
from training.reports import page
from training.tasks.measures import class_map
from training.tasks.registry import TASKS

RULES = [
    ("localization", "letterbox", 1.0),
    ("localization", "crop", 0.8),
    ("segmentation", "letterbox", 1.0),
    ("classification", "crop", 1.0),
]


@pytest.mark.parametrize(("task", "resize", "share"), RULES)
@pytest.mark.slow
def test_a_rule_holds_from_recipe_to_answer(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str, resize: str, share: float
) -> None:
    """The manifest has the recipe's rule, golden samples replay, and a photo is answered as Keras does."""
    monkeypatch.setenv("STRIATE_ENGINE", "openvino")
    monkeypatch.setenv("STRIATE_PRECISION", "float32")
    shape = {"height": 32, "width": 32, "channels": 3, "resize": resize, "crop_share": share}
    recipe = worlds.tiny_recipe(task, input=shape, reasons=("Chosen for a test.",))
    run = loop.train(recipe, tmp_path / "runs" / recipe.name, data_dir)
    assert "Chosen for a test." in (run.folder / "train.log").read_text("utf-8")
    evaluate.evaluate(run, data_dir)
    version = export(run, tmp_path / "models")
    spec = Manifest.model_validate_json(manifest_path(version).read_bytes()).input
    assert (spec.resize, spec.crop_share) == (resize, share)
    photo = min((data_dir / "oxford-iiit-pet" / "images").iterdir())
    to = tmp_path / "answers.json"
    # It comes to life only if its golden samples are answered as they were in training.
    told = predict.predict(predict.Asked((photo,), str(version), to))
    assert fitting.words(spec) == told.fitted
    assert told.fitted in predict.describe(told, to)
    (found,) = json.loads(to.read_text("utf-8"))["results"]
    outputs = evaluate.predict(run, read_image(photo, run.recipe.input, 3)[None])
    if task == "classification":
        scores = {run.labels[index]: score for index, score in enumerate(outputs["scores"][0].tolist())}
        assert {each["label"]: each["score"] for each in found["top"]} == pytest.approx(scores, abs=1e-4)
    elif task == "localization":
        corners = outputs["box"][0].tolist()
        expected = fitting.box_out_of((corners[0], corners[1], corners[2], corners[3]), (60, 48), spec)
        assert list(found["box_normalized"].values()) == pytest.approx(expected, abs=1e-3)
    else:
        _compare_mask(found, class_map(outputs["mask"])[0, 3:29])


def _compare_familiarity(known: dict[str, Any], told: NDArray[np.float64]) -> None:
    """Compare the answers of the test's images with what is stated of them."""
    assert known["count"] == len(told)
    assert (told < known["level"]).mean() == pytest.approx(known["false_alarms"], abs=0.5 / len(told))


def _compare_mask(found: dict[str, object], content: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
    """Compare the areas with those of the part of the frame that shows the photo: 60x48 is 32x26 there."""
    assert content.shape == (26, 32)
    classes = found["classes"]
    assert isinstance(classes, list)
    for index, each in enumerate(classes):
        assert each["fraction"] == pytest.approx(float((content == index).mean()), abs=0.05)
    assert sum(each["pixels"] for each in classes) == 60 * 48


def test_the_report_shows_photos_as_the_network_sees_them(data_dir: Path, tmp_path: Path) -> None:
    """A letterboxed sample is not stretched to its photo's aspect, as a stretched one is."""
    shape = {"height": 32, "width": 32, "channels": 3, "resize": "letterbox"}
    recipe = worlds.tiny_recipe("localization", input=shape)
    run = loop.train(recipe, tmp_path / "run", data_dir)
    evaluate.evaluate(run, data_dir)
    text = page.write(run, data_dir).read_text("utf-8")
    shown = re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)[^>]*>\s*<figcaption>best 1", text)
    pictures = [Image.open(io.BytesIO(base64.b64decode(each))) for each in shown]
    assert pictures
    # Square, with two lines of words below it.
    assert all(picture.size == (160, 160 + 34) for picture in pictures)


@pytest.mark.slow
def test_tiles_are_served_as_they_were_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a recipe of tiles to masks of images: the figures that the evaluation states are those of the
    answers that the exported model gives for the test's own files.
    """
    monkeypatch.setenv("STRIATE_ENGINE", "openvino")
    monkeypatch.setenv("STRIATE_PRECISION", "float32")
    draw_nuclei(tmp_path / "nuclei")
    recipe = worlds.tiny_recipe(
        "segmentation",
        dataset="nuclei",
        architecture="lecture-cnn-c",
        input={"height": 32, "width": 32, "channels": 3, "resize": "tile", "overlap": 8},
        augmentation={"flip": True},
        training={"epochs": 4, "batch_size": 8, "learning_rate": 0.004},
    )
    run = loop.train(recipe, tmp_path / "runs" / recipe.name, tmp_path)
    stated = evaluate.evaluate(run, tmp_path)
    page.write(run, tmp_path)
    version = export(run, tmp_path / "models")
    spec = Manifest.model_validate_json(manifest_path(version).read_bytes()).input
    assert (spec.resize, spec.overlap) == ("tile", 8)
    test = stitching.whole(run.recipe.load(tmp_path)).test
    assert test.paths is not None
    assert stated.count == len(test.paths) > 1
    to = tmp_path / "answers.json"
    predict.predict(predict.Asked(test.paths, str(version), to))
    answers = {each["file"]: each for each in json.loads(to.read_text("utf-8"))["results"]}
    assert test.masks is not None
    found = np.zeros(test.masks.shape, np.float32)
    for row, path in enumerate(test.paths):
        mask = np.asarray(Image.open(io.BytesIO(base64.b64decode(answers[str(path)]["mask"]["data"]))))
        found[row, : mask.shape[0], : mask.shape[1]] = mask
    measured = evaluate.measure(TASKS["segmentation"], [{"mask": found[..., None]}], test, run.labels)
    assert stated.figures["dice"] > 0.2
    for name in ("dice", "mean_iou", "pixel_accuracy", "object_f1"):
        assert measured.figures[name] == pytest.approx(stated.figures[name], abs=0.01)
    told = np.asarray([answers[str(path)]["familiarity"] for path in test.paths])
    _compare_familiarity(stated.details["familiarity"], told)
    assert stated.baselines["dice"].answer.startswith("answering ")
    lines = (run.folder / "split.csv").read_text("utf-8").splitlines()
    assert len(lines) == len(set(lines)) == 25
