"""Networks of the zoo, trained for an epoch, go live: their graphs are ones that the service can run."""

from pathlib import Path

import httpx
import pytest

from tests import worlds

ZOO = (("alexnet-grouped", "segmentation", 67), ("mlp", "localization", 32))
"""Convolutions in groups (for masks, without the dense layers of 60 million weights); and none at all."""


@pytest.fixture(scope="module")
def models(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with each of them."""
    from training import export
    from training.evaluation import evaluate
    from training.fit import loop

    folder = tmp_path_factory.mktemp("zoo")
    for architecture, task, side in ZOO:
        recipe = worlds.tiny_recipe(
            task,
            name=architecture,
            architecture=architecture,
            input={"height": side, "width": side, "channels": 3},
            augmentation={},
        )
        run = loop.train(recipe, folder / "runs" / architecture, data_dir)
        evaluate.evaluate(run, data_dir)
        export.export(run, folder / "models")
    return folder / "models"


def test_networks_of_the_zoo_go_live_and_are_explained(models: Path) -> None:
    """Each passes its golden replay on OpenVINO, and /summary explains each of its layers."""
    with worlds.serving(models, engine="openvino") as server, httpx.Client(base_url=server.url) as client:
        assert client.get("/summary").json()["refused"] == {}
        for architecture, _, _ in ZOO:
            answer = client.get("/summary", params={"model": architecture})
            assert answer.status_code == 200
            layers = answer.json()["layers"]
            assert all(layer["note"] for layer in layers)
            assert all(bool(layer["parameters"]) == bool(layer["parameters_explained"]) for layer in layers)
