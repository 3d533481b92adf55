"""Fixtures that cost seconds and are made once: a drawn data set, a trained run per task, their models."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests import worlds

if TYPE_CHECKING:
    # Most tests need no TensorFlow, whose import takes seconds.
    from training.loop import Run

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

TASKS = ("classification", "localization", "segmentation")


@pytest.fixture(scope="session", autouse=True)
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of decoded images that ends with the tests."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRAINING_CACHE_DIR", str(folder))
        yield folder


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A --data-dir with a drawn Oxford-IIIT Pet."""
    root = tmp_path_factory.mktemp("data")
    worlds.draw_pet_dataset(root)
    return root


@pytest.fixture(scope="session")
def runs(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, "Run"]:
    """One run per task, trained for one epoch and evaluated."""
    from training import evaluate, loop

    folder = tmp_path_factory.mktemp("runs")
    trained = {}
    for task in TASKS:
        recipe = worlds.tiny_recipe(task)
        trained[task] = loop.train(recipe, folder / recipe.name, data_dir)
        evaluate.evaluate(trained[task], data_dir)
    return trained


@pytest.fixture(scope="session")
def models_dir(runs: dict[str, "Run"], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with version 1 of each run's model. Copy it before changing it."""
    from training import export

    folder = tmp_path_factory.mktemp("models")
    for run in runs.values():
        export.export(run, folder)
    return folder


DEFAULTS = {
    "default_classify": "tiny-classification",
    "default_localize": "tiny-localization",
    "default_segment": "tiny-segmentation",
}


@pytest.fixture(scope="session", params=["openvino", "tensorflow"])
def engine(request: pytest.FixtureRequest) -> str:
    """Each engine in turn."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def server(models_dir: Path, engine: str) -> Iterator[worlds.Server]:
    """A server with the tiny models, on each engine in turn."""
    with worlds.serving(models_dir, engine=engine, **DEFAULTS) as running:
        yield running


@pytest.fixture(scope="session")
def openvino_server(models_dir: Path) -> Iterator[worlds.Server]:
    """A server with the tiny models on OpenVINO, for what does not depend on the engine."""
    with worlds.serving(models_dir, engine="openvino", **DEFAULTS) as running:
        yield running


@pytest.fixture
def client(openvino_server: worlds.Server) -> Iterator[httpx.Client]:
    """An HTTP client of that server."""
    with httpx.Client(base_url=openvino_server.url, timeout=30) as client:
        yield client
