"""From nested class folders to an answer with label and group, and all that is told on the way."""

import csv
import json
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from service.manifest import Manifest, manifest_path
from tests.worlds import serving, tiny_recipe
from training import golden
from training.evaluation import evaluate
from training.export import export
from training.fit import loop
from training.fit.runs import Run, open_run
from training.prediction.predict import Asked, predict
from training.reports import page

CLASSES = ("round/pet", "round/nuclei", "square/clothes")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn pictures of three classes in two groups, eight of each."""
    folder = tmp_path_factory.mktemp("nested") / "things"
    draw = {"pet": golden.draw_pet, "nuclei": golden.draw_nuclei, "clothes": golden.draw_clothes}
    chance = np.random.default_rng(0)
    for place in CLASSES:
        (folder / place).mkdir(parents=True)
        for number in range(8):
            pixels = draw[Path(place).name](chance, 48, 40)
            Image.fromarray(pixels).convert("RGB").save(folder / place / f"{Path(place).name}{number}.png")
    return folder


@pytest.fixture(scope="module")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on it, trained for one epoch and evaluated."""
    home = tmp_path_factory.mktemp("runs")
    recipe = tiny_recipe("classification", name="things", dataset="folder", data=str(photos))
    evaluate.evaluate(loop.train(recipe, home / "things", home), home)
    return open_run(home / "things")


def test_a_run_tells_groups(run: Run, photos: Path) -> None:
    """An opened run knows them; figures come with interval and baseline; tables and report have them, too."""
    assert run.labels == ("clothes", "nuclei", "pet")
    assert run.groups == ("square", "round", "round")
    kept = evaluate.read(run)
    assert kept is not None
    assert kept.baselines["group_accuracy"].answer == "always saying round"
    with (run.folder / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    right = [row["group"] == row["group answer"] for row in rows]
    assert kept.figures["group_accuracy"] == np.mean(right)
    assert "group_accuracy" in kept.details["intervals"]
    with (run.folder / "split.csv").open(newline="") as file:
        groups = {row["file"].split("/")[0]: row["group"] for row in csv.DictReader(file)}
    assert groups == {"round": "round", "square": "square"}
    text = page.write(run, photos).read_text("utf-8")
    assert "Per group of classes" in text
    assert "<td>nuclei, pet</td>" in text
    assert "<td>group round</td>" in text


@pytest.mark.slow
def test_a_service_answers_label_and_group(run: Run, photos: Path, tmp_path: Path) -> None:
    """Export, /summary, /classify and the table of predict all have the groups of the folders' names."""
    version = export(run, tmp_path / "models")
    manifest = Manifest.model_validate_json(manifest_path(version).read_bytes())
    assert (manifest.labels, manifest.groups) == (run.labels, run.groups)
    photo = photos / "round" / "pet" / "pet0.png"
    with serving(tmp_path / "models", engine="openvino") as server:
        told = httpx.get(f"{server.url}/summary", params={"model": "things"}).json()
        assert told["groups"] == list(run.groups)
        answer = httpx.post(f"{server.url}/classify", content=photo.read_bytes()).json()["results"][0]
    assert list(answer) == ["label", "score", "group", "group_score", "top"]
    scores = {each["label"]: each["score"] for each in answer["top"]}
    sums = {"square": scores["clothes"], "round": scores["nuclei"] + scores["pet"]}
    assert answer["group"] == max(sums, key=lambda name: sums[name])
    assert answer["group_score"] == pytest.approx(sums[answer["group"]], abs=2e-6)
    predict(Asked((photo,), str(version), to=tmp_path / "answers.csv"))
    with (tmp_path / "answers.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["label"], row["group"]) == (answer["label"], answer["group"])
    assert float(row["group_score"]) == pytest.approx(answer["group_score"], abs=2e-6)
    predict(Asked((photo,), str(version), to=tmp_path / "answers.json"))
    (found,) = json.loads((tmp_path / "answers.json").read_text())["results"]
    assert found["group"] == answer["group"]
