"""From training to an HTTP answer: what is of another kind is told as such, on each engine."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from service.engines import Precision, openvino
from service.images import codec
from service.manifest import Manifest, manifest_path
from tests import worlds
from training.__main__ import app
from training.evaluation import evaluate, words
from training.export import export
from training.fit.runs import Run
from training.golden import draw_pet
from training.reports import page

pytestmark = pytest.mark.slow

PATHS = {"classification": "/classify", "localization": "/localize", "segmentation": "/segment"}


@pytest.fixture(scope="module")
def knowing(larger_runs: dict[str, Run], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with a version of each."""
    folder = tmp_path_factory.mktemp("models")
    for run in larger_runs.values():
        export(run, folder)
    return folder


@pytest.fixture(scope="module")
def serving(knowing: Path, engine: str) -> Iterator[worlds.Server]:
    """A server with them, on each engine in turn, in the precision that holds there."""
    with worlds.serving(knowing, engine=engine) as running:
        yield running
    assert "Traceback" not in "".join(running.log)


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Encode a picture."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def own(count: int) -> list[bytes]:
    """Draw pets that no part of the data set has."""
    chance = np.random.default_rng(99)
    return [png(draw_pet(chance, 60, 48)) for _ in range(count)]


def strange() -> list[bytes]:
    """Make images of other kinds: noise, black, white, and stripes."""
    noise = np.random.default_rng(1).integers(0, 256, (48, 60, 3), np.uint8)
    stripes = np.tile(np.asarray([[[255, 0, 0]], [[0, 255, 255]]], np.uint8), (24, 60, 1))
    return [png(each) for each in (noise, np.zeros_like(noise), np.full_like(noise, 255), stripes)]


def ask(server: worlds.Server, task: str, images: list[bytes]) -> list[dict[str, Any]]:
    """Post images to the tiny model of a task."""
    files = [("file", each) for each in images]
    response = httpx.post(f"{server.url}{PATHS[task]}?model=tiny-{task}", files=files, timeout=60)
    response.raise_for_status()
    found: list[dict[str, Any]] = response.json()["results"]
    return found


@pytest.mark.parametrize("task", list(PATHS))
def test_another_kind_is_told(serving: worlds.Server, task: str) -> None:
    """Drawn pets are familiar to a model of drawn pets, but for the false alarms; nothing else is."""
    summary = httpx.get(f"{serving.url}/summary", params={"model": f"tiny-{task}"}, timeout=30).json()
    known = summary["familiarity"]
    assert (known["level"], known["calibrated_on"], known["count"]) == (0.05, 20, 200)
    assert known["interval"][0] <= known["false_alarms"] <= known["interval"][1]
    assert (
        f"below {known['level']:g} it is unlike what the model knows" in summary["answering"]["Familiarity"]
    )
    assert summary["golden"]["familiarity"] <= summary["tolerance"]["familiarity"]
    assert "familiarity" not in {layer["name"] for layer in summary["layers"]}
    familiar = [each["familiarity"] for each in ask(serving, task, own(16))]
    assert sum(each >= known["level"] for each in familiar) >= 10
    assert max(each["familiarity"] for each in ask(serving, task, strange())) < known["level"]


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_each_way_of_computing_tells_it_alike(knowing: Path, precision: Precision) -> None:
    """Several requests at a time with a batch of any size, in which OpenVINO once told 0 of all, and one."""
    folder = knowing / "tiny-classification" / "1"
    spec = Manifest.model_validate_json(manifest_path(folder).read_bytes()).input
    tensors = np.stack([codec.read(each, spec, 2**24, whole=False)[1] for each in own(10)])
    model = openvino._core().read_model(folder)
    several = openvino._compile(model, precision, streams=2, threads=2)(tensors)["familiarity"]
    one = openvino._compile(model, precision, streams=1, threads=1)
    alone = np.concatenate([one(each[None])["familiarity"] for each in tensors])
    assert alone.max() > 0.2
    assert several == pytest.approx(alone, abs=0.02)


def test_metrics_count_by_familiarity(serving: worlds.Server) -> None:
    """Of each model, how many answered images were how familiar."""
    before = _unfamiliar(serving)
    ask(serving, "classification", strange())
    assert _unfamiliar(serving) == before + 4


def _unfamiliar(server: worlds.Server) -> float:
    name = 'striate_familiarity_bucket{le="0.05",model="tiny-classification"}'
    lines = httpx.get(f"{server.url}/metrics", timeout=30).text.splitlines()
    return next((float(line.split()[-1]) for line in lines if line.startswith(name)), 0.0)


def test_openapi_describes_it(serving: worlds.Server) -> None:
    """It is a number from 0 to 1 that an answer need not have."""
    schemas = httpx.get(f"{serving.url}/openapi.json", timeout=30).json()["components"]["schemas"]
    for name in ("Classification", "Localization", "Segmentation"):
        told = schemas[name]["properties"]["familiarity"]
        assert (told["type"], told["minimum"], told["maximum"]) == ("number", 0, 1)
        assert "default" not in told
        assert "familiarity" not in schemas[name]["required"]


def test_predict_tells_it(
    knowing: Path, engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a table it is the last column but that of errors, on the screen it ends a line."""
    monkeypatch.setenv("STRIATE_ENGINE", engine)
    monkeypatch.setenv("STRIATE_PRECISION", "float32")
    (tmp_path / "strange.png").write_bytes(strange()[0])
    options = ["--model", "tiny-classification", "--models-dir", str(knowing)]
    told = CliRunner().invoke(app, ["predict", str(tmp_path / "strange.png"), *options])
    assert told.exit_code == 0
    assert told.stdout.rstrip().endswith(", familiarity 0.0000")
    place = tmp_path / "answers.csv"
    CliRunner().invoke(app, ["predict", str(tmp_path / "strange.png"), *options, "--to", str(place)])
    (entry,) = csv.DictReader(place.read_text("utf-8").splitlines())
    assert list(entry)[-2:] == ["familiarity", "error"]
    assert float(entry["familiarity"]) == 0


def test_the_report_tells_it(larger_runs: dict[str, Run], larger_data_dir: Path) -> None:
    """What it is, below which level, and how often that is wrong, in the run's page and on the screen."""
    run = larger_runs["classification"]
    text = page.write(run, larger_data_dir).read_text("utf-8")
    evaluation = evaluate.read(run)
    assert evaluation
    known = evaluation.details["familiarity"]
    assert "Outside what it knows" in text
    assert f"Below {known['level']:g} an image is unlike" in text
    assert f"false alarm for {100 * known['false_alarms']:.1f} %" in text
    assert any(line.startswith("familiarity, by 20") for line in words.describe(evaluation).splitlines())
