"""Fixtures that cost seconds and are made once: a drawn data set, a trained run per task, their models."""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings

from tests import worlds

if TYPE_CHECKING:
    # Most tests need no TensorFlow, whose import takes seconds.
    from training.fit.runs import Run

# What takes long beside other busy processes is not wrong.
settings.register_profile("striate", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("striate")

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the slowest, so that no process is left with one of them when the others have ended."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


TASKS = ("classification", "localization", "segmentation")


@pytest.fixture(scope="session", autouse=True)
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of decoded images that ends with the tests."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRAINING_CACHE_DIR", str(folder))
        yield folder


@pytest.fixture(autouse=True)
def float32_again() -> Iterator[None]:
    """TensorFlow's precision is the process's: what a served version chose, the next test would train in."""
    yield
    engine = sys.modules.get("service.engines.tensorflow")
    if engine is not None:
        engine.compute_in("float32")


@pytest.fixture(scope="session")
def common(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the processes of one test run share."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


def _once(folder: Path, make: Callable[[Path], object]) -> Path:
    """Make a folder's content in the first process that needs it; the others wait for it."""
    with FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            # A new one each time: what a failure left behind would hide its reason from the next process.
            half = Path(tempfile.mkdtemp(dir=folder.parent))
            make(half)
            half.rename(folder)
    return folder


@pytest.fixture(scope="session")
def data_dir(common: Path) -> Path:
    """A --data-dir with a drawn Oxford-IIIT Pet."""
    return _once(common / "data", worlds.draw_pet_dataset)


@pytest.fixture(scope="session")
def runs(data_dir: Path, common: Path) -> dict[str, "Run"]:
    """One run per task, trained for one epoch and evaluated. Copy its folder before changing it."""
    from training.evaluation import evaluate
    from training.fit import loop
    from training.fit.runs import open_run

    def train(folder: Path) -> None:
        for task in TASKS:
            recipe = worlds.tiny_recipe(task)
            evaluate.evaluate(loop.train(recipe, folder / recipe.name, data_dir), data_dir)

    folder = _once(common / "runs", train)
    return {task: open_run(folder / f"tiny-{task}") for task in TASKS}


@pytest.fixture(scope="session")
def models_dir(common: Path, request: pytest.FixtureRequest) -> Path:
    """A models folder with version 1 of each run's model. Copy it before changing it."""

    def export(folder: Path) -> None:
        from training.export import export

        for run in request.getfixturevalue("runs").values():
            export(run, folder)

    # Whoever does not export need not import TensorFlow either.
    return _once(common / "models", export)


@pytest.fixture(scope="session")
def larger_data_dir(common: Path) -> Path:
    """A --data-dir with as many drawn pets as familiarity needs: 20 validation images and 200 of test."""
    return _once(common / "larger-data", lambda folder: worlds.draw_pet_dataset(folder, 200))


@pytest.fixture(scope="session")
def larger_runs(larger_data_dir: Path, common: Path) -> dict[str, "Run"]:
    """One run per task on these, trained for one epoch and evaluated. Copy its folder before changing it."""
    from training.evaluation import evaluate
    from training.fit import loop
    from training.fit.runs import open_run

    def train(folder: Path) -> None:
        for task in TASKS:
            recipe = worlds.tiny_recipe(task)
            run = loop.train(recipe, folder / recipe.name, larger_data_dir)
            evaluate.evaluate(run, larger_data_dir)

    folder = _once(common / "larger-runs", train)
    return {task: open_run(folder / f"tiny-{task}") for task in TASKS}


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
