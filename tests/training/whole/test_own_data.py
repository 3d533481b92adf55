"""From a folder of one's own to an answer of a running service. For classes the guide does it: test_guide."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from service.images import fitting
from service.manifest import Manifest, manifest_path
from tests.worlds import Server, serving
from training import drawn, export
from training.datasets import Task
from training.datasets.reading import read_image
from training.evaluation import evaluate
from training.fit import loop
from training.fit.runs import Run
from training.recipes import defaults
from training.tasks.task import Outputs

ANSWERS: dict[Task, str] = {
    "localization": "/localize",
    "segmentation": "/segment",
}


def trained(folder: Path, task: Task, runs: Path) -> Run:
    """Train on a folder with the recipe that is made for it, but a small network and few epochs."""
    # After one epoch a mask is undecided everywhere, and shows nothing.
    network, epochs = ("lecture-cnn-c", 8) if task == "segmentation" else ("lecture-cnn-a", 1)
    choices = {"architecture": network, "size": 32, "licence": "CC0"}
    recipe = defaults.for_folder(folder, task, **choices)
    settings = recipe.training.model_copy(
        update={"epochs": epochs, "learning_rate": 0.004, "balance": task != "segmentation"}
    )
    run = loop.train(recipe.model_copy(update={"training": settings}), runs / recipe.name, runs)
    evaluate.evaluate(run, runs)
    return run


def ask(server: Server, run: Run, photo: Path) -> object:
    response = httpx.post(
        f"{server.url}{ANSWERS[run.recipe.task]}",
        params={"model": run.recipe.name},
        content=photo.read_bytes(),
        headers={"Content-Type": f"image/{photo.suffix[1:].replace('jpg', 'jpeg')}"},
        timeout=30,
    )
    assert response.status_code == 200, response.text
    return response.json()["results"][0]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with nothing in it."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def running(models: Path) -> Iterator[Server]:
    """A service that began with no model at all."""
    with serving(models, engine="openvino", models_poll_seconds="0.05") as server:
        assert httpx.get(f"{server.url}/readyz").status_code == 503
        yield server


@pytest.mark.parametrize("task", ANSWERS)
@pytest.mark.slow
def test_exported_models_are_live_in_a_running_service(
    running: Server, models: Path, tmp_path: Path, task: Task
) -> None:
    """Once exported, a model answers as Keras does for the same file, in a service that did not know it."""
    folder = drawn.draw_folder(tmp_path / f"my-{task}", task, 24)
    run = trained(folder, task, tmp_path / "runs")
    version = export.export(run, models)
    assert ": live" in running.read_until(rf"(live|refused) my-{task}/1")
    photo = min(path for path in folder.rglob("*") if path.suffix in (".jpg", ".png"))
    image = read_image(photo, run.recipe.input, 3)[None]
    expected = {key: rows[0] for key, rows in evaluate.predict(run, image).items()}
    with Image.open(photo) as picture:
        size = picture.size
    if task == "localization":
        corners = expected["box"].tolist()
        expected["box"] = np.asarray(fitting.box_out_of(corners, size, run.recipe.input), np.float32)
    else:
        expected["mask"] = expected["mask"][fitting.placed(size, run.recipe.input).place.pixels]
    _compare(task, ask(running, run, photo), expected, run.labels)
    _check_manifest(version, tmp_path)


def _compare(task: Task, found: object, expected: Outputs, labels: tuple[str, ...]) -> None:
    assert isinstance(found, dict)
    if task == "localization":
        assert found["label"] == labels[int(expected["scores"].argmax())]
        assert list(found["box_normalized"].values()) == pytest.approx(list(expected["box"]), abs=0.03)
    else:
        mask = Image.open(io.BytesIO(base64.b64decode(found["mask"]["data"])))
        share = (np.asarray(mask) > 0).mean()
        assert share == pytest.approx((expected["mask"] >= 0.5).mean(), abs=0.03)


def _check_manifest(version: Path, home: Path) -> None:
    """The version says whose data it is of, and nothing of where they lie or what they show."""
    manifest = Manifest.model_validate_json(manifest_path(version).read_bytes())
    assert manifest.data.licence == "CC0"
    assert manifest.recipe["data"] == manifest.name
    for path in version.rglob("*"):
        assert path.is_dir() or str(home).encode() not in path.read_bytes(), path
