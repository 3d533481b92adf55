"""Scores that can be believed: the error measured, the temperature fitted, and exported."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from service.manifest import Manifest, golden_path, manifest_path
from training import halves
from training.evaluation import calibration, chosen, evaluate
from training.export import export
from training.fit.runs import Run
from training.recipes.registry import sketch
from training.tasks import heads


def boasting(temperature: float, count: int = 4000) -> tuple[calibration.Rows, NDArray[np.int64]]:
    """Draw labels from known probabilities, and return the probabilities with their logits multiplied."""
    chance = np.random.default_rng(0)
    logits = chance.normal(0, 2, (count, 3))
    honest = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (honest.cumsum(axis=1) > chance.random((count, 1))).argmax(axis=1)
    return calibration.soften(honest, 1 / temperature), labels


@pytest.mark.parametrize("truth", [0.5, 1.0, 2.5])
def test_the_fitted_temperature_is_the_one_that_spoilt_the_scores(truth: float) -> None:
    """Logits multiplied by a number are mended by dividing by it; the error falls to what chance leaves."""
    rows, labels = boasting(truth)
    found = calibration.fit(rows, labels)
    assert found == pytest.approx(truth, rel=0.05)
    mended = calibration.soften(rows, found)
    assert calibration.describe(mended, labels)["ece"] < 0.02
    assert (mended.argmax(axis=1) == rows.argmax(axis=1)).all()
    assert calibration.surprise(mended, labels) <= calibration.surprise(rows, labels)


def test_the_expected_error_by_hand() -> None:
    """Two answers of 0.9, one right, and one of 0.6, right: (2 * 0.4 + 1 * 0.4) / 3."""
    rows = np.asarray([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6]])
    bins = calibration.reliability(rows, np.asarray([0, 1, 1]))
    assert [(each.count, each.accuracy) for each in bins] == [(1, 1.0), (2, 0.5)]
    assert calibration.expected_error(bins) == pytest.approx(0.4)


def test_chance_alone_makes_an_error() -> None:
    """Honest scores show what the redrawing foretells, less with more samples; spoilt ones show more."""
    few, many = (calibration.reliability(*boasting(1.0, count)) for count in (400, 40_000))
    assert calibration.expected_error(few) < calibration.chance_error(few)[1]
    assert calibration.chance_error(many)[1] < calibration.chance_error(few)[0] / 5
    spoilt = calibration.reliability(*boasting(2.5, 400))
    assert calibration.expected_error(spoilt) > 2 * calibration.chance_error(spoilt)[1]


def test_a_handful_of_samples_moves_nothing() -> None:
    """A temperature fitted on a handful of answers would be noise."""
    rows, labels = boasting(3.0, count=calibration.FEWEST - 1)
    assert calibration.fit(rows, labels) == 1.0


def test_perfect_validation_does_not_take_away_all_doubt() -> None:
    """Where every validation answer is right, scores come to what so many say: 90 of 90 is no certainty."""
    rows = np.tile([0.95, 0.03, 0.02], (90, 1))
    sure = float(calibration.soften(rows, calibration.fit(rows, np.zeros(90, int))).max(axis=1).mean())
    assert sure == pytest.approx(90 / 91, abs=1e-3)
    timid, bold = (np.tile([score, 1 - score], (200, 1)) for score in (0.8, 0.999999))
    for each in (timid, bold):
        found = calibration.fit(each, np.zeros(200, int))
        assert calibration.soften(each, found).max(axis=1).mean() == pytest.approx(200 / 201, abs=1e-3)


def test_pixels_of_one_image_are_no_samples() -> None:
    """A hundred pixels of one image are one sample: too few for a temperature."""
    rows, labels = boasting(3.0, count=100)
    assert calibration.fit(rows, labels) != 1.0
    assert calibration.fit(rows, labels, count=1) == 1.0


@pytest.mark.parametrize("task", ["classification", "localization", "segmentation"])
def test_the_temperature_is_in_the_exported_graph(runs: dict[str, Run], tmp_path: Path, task: str) -> None:
    """The version, its golden answers and its layer table have the temperature; labels and boxes stay."""
    plain = runs[task]
    folder = tmp_path / "run"
    shutil.copytree(plain.folder, folder)
    (folder / "calibration.json").write_text(json.dumps({"temperature": 2.0}))
    version = export(Run(folder, plain.recipe, plain.labels), tmp_path)
    name = "mask" if task == "segmentation" else "scores"
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    model = plain.model()
    halves.settle(model, dict)  # as a version stores its kernels
    before = model(images.astype(np.float32) / 255, training=False)
    after = tf.saved_model.load(str(version)).signatures["serving_default"](image=tf.constant(images))
    rows = np.asarray(before[name]).reshape(-1, before[name].shape[-1])
    expected = calibration.soften(rows, 2.0).reshape(after[name].shape)
    assert np.allclose(after[name], expected, atol=1e-4)
    assert not np.allclose(after[name], before[name], atol=1e-3)
    if task == "localization":
        assert np.allclose(after["box"], before["box"], atol=1e-5)
    manifest = Manifest.model_validate_json(manifest_path(version).read_bytes())
    assert [layer.name for layer in manifest.layers if "temperature 2.000" in layer.note] == [name]
    with np.load(golden_path(version)) as kept:
        assert kept[f"answer_{name}"].shape[1:] == expected.shape[1:]


def test_evaluation_tells_the_error_before_and_after(
    runs: dict[str, Run], data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The temperature is fitted on validation, kept in the run, and its effect is in evaluation.json."""
    monkeypatch.setattr(calibration, "FEWEST", 1)
    plain = runs["classification"]
    shutil.copytree(plain.folder, tmp_path / "run")
    run = Run(tmp_path / "run", plain.recipe, plain.labels)
    evaluate.evaluate(run, data_dir)
    told = evaluate.read(run)
    assert told is not None
    kept = told.details["calibration"]
    assert kept["temperature"] == chosen.temperature(run) != 1.0
    assert kept["after"]["ece"] == told.figures["ece"]
    splits = run.recipe.load(data_dir)
    rows = np.asarray(run.model()(splits.test.images.astype(np.float32) / 255, training=False)["scores"])
    assert splits.test.labels is not None
    assert kept["before"]["nll"] == pytest.approx(
        calibration.surprise(rows.astype(np.float64), splits.test.labels), rel=1e-3
    )


def test_validation_figures_never_stand_for_the_test_split(
    runs: dict[str, Run], data_dir: Path, tmp_path: Path
) -> None:
    """`--split validation` is written beside evaluation.json, which an export carries."""
    plain = runs["localization"]
    shutil.copytree(plain.folder, tmp_path / "run")
    run = Run(tmp_path / "run", plain.recipe, plain.labels)
    result = evaluate.evaluate(run, data_dir, "validation")
    assert (result.split, result.count) == ("validation", 2)
    kept = evaluate.read(run)
    assert kept is not None
    assert (kept.split, kept.count) == ("test", 10)
    assert sum(kept.details["overlaps"]["counts"]) == 10


def test_answers_that_are_no_numbers_are_not_measured(runs: dict[str, Run]) -> None:
    """A network whose training diverged has no figures, not even a top-five accuracy of 1."""
    run = runs["classification"]
    model = run.model()
    head = model.get_layer("scores")
    head.set_weights([np.full_like(values, np.nan) for values in head.get_weights()])
    with pytest.raises(chosen.EvaluationError, match="diverged"):
        evaluate.answer(model, run, np.zeros((1, 32, 32, 3), np.uint8))


def test_a_temperature_softens_each_label_for_itself_where_several_count() -> None:
    """The network's sigmoids, once it has taken the temperature in, are its scores softened one by one."""
    recipe = sketch("lenet-5").model_copy(update={"task": "multilabel"})
    model = heads.build(recipe, 3)
    images = np.random.default_rng(0).random((5, *recipe.input.shape), np.float32)
    before = np.asarray(model(images)["scores"], np.float64).ravel()
    calibration.apply(model, 2.0)
    after = np.asarray(model(images)["scores"]).ravel()
    softened = calibration.soften(np.stack([1 - before, before], axis=1), 2.0)
    assert after == pytest.approx(softened[:, 1], abs=1e-6)
    assert (np.abs(after - 0.5) < np.abs(before - 0.5)).all()
