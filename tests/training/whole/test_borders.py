"""Touching objects, from a recipe that learns their borders to answers of the service's own predictor."""

import json
from pathlib import Path

import pytest

from service.manifest import Manifest, manifest_path
from tests import worlds
from tests.training.sets import draw_nuclei
from training.evaluation import evaluate
from training.export import export
from training.fit import loop
from training.prediction import predict


def test_borders_from_recipe_to_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exported version tells the border beside the mask, its golden answers hold in the service, and what
    the evaluation states was measured with it.
    """
    monkeypatch.setenv("STRIATE_ENGINE", "openvino")
    draw_nuclei(tmp_path / "nuclei")
    recipe = worlds.tiny_recipe(
        "segmentation",
        dataset="nuclei",
        input={"height": 32, "width": 32, "channels": 3, "resize": "letterbox"},
        augmentation={"flip": True, "zoom": 0.3},
        training={"epochs": 2, "batch_size": 8, "learning_rate": 0.004, "mask_border": True},
    )
    run = loop.train(recipe, tmp_path / "runs" / recipe.name, tmp_path)
    stated = evaluate.evaluate(run, tmp_path)
    assert 0 <= stated.figures["object_f1"] <= 1
    version = export(run, tmp_path / "models")
    manifest = Manifest.model_validate_json(manifest_path(version).read_bytes())
    assert {output.name: output.shape for output in manifest.outputs} == {
        "mask": (32, 32, 1),
        "border": (32, 32, 1),
    }
    photo = next((tmp_path / "nuclei" / "images").glob("*.png"))
    predict.predict(predict.Asked((photo,), str(version), tmp_path / "answers.json"))
    (answer,) = json.loads((tmp_path / "answers.json").read_text("utf-8"))["results"]
    assert [each["label"] for each in answer["classes"]] == list(manifest.labels)
