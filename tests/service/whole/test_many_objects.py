"""A model of all objects, from its files to answers over HTTP: every one of them, in photos of any size."""

import base64
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from service.configuration.settings import Settings
from service.decoding.pool import Hands
from service.options import LocalizeOptions
from service.responses import LocalizeResponse
from service.schemas import Detection
from service.tasks.localization import corners
from service.telemetry.metrics import Metrics
from service.versions.loader import Loader
from tests.images import encode
from tests.processes import until
from tests.service.answers import problem
from tests.service.detectors import LABELS, Spot, add_detectors, picture
from tests.worlds import Server, serving

THREE = (Spot(20, 30), Spot(60, 31, 15, 1, 250), Spot(100, 90, 7, 2, 90))


@pytest.fixture(scope="module")
def detectors_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models with one for whole images and one for tiles."""
    folder = tmp_path_factory.mktemp("detectors")
    add_detectors(folder)
    return folder


@pytest.fixture(scope="module")
def detecting(detectors_dir: Path) -> Iterator[Server]:
    """A server with both."""
    with serving(detectors_dir, engine="openvino", default_localize="cells") as server:
        until(lambda: httpx.get(f"{server.url}/readyz").status_code == 200)
        yield server


@pytest.fixture
def asked(detecting: Server) -> Iterator[httpx.Client]:
    """A client of that server."""
    with httpx.Client(base_url=detecting.url, timeout=30) as client:
        yield client


def boxes(result: dict[str, Any]) -> list[tuple[float, ...]]:
    return [tuple(each["box"].values()) for each in result["objects"]]


def test_every_way_of_posting_gives_all_objects(asked: httpx.Client) -> None:
    """As a form, raw and as JSON, alone and beside others: each image its own objects, best first."""
    data = picture(THREE)
    form = asked.post("/localize", files={"file": data})
    assert form.status_code == 200, form.text
    LocalizeResponse.model_validate_json(form.content)
    assert form.json()["model"] == {"name": "cells", "version": 1}
    (result,) = form.json()["results"]
    told = [(each["label"], each["score"]) for each in result["objects"]]
    assert told == [("white cell", pytest.approx(250 / 255)), ("red cell", pytest.approx(200 / 255))]
    assert boxes(result) == [pytest.approx(THREE[1].box), pytest.approx(THREE[0].box)]
    assert result["counts"] == {"white cell": 1, "red cell": 1}
    assert {name: result[name] for name in ("label", "score", "box", "box_normalized")} == result["objects"][
        0
    ]
    raw = asked.post("/localize", content=data, headers={"Content-Type": "image/png"})
    coded = asked.post("/localize", json={"image": base64.b64encode(data).decode()})
    assert raw.json() == coded.json() == form.json()
    several = [data, b"no image", picture([]), picture([Spot(9, 9, 5, 2)])]
    first, second, third, fourth = asked.post("/localize", files=[("file", each) for each in several]).json()[
        "results"
    ]
    assert first == result
    assert second["error"]["code"] == "not_an_image"
    assert third["objects"] == []
    assert fourth["counts"] == {"platelet": 1}


def test_a_photo_without_objects_is_answered(asked: httpx.Client) -> None:
    """With 200 and an empty list; what is told of one object is null."""
    response = asked.post("/localize", files={"file": picture([])})
    assert response.status_code == 200
    assert response.json()["results"] == [
        {
            **dict.fromkeys(("label", "score", "box", "box_normalized")),
            "objects": [],
            "counts": {},
            "width": 128,
            "height": 128,
        }
    ]
    LocalizeResponse.model_validate_json(response.content)


def test_300_objects_in_one_image_are_all_answered(asked: httpx.Client) -> None:
    """Each once and in its place."""
    spots = [Spot(3 + 6 * (n % 20), 3 + 8 * (n // 20), 3 + n % 3, n % 3, 130 + n % 120) for n in range(300)]
    (result,) = asked.post("/localize", files={"file": picture(spots)}).json()["results"]
    assert len(result["objects"]) == 300
    assert result["counts"] == dict.fromkeys(LABELS, 100)
    found = np.asarray(sorted(boxes(result)))
    assert found == pytest.approx(np.asarray(sorted(spot.box for spot in spots)), abs=0.01)


def test_options_choose_over_http(asked: httpx.Client) -> None:
    """By score, number and label; what cannot be is told before an image is read."""
    data = picture(THREE)

    def labels(query: str) -> list[str]:
        response = asked.post(f"/localize?{query}", files={"file": data})
        assert response.status_code == 200, response.text
        return [each["label"] for each in response.json()["results"][0]["objects"]]

    assert labels("threshold=0.3") == ["white cell", "red cell", "platelet"]
    assert labels("threshold=0.3&max_objects=2") == ["white cell", "red cell"]
    assert labels("threshold=0&labels=platelet,red%20cell") == ["red cell", "platelet"]
    refused = problem(
        asked.post("/localize?labels=red%20cel", files={"file": data}), 422, "invalid_parameter"
    )
    assert "'red cel' is no label of this model. Did you mean red cell?" in refused["detail"]
    for query in ("max_objects=0", "max_objects=10001", "threshold=2", "labels="):
        problem(asked.post(f"/localize?{query}", files={"file": data}), 422, "invalid_parameter")


@pytest.mark.parametrize("model", ["cells", "slides"])
def test_all_boxes_are_drawn(asked: httpx.Client, model: str) -> None:
    """On the photo, with overlay=true, where they are told to be."""
    response = asked.post(
        f"/localize?model={model}&overlay=true",
        files={"file": picture([Spot(40, 40, 31), Spot(90, 90, 21, 1)])},
        headers={"Accept": "image/png"},
    )
    assert response.headers["content-type"] == "image/png"
    drawn = np.asarray(Image.open(io.BytesIO(response.content)))
    assert drawn.shape == (128, 128, 3)
    for colour, low, high in (((230, 159, 0), 25, 56), ((86, 180, 233), 80, 101)):
        rows, columns = np.nonzero((drawn == colour).all(axis=-1))
        assert (rows.min(), columns.min()) == pytest.approx((low, low), abs=1)
        assert (rows.max(), columns.max()) == pytest.approx((high, high), abs=1)


@pytest.mark.parametrize("model", ["cells", "slides"])
def test_clients_of_other_servers_get_fixed_outputs(asked: httpx.Client, model: str) -> None:
    """Boxes as fractions, scores and labels in descending order, of whole images as many as the model has;
    what counts among them is what /localize answers. Of two images in tiles, the one with fewer is filled up.
    """
    data = [base64.b64encode(picture(THREE[:count])).decode() for count in (3, 0)]
    image = {"name": "image", "datatype": "BYTES", "shape": [2], "data": data}
    answer = asked.post(f"/v2/models/{model}/infer", json={"inputs": [image]})
    assert answer.status_code == 200, answer.text
    found = {each["name"]: np.reshape(each["data"], each["shape"]) for each in answer.json()["outputs"]}
    count = 300 if model == "cells" else 2
    assert {name: each.shape for name, each in found.items()} == {
        "boxes": (2, count, 4),
        "scores": (2, count),
        "labels": (2, count),
    }
    counts = found["scores"][0] >= 0.5
    own = asked.post(f"/localize?model={model}", files={"file": picture(THREE)}).json()["results"][0]
    assert [list(each["box_normalized"].values()) for each in own["objects"]] == [
        pytest.approx(box, abs=1e-6) for box in found["boxes"][0][counts].tolist()
    ]
    assert [LABELS[int(label)] for label in found["labels"][0][counts]] == ["white cell", "red cell"]
    assert (found["scores"][1] == 0).all()


def test_a_large_photo_is_answered_tile_by_tile(asked: httpx.Client) -> None:
    """At its own scale, with each object once, though several tiles see it, and many on their seams."""
    chance = np.random.default_rng(0)
    spots = [
        Spot(
            x, y, 2 * int(chance.integers(2, 12)) + 1, int(chance.integers(3)), int(chance.integers(140, 255))
        )
        for x in range(14, 680, 27)
        for y in range(14, 480, 27)
    ]
    response = asked.post("/localize?model=slides", files={"file": picture(spots, (700, 500))})
    assert response.status_code == 200, response.text
    (result,) = response.json()["results"]
    assert (result["width"], result["height"]) == (700, 500)
    found = np.asarray(sorted(boxes(result)))
    assert found == pytest.approx(np.asarray(sorted(spot.box for spot in spots)), abs=0.01)
    small = asked.post("/localize?model=slides", files={"file": picture([Spot(10, 10)], (30, 20))})
    assert boxes(small.json()["results"][0]) == [pytest.approx(Spot(10, 10).box)]


@pytest.mark.parametrize("size", [(416, 320), (100, 60)])
def test_a_large_photo_is_looked_at_in_parts_where_asked(asked: httpx.Client, size: tuple[int, int]) -> None:
    """By a model of whole images: at the scale that is asked for, each object once, drawn too."""
    spots = [Spot(x, y, 9, x % 3) for x in range(14, size[0] - 10, 27) for y in range(14, size[1] - 10, 27)]
    photo = picture(spots, size)
    (result,) = asked.post("/localize?tile=128", files={"file": photo}).json()["results"]
    assert (result["width"], result["height"]) == size
    found = np.asarray(sorted(boxes(result)))
    assert found == pytest.approx(np.asarray(sorted(spot.box for spot in spots)), abs=0.01)
    drawn = asked.post(
        "/localize?tile=128&overlay=true", files={"file": photo}, headers={"Accept": "image/png"}
    )
    assert Image.open(io.BytesIO(drawn.content)).size == size
    # Each dot as four pixels, in parts of twice the size: the model sees them at half the score.
    doubled = Image.open(io.BytesIO(photo)).resize((2 * size[0], 2 * size[1]), Image.Resampling.NEAREST)
    answer = asked.post("/localize?tile=256&threshold=0.3", files={"file": encode(doubled, "PNG")})
    assert len(answer.json()["results"][0]["objects"]) == len(spots)
    refused = asked.post("/localize?model=slides&tile=256", files={"file": photo})
    problem(refused, 422, "invalid_parameter")


def test_the_summary_tells_what_decides(asked: httpx.Client) -> None:
    """Outputs, threshold, how many at most, and by which rule boxes of tiles are merged."""
    told = asked.get("/summary?model=slides", headers={"Accept": "application/json"}).json()
    assert [output["name"] for output in told["outputs"]] == ["boxes", "scores", "labels"]
    answering = told["answering"]
    assert answering["Threshold"].endswith("objects of a lower score are left out")
    assert answering["Objects told"].startswith("the 300 best of each tile at most")
    assert "the best stays" in answering["Tiles"]
    assert set(told["golden"]) == {"boxes", "scores"}
    assert max(told["golden"].values()) < 0.01
    listed = asked.get("/summary", headers={"Accept": "application/json"}).json()
    assert listed["refused"] == {}


def test_how_many_objects_are_found_is_counted(asked: httpx.Client) -> None:
    """Of each answered image, for what watches a camera or a model that changes."""
    before = asked.get("/metrics").text
    asked.post("/localize", files={"file": picture(THREE)})
    after = asked.get("/metrics").text

    def total(text: str, name: str) -> float:
        found = re.search(rf'^striate_objects_{name}{{model="cells"}} (\S+)', text, re.MULTILINE)
        return float(found[1]) if found else 0

    assert total(after, "sum") - total(before, "sum") == 2
    assert total(after, "count") - total(before, "count") == 1


def test_the_interface_tells_of_many_objects(asked: httpx.Client) -> None:
    """Its examples are answers that its own schema describes."""
    operation = asked.get("/openapi.json").json()["paths"]["/localize"]["post"]
    content = operation["responses"]["200"]["content"]["application/json"]
    assert set(content["examples"]) == {"one", "all", "none"}
    for example in content["examples"].values():
        LocalizeResponse.model_validate_json(json.dumps(example["value"]))
    names = {parameter["name"] for parameter in operation["parameters"]}
    assert {"threshold", "max_objects", "labels", "overlay"} <= names


@pytest.mark.parametrize("engine", ["openvino", "tensorflow"])
async def test_each_engine_answers_as_the_network(detectors_dir: Path, engine: str) -> None:
    """The golden objects, however they tie, and those of another picture."""
    # In float32: TensorFlow would compute in bfloat16 for the rest of the process.
    settings = Settings(models_dir=detectors_dir, engine=engine, engine_threads=1, precision="float32")
    with Hands(settings) as hands:
        live = Loader(settings, hands, Metrics()).bring_to_life("cells", 1, detectors_dir / "cells" / "1")
        assert max(each.difference for each in live.deviations) < 0.01
        answer = await live.predictor.answer(picture(THREE), LocalizeOptions())
        await live.predictor.close()
    assert isinstance(answer, Detection)
    assert [corners(each.box) for each in answer.objects] == [THREE[1].box, THREE[0].box]
