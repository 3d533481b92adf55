"""From training to an HTTP answer: what the service says is what Keras says."""

import base64
import io
import shutil
from pathlib import Path

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.tasks import masks
from tests.conftest import DEFAULTS
from tests.worlds import Server, fit, serving
from training import golden
from training.evaluation import evaluate
from training.export import export
from training.fit.runs import Run
from training.tasks.task import Outputs

SAMPLES = {sample.name: sample for sample in golden.samples("pets", seed=7)}

TOLERANCE = 0.03


def keras_row(run: Run, pixels: NDArray[np.uint8]) -> Outputs:
    image = fit(pixels, *run.recipe.input.shape)[None]
    return {name: rows[0] for name, rows in evaluate.predict(run, image).items()}


@pytest.mark.parametrize("name", SAMPLES)
def test_classify_gives_the_scores_that_keras_gives(server: Server, runs: dict[str, Run], name: str) -> None:
    """Whatever the encoding and the engine, /classify answers with Keras's scores."""
    sample = SAMPLES[name]
    run = runs["classification"]
    response = httpx.post(f"{server.url}/classify", files={"file": sample.data}, timeout=30)
    assert response.status_code == 200
    found = {entry["label"]: entry["score"] for entry in response.json()["results"][0]["top"]}
    expected = dict(zip(run.labels, keras_row(run, sample.pixels)["scores"], strict=True))
    assert found == pytest.approx(expected, abs=TOLERANCE)


@pytest.mark.parametrize("name", SAMPLES)
def test_localize_gives_the_box_that_keras_gives(server: Server, runs: dict[str, Run], name: str) -> None:
    """Whatever the encoding and the engine, /localize gives Keras's box in the upright image's pixels."""
    sample = SAMPLES[name]
    response = httpx.post(f"{server.url}/localize", files={"file": sample.data}, timeout=30)
    result = response.json()["results"][0]
    stored = Image.open(io.BytesIO(sample.data)).size
    upright = stored[::-1] if "turned" in name else stored
    assert (result["width"], result["height"]) == upright
    expected = keras_row(runs["localization"], sample.pixels)["box"]
    assert list(result["box_normalized"].values()) == pytest.approx(list(expected), abs=TOLERANCE)
    scale = np.asarray(upright * 2)
    assert list(result["box"].values()) == pytest.approx(list(expected * scale), abs=TOLERANCE * max(upright))


@pytest.mark.parametrize("name", SAMPLES)
def test_segment_gives_the_mask_that_keras_gives(server: Server, runs: dict[str, Run], name: str) -> None:
    """Whatever the encoding and the engine, /segment's mask is that of Keras at the posted image's size."""
    sample = SAMPLES[name]
    response = httpx.post(f"{server.url}/segment", files={"file": sample.data}, timeout=30)
    result = response.json()["results"][0]
    found = np.asarray(Image.open(io.BytesIO(base64.b64decode(result["mask"]["data"]))))
    probabilities = keras_row(runs["segmentation"], sample.pixels)["mask"]
    expected = masks.enlarge(probabilities, result["height"], result["width"], 0.0)
    assert found.shape == (result["height"], result["width"])
    # One step of training leaves the classes nearly equal, so some pixels are on the edge.
    top_two = np.sort(probabilities, axis=-1)[..., -2:]
    clear = masks.enlarge(np.diff(top_two) - TOLERANCE + 0.5, *found.shape, 0.5).astype(bool)
    assert (found == expected)[clear].mean() > 0.995
    assert [entry["pixels"] for entry in result["classes"]] == np.bincount(
        found.ravel(), minlength=3
    ).tolist()


def test_flipped_byte_is_refused_and_the_former_version_serves(
    runs: dict[str, Run], models_dir: Path, tmp_path: Path
) -> None:
    """A version with one flipped bit in its weights is refused with a reason; the one before it serves on."""
    models = tmp_path / "models"
    shutil.copytree(models_dir, models)
    second = export(runs["classification"], models)
    assert second.name == "2"
    weights = second / "variables" / "variables.data-00000-of-00001"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
    with serving(models, engine="openvino", **DEFAULTS) as server:
        ready = httpx.get(f"{server.url}/readyz")
        answer = httpx.post(f"{server.url}/classify", files={"file": SAMPLES["pets-png"].data})
    assert ready.status_code == 200
    report = ready.json()["models"]["tiny-classification"]
    assert report["live"] == 1
    assert "variables.data-00000-of-00001" in report["refused"]["2"]
    assert "sha256" in report["refused"]["2"]
    assert answer.json()["model"] == {"name": "tiny-classification", "version": 1}


def test_newest_version_is_live(runs: dict[str, Run], models_dir: Path, tmp_path: Path) -> None:
    """Of several good versions the highest number is live."""
    models = tmp_path / "models"
    shutil.copytree(models_dir, models)
    export(runs["classification"], models)
    with serving(models, engine="openvino", **DEFAULTS) as server:
        answer = httpx.post(f"{server.url}/classify", files={"file": SAMPLES["pets-png"].data})
    assert answer.json()["model"]["version"] == 2
