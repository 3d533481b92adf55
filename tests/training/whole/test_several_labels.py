"""Several labels per image: from a drawn folder to a trained network, its figures, and served answers."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from typer.testing import CliRunner

from service.manifest import Manifest, manifest_path
from tests.worlds import Server, serving
from training import drawn
from training.__main__ import app
from training.datasets.reading import read_image
from training.evaluation import evaluate
from training.evaluation.evaluate import Evaluation
from training.export import export
from training.fit import loop
from training.fit.runs import Run
from training.recipes import defaults
from training.reports import page
from training.schema import Augmentation

pytestmark = pytest.mark.slow

World = tuple[Run, Evaluation, Path]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A run on drawn discs, squares and triangles, none to all of them in a picture, and its version."""
    home = tmp_path_factory.mktemp("several")
    folder = drawn.draw_folder(home / "shapes", "multilabel", 120)
    made = defaults.for_folder(folder, "multilabel", weights="none", size=32, architecture="lecture-cnn-a")
    quick = {"epochs": 16, "batch_size": 8, "learning_rate": 0.004, "head_dropout": 0.0, "ema": 0.0}
    changes = {"training": made.training.model_copy(update=quick), "augmentation": Augmentation(flip=True)}
    run = loop.train(made.model_copy(update=changes), home / "runs" / "shapes", home)
    return run, evaluate.evaluate(run, home), export(run, home / "models")


@pytest.fixture(scope="module")
def server(world: World) -> Iterator[Server]:
    with serving(world[2].parents[1], engine="openvino") as running:
        yield running


def test_labels_are_learnt_each_for_itself(world: World) -> None:
    """The mean average precision is far above that of scores that are the same for all images."""
    _, found, _ = world
    assert found.headline == "map"
    assert found.figures["map"] > found.baselines["map"].value + 0.15
    assert set(found.per_class) == {"disc", "square", "triangle"}
    assert {"ap", "precision", "recall", "f1", "threshold", "count"} == set(found.per_class["disc"])
    assert found.baselines["f1"].value > 0.5
    assert "ece" in found.figures
    assert found.details["calibration"]["after"]["bins"]


def test_thresholds_are_chosen_on_validation_and_exported(world: World) -> None:
    """One for each label, in the manifest of a model that answers as one of classes."""
    run, found, folder = world
    manifest = Manifest.model_validate_json(manifest_path(folder).read_text("utf-8"))
    kept = json.loads((run.folder / "calibration.json").read_text("utf-8"))["label_thresholds"]
    assert manifest.task == "classification"
    assert manifest.recipe["task"] == "multilabel"
    assert list(manifest.label_thresholds) == kept == list(found.details["label_thresholds"].values())
    assert all(0 < threshold < 1 for threshold in kept)
    assert {output.name: output.shape for output in manifest.outputs} == {"scores": (3,)}


def test_served_answers_list_every_label_above_its_threshold(world: World, server: Server) -> None:
    """Over HTTP each test photo gets the labels that the run's predictions.csv says, none at all included."""
    run, _, _ = world
    folder = Path(run.recipe.data)
    with (run.folder / "predictions.csv").open(newline="") as file:
        predicted = {row["file"]: row for row in csv.DictReader(file)}
    sizes = set()
    for name, row in predicted.items():
        answer = httpx.post(
            f"{server.url}/classify",
            content=(folder / name).read_bytes(),
            headers={"Content-Type": "image/png"},
        ).json()["results"][0]
        expected = set(filter(None, row["answer"].split("; ")))
        close = {
            label
            for label, threshold in zip(run.labels, thresholds(run), strict=True)
            if abs(float(row[f"score of {label}"]) - threshold) < 0.03
        }
        assert {each["label"] for each in answer["labels"]} ^ expected <= close
        assert [each["score"] for each in answer["labels"]] == sorted(
            (each["score"] for each in answer["labels"]), reverse=True
        )
        for each in answer["labels"]:
            assert each["score"] == pytest.approx(float(row[f"score of {each['label']}"]), abs=0.03)
        sizes.add(len(expected))
    assert len(sizes) > 1


def thresholds(run: Run) -> list[float]:
    known: list[float] = json.loads((run.folder / "calibration.json").read_text())["label_thresholds"]
    return known


def test_predict_writes_what_is_served(world: World, server: Server, tmp_path: Path) -> None:
    """The same answers without a server: all labels of a photo in one cell of a table."""
    run, _, folder = world
    photos = Path(run.recipe.data) / "images"
    done = CliRunner().invoke(
        app, ["predict", str(photos), "--model", str(folder), "--to", str(tmp_path / "answers.csv")]
    )
    assert done.exit_code == 0, done.output
    with (tmp_path / "answers.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 120
    tensors = np.stack([read_image(photos / Path(row["file"]).name, run.recipe.input, 3) for row in rows])
    scores = evaluate.predict(run, tensors)["scores"]
    least = np.asarray(thresholds(run))
    agreed = [
        set(filter(None, row["labels"].split("; ")))
        == {run.labels[one] for one in np.flatnonzero(own >= least)}
        for row, own in zip(rows, scores, strict=True)
    ]
    assert np.mean(agreed) > 0.9  # but where a score lies at its threshold


def test_the_report_counts_labels_and_shows_how_far_scores_can_be_believed(world: World) -> None:
    """The page has each label's figures and curve; no confusion, for no label excludes another."""
    run, _, _ = world
    text = page.write(run, run.folder.parent, label_errors=False).read_text("utf-8")
    assert "triangle" in text
    assert "exact match" in text
    assert "Confusion matrix" not in text
    assert "A label counts from its own threshold on" in text
