"""Many objects: from a drawn folder to a trained network, its figures, and an exported version."""

import io
import json
from contextlib import redirect_stdout
from pathlib import Path

import httpx
import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from service.manifest import Manifest, manifest_path
from tests.worlds import serving
from training import drawn
from training.evaluation import evaluate
from training.evaluation.evaluate import Evaluation
from training.export import export
from training.fit import loop
from training.fit.runs import Run
from training.recipes import defaults
from training.reports import page
from training.schema import Augmentation, Recipe

World = tuple[Run, Evaluation]


def recipe(folder: Path) -> Recipe:
    """A small network from scratch that learns bright discs and squares in seconds."""
    made = defaults.for_folder(folder, "detection", weights="none", size=64, architecture="lecture-cnn-a")
    quick = {"epochs": 10, "batch_size": 8, "learning_rate": 0.006, "ema": 0.95, "dropout_scale": 0.0}
    training = made.training.model_copy(update=quick | {"max_objects": 40})
    changes = {"name": "drawn", "training": training, "augmentation": Augmentation(flip=True)}
    return made.model_copy(update=changes)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    home = tmp_path_factory.mktemp("objects")
    folder = drawn.draw_folder(home / "photos", "detection", 100)
    run = loop.train(recipe(folder), home / "runs" / "drawn", home)
    return run, evaluate.evaluate(run, home)


@pytest.mark.slow
def test_bright_objects_are_learnt(world: World) -> None:
    """Most drawn objects are found: the figures are many times those of one that learnt nothing."""
    _, found = world
    assert found.headline == "map_50"
    assert found.figures["map_50"] > 0.15
    assert found.figures["recall"] > 0.3
    assert set(found.per_class) == {"disc", "square"}
    table = np.asarray(found.details["confusion"])
    assert table.shape == (3, 3)
    assert table[:2].sum() == sum(row["count"] for row in found.per_class.values())


@pytest.fixture(scope="module")
def version(world: World) -> Path:
    """The run's version, in a folder of models."""
    return export(world[0], world[0].folder.parents[1] / "models")


@pytest.mark.slow
def test_the_figures_are_those_of_pycocotools_on_the_served_answers(
    world: World, version: Path, tmp_path: Path
) -> None:
    """Whoever asks pycocotools about what is answered over HTTP gets the run's mean average precision."""
    run, found = world
    photos = run.recipe.load(tmp_path).test.paths
    assert photos is not None
    document = json.loads((Path(run.recipe.data) / "annotations.json").read_text("utf-8"))
    chosen = [one for one in document["images"] if one["file_name"] in {path.name for path in photos}]
    numbers = {one["file_name"]: one["id"] for one in chosen}
    kinds = {one["name"]: one["id"] for one in document["categories"]}
    true = [
        one | {"id": number, "area": one["bbox"][2] * one["bbox"][3], "iscrowd": 0}
        for number, one in enumerate(document["annotations"], start=1)
        if one["image_id"] in numbers.values()
    ]
    answered: list[dict[str, object]] = []
    with serving(version.parents[1], engine="openvino", precision="float32") as server:
        for path in photos:
            answer = httpx.post(
                f"{server.url}/localize?threshold=0",
                content=path.read_bytes(),
                headers={"Content-Type": "image/png"},
                timeout=30,
            )
            assert answer.status_code == 200, answer.text
            for one in answer.json()["results"][0]["objects"]:
                x_min, y_min, x_max, y_max = one["box"].values()
                sides = [x_min, y_min, x_max - x_min, y_max - y_min]
                known = {"image_id": numbers[path.name], "category_id": kinds[one["label"]]}
                answered.append(known | {"bbox": sides, "score": one["score"]})
    truth = COCO()
    truth.dataset = {"images": chosen, "annotations": true, "categories": document["categories"]}
    with redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(answered), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert found.figures["map"] == pytest.approx(evaluation.stats[0], abs=0.005)
    assert found.figures["map_50"] == pytest.approx(evaluation.stats[1], abs=0.005)


@pytest.mark.slow
def test_a_version_states_its_objects_and_the_threshold_of_validation(world: World, version: Path) -> None:
    """The manifest has the number of objects, the threshold that was best on validation and the outputs."""
    run, found = world
    manifest = Manifest.model_validate_json(manifest_path(version).read_text("utf-8"))
    assert manifest.detection is not None
    assert manifest.detection.max_objects == 40
    assert {output.name: output.shape for output in manifest.outputs} == {
        "boxes": (40, 4),
        "scores": (40,),
        "labels": (40,),
    }
    kept = json.loads((run.folder / "calibration.json").read_text("utf-8"))
    assert manifest.threshold == kept["threshold"] == found.details["threshold"]
    assert 0 < manifest.threshold < 1
    with np.load(version / "assets.extra" / "golden.npz") as goldens:
        assert (np.diff(goldens["answer_scores"], axis=1) <= 0).all()
        assert np.isin(goldens["answer_labels"], (0, 1)).all()


@pytest.mark.slow
def test_the_report_shows_what_was_missed_and_invented(world: World, tmp_path: Path) -> None:
    """The page has the curve of precision, the confusion with nothing, and counts objects."""
    run, _ = world
    text = page.write(run, tmp_path, label_errors=False).read_text("utf-8")
    assert "Of what is answered, how much is right" in text
    assert "objects: disc" in text
    assert page.NO_OBJECT in text
