"""Many objects, answered without a server: the options are the service's."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner, Result

from tests.service.detectors import Spot, add_detectors, picture
from tests.worlds import Server, serving
from training.__main__ import app
from training.prediction.served import PredictError

SPOTS = [
    Spot(14 + 27 * i, 14 + 27 * j, 9, (i + j) % 3, 120 + (i * j * 7) % 120)
    for i in range(15)
    for j in range(11)
]


@pytest.fixture(scope="module")
def detectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models, of which `cells` answers each bright pixel as an object."""
    folder = tmp_path_factory.mktemp("models")
    add_detectors(folder)
    return folder


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo three times as wide as the model's input, with many objects, the least sure below half."""
    path = tmp_path_factory.mktemp("photos") / "many.png"
    path.write_bytes(picture(SPOTS, (416, 320)))
    return path


@pytest.fixture(scope="module")
def server(detectors: Path) -> Iterator[Server]:
    with serving(detectors, engine="openvino") as running:
        yield running


def predict(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["predict", *map(str, arguments)])


@pytest.mark.parametrize(
    "options",
    [
        {"tile": "128"},
        {"tile": "128", "labels": "red cell, platelet", "threshold": "0.6"},
        {"tile": "128", "max-objects": "7"},
    ],
)
def test_the_options_are_those_of_the_service(
    detectors: Path, server: Server, photo: Path, tmp_path: Path, options: dict[str, str]
) -> None:
    """Every object that a server answers with the same options, in the same order."""
    given = [word for name, value in options.items() for word in (f"--{name}", value)]
    done = predict(photo, "--model", "cells", "--models-dir", detectors, "--to", tmp_path / "a.json", *given)
    assert done.exit_code == 0, done.output
    (found,) = json.loads((tmp_path / "a.json").read_text("utf-8"))["results"]
    query = {name.replace("-", "_"): value for name, value in options.items()}
    answer = httpx.post(
        f"{server.url}/localize",
        params=query | {"model": "cells"},
        content=photo.read_bytes(),
        headers={"Content-Type": "image/png"},
    )
    assert {"file": str(photo), **answer.json()["results"][0]} == found
    assert len(found["objects"]) == 7 if "max-objects" in options else len(found["objects"]) > 30
    if "labels" in options:
        assert set(found["counts"]) == {"red cell", "platelet"}


def test_a_table_has_a_row_for_each_object(detectors: Path, photo: Path, tmp_path: Path) -> None:
    """Of the labels that were asked for, the best of them."""
    given = ("--tile", 128, "--labels", "platelet", "--max-objects", 5)
    predict(photo, "--model", "cells", "--models-dir", detectors, "--to", tmp_path / "a.csv", *given)
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == ["platelet"] * 5
    scores = [float(row["score"]) for row in rows]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("cells", ("--labels", "red cel"), "--labels: 'red cel' is no label .* Did you mean red cell?"),
        ("cells", ("--labels", ""), "--labels: String should have at least 1 character"),
        ("slides", ("--tile", 128), "--tile: slides looks at every image in tiles"),
    ],
)
def test_what_the_model_cannot_do_is_told_before_a_photo_is_read(
    detectors: Path, photo: Path, tmp_path: Path, model: str, options: tuple[object, ...], message: str
) -> None:
    """With the option that is wrong; nothing is written."""
    to = tmp_path / "a.json"
    done = predict(photo, "--model", model, "--models-dir", detectors, "--to", to, *options)
    assert not to.exists()
    assert isinstance(done.exception, PredictError)
    with pytest.raises(PredictError, match=message):
        raise done.exception


def test_models_without_objects_refuse_their_options(models_dir: Path, photo: Path) -> None:
    """A classifier has no objects, and a model of one object no others."""
    for task, message in (
        ("classification", "--max-objects, --tile: for models that find objects; tiny-classification is for"),
        ("localization", "--"),
    ):
        given = ("--max-objects", 3, "--tile", 128)
        done = predict(photo, "--model", f"tiny-{task}", "--models-dir", models_dir, *given)
        assert isinstance(done.exception, PredictError)
        assert str(done.exception).startswith(message)
