"""TensorFlow Serving's REST and KServe's V1 on a real port: lines of their documents, and their answers."""

import base64
import gzip
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from service.access import keys
from tests.images import encode
from tests.service import making
from tests.service.answers import JPEG, PNG
from tests.worlds import Server, serving
from training import golden

DIGIT = golden.samples("digits", seed=3)[0].data
PIXELS = np.random.default_rng(5).integers(0, 256, (2, 28, 28, 1), np.uint8)


def b64(data: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(data).decode()}


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder: digits in version 1, in version 2 by the label canary, and a damaged version 3."""
    folder = tmp_path_factory.mktemp("models")
    making.first("digits", folder)
    making.add(folder / "digits", 2)
    making.add(folder / "digits", 3, making.flip("saved_model.pb"))
    (folder / "digits" / "policy.json").write_text('{"pin": 1, "labels": {"canary": 2, "broken": 3}}')
    return folder


@pytest.fixture(scope="module")
def server(digits: Path) -> Iterator[Server]:
    with serving(digits, engine="openvino", default_classify="digits") as running:
        yield running
    assert "Traceback" not in "".join(running.log)


@pytest.fixture
def http(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client


def refused(answer: httpx.Response, status: int = 400) -> str:
    """Return the text of a refusal, which is JSON with `error`, as these clients read it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    error: str = answer.json()["error"]
    assert error
    return error


def test_pixels_by_rows_and_columns_get_the_same_rows(http: httpx.Client) -> None:
    """As curl sends them, with its own Content-Type, in every place of a version, by an escaped colon."""
    rows = http.post("/v1/models/digits:predict", json={"instances": PIXELS.tolist()}).json()
    assert list(rows) == ["predictions"]
    assert np.array(rows["predictions"]).shape == (2, 10)
    assert np.allclose(np.sum(rows["predictions"], axis=1), 1, atol=1e-5)
    columns = http.post("/v1/models/digits:predict", json={"inputs": {"image": PIXELS.tolist()}}).json()
    assert np.allclose(columns["outputs"], rows["predictions"], atol=1e-6)
    alone = {"instances": PIXELS[:1].tolist()}
    first = http.post("/v1/models/digits:predict", json=alone).json()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    for place in (
        "%3Apredict",
        "/versions/1:predict",
        "/versions/0:predict",
        "/versions/2:predict",
        "/labels/stable:predict",
        "/labels/canary%3Apredict",
    ):
        url = f"/v1/models/digits{place}?anything=1"
        answer = http.post(url, content=json.dumps(alone), headers=headers | {"Accept": "text/plain"})
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/json"
        assert np.allclose(answer.json()["predictions"], first["predictions"], atol=1e-6)
    packed = gzip.compress(json.dumps(alone).encode())
    answer = http.post("/v1/models/digits:predict", content=packed, headers={"Content-Encoding": "gzip"})
    assert answer.json() == first


def test_files_get_the_answers_of_our_own_faces(client: httpx.Client, http: httpx.Client) -> None:
    """The same numbers as /classify, /localize and /segment, for each of several files of several sizes."""
    own = http.post("/classify?top_k=10", content=DIGIT).json()["results"][0]["top"]
    found = http.post("/v1/models/digits:predict", json={"instances": [b64(DIGIT)]}).json()["predictions"][0]
    assert {each["label"]: each["score"] for each in own} == {
        str(n): round(s, 6) for n, s in enumerate(found)
    }
    results = http.post("/v1/models/digits:classify", json={"examples": [{"image": b64(DIGIT)}]}).json()
    assert [[label, round(score, 6)] for label, score in results["results"][0]] == [
        [each["label"], each["score"]] for each in own
    ]

    files = [PNG, JPEG]
    posted = [("file", data) for data in files]
    instances = {"instances": [{"image_bytes": b64(data), "key": "1"} for data in files]}
    boxes = client.post("/v1/models/tiny-localization:predict", json=instances).json()["predictions"]
    for own, found in zip(client.post("/localize", files=posted).json()["results"], boxes, strict=True):
        assert list(found) == ["scores", "box"]
        assert own["score"] == pytest.approx(max(found["scores"]), abs=2e-6)
        x_min, y_min, x_max, y_max = found["box"]
        sides = (own["width"], own["height"]) * 2
        expected = [own["box"][side] for side in ("x_min", "y_min", "x_max", "y_max")]
        scaled = np.multiply((x_min, y_min, x_max, y_max), sides)
        assert np.allclose(np.clip(scaled, 0, sides), expected, atol=0.51)

    columns = {"inputs": {"image": [b64(data) for data in files]}}
    masks = client.post("/v1/models/tiny-segmentation:predict", json=columns).json()["outputs"]
    assert np.array(masks).shape[:3] == (2, 32, 32)
    packed = {"Accept-Encoding": "gzip"}
    again = client.post("/v1/models/tiny-segmentation:predict", json=columns, headers=packed)
    assert again.headers["content-encoding"] == "gzip"
    assert np.allclose(again.json()["outputs"], masks, atol=1e-6)
    assert 0 <= np.min(masks) < np.max(masks) <= 1


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"instances": [[[[-1]] * 28] * 28]}, "instances[0][0][0][0] is -1: pixels are whole numbers 0..255"),
        ({"instances": [[[[256]] * 28] * 28]}, "is 256: pixels are whole"),
        (
            {"instances": [[[[1.5]] * 28] * 28]},
            "is 1.5: pixels are whole numbers 0..255. Fractions look scaled",
        ),
        ({"instances": [[[[True]] * 28] * 28]}, "is true: pixels"),
        ({"instances": [[[[None]] * 28] * 28]}, "is null: pixels"),
        ({"instances": [[[["1"]] * 28] * 28]}, "instances[0][0][0][0] is a text: pixels"),
        ({"instances": [[[[1]] * 28] * 27]}, "instances[0] is too short: 28 are due"),
        ({"instances": [[[[1]] * 28] * 29]}, "instances[0] is too long: 28 are due"),
        ({"instances": [[[[1]] * 28] * 27 + [[[1]] * 27]]}, "instances[0][27] is too short: 28 are due"),
        ({"instances": [[[1]] * 28] * 28}, "N images, one too, are [N][28][28][1]"),
        ({"instances": []}, "instances is empty"),
        ({"instances": [[[[1]] * 28] * 28], "inputs": 1}, "both of instances and inputs"),
        ({}, "neither of instances and inputs"),
        ({"instances": [b64(b"no image at all")]}, "no image"),
        ({"instances": [b64(DIGIT), b64(DIGIT[: len(DIGIT) // 2])]}, "Image 2 of 2: "),
        ({"instances": [[[[1]] * 28] * 28] * 33}, "instances has 33 images of 784 numbers: at most 32"),
    ],
)
def test_what_is_wrong_is_400_with_a_text(http: httpx.Client, document: Any, told: str) -> None:
    """No bad value is answered, wrapped or guessed; the text says which and what would be right."""
    assert told in refused(http.post("/v1/models/digits:predict", json=document))


def test_the_uint8_range_is_answered_exactly(http: httpx.Client) -> None:
    """All 0, all 255 and a ramp get the rows of the same pixels in a file."""
    ramp = (np.arange(784) % 256).astype(np.uint8).reshape(28, 28, 1)
    images = [np.zeros_like(ramp), np.full_like(ramp, 255), ramp]
    files = [encode(Image.fromarray(image[..., 0]), "PNG") for image in images]
    by_pixels = http.post("/v1/models/digits:predict", json={"instances": [i.tolist() for i in images]})
    by_files = http.post("/v1/models/digits:predict", json={"instances": [b64(data) for data in files]})
    assert np.allclose(by_pixels.json()["predictions"], by_files.json()["predictions"], atol=1e-6)
    own = http.post("/classify?top_k=10", files=[("file", data) for data in files]).json()["results"]
    for answer, row in zip(own, by_pixels.json()["predictions"], strict=True):
        scores = {each["label"]: each["score"] for each in answer["top"]}
        assert [scores[str(digit)] for digit in range(10)] == pytest.approx(row, abs=2e-6)


def test_status_tells_both_kinds_of_clients(http: httpx.Client) -> None:
    """Versions by TensorFlow Serving's states, the newest first; KServe's `ready`; one by its place."""
    body = http.get("/v1/models/digits").json()
    assert (body["name"], body["ready"]) == ("digits", True)
    states = [(each["version"], each["state"]) for each in body["model_version_status"]]
    assert states == [("3", "END"), ("2", "AVAILABLE"), ("1", "AVAILABLE")]
    failed = body["model_version_status"][0]["status"]
    assert failed["error_code"] == "FAILED_PRECONDITION"
    assert failed["error_message"]
    for place, version in (("/versions/2", "2"), ("/labels/canary", "2"), ("/labels/stable", "1")):
        one = http.get(f"/v1/models/digits{place}").json()
        assert [each["version"] for each in one["model_version_status"]] == [version]
        metadata = http.get(f"/v1/models/digits{place}/metadata").json()
        assert metadata["model_spec"]["version"] == version
    assert http.get("/v1/models/digits/versions/3").json()["ready"] is False
    assert http.get("/v1/models").json() == {"models": ["digits"]}
    assert http.get("/").json()["status"] == "alive"


@pytest.mark.parametrize(
    ("method", "path", "status", "told"),
    [
        ("GET", "/v1/models/nope", 404, "There are: digits"),
        ("POST", "/v1/models/nope:predict", 404, "There are: digits"),
        ("GET", "/v1/models/digits/versions/9", 404, "no such version"),
        ("GET", "/v1/models/digits/versions/x", 404, "whole number"),
        ("POST", "/v1/models/digits/versions/9:predict", 404, "digits has live: 1, 2"),
        ("POST", "/v1/models/digits/labels/nope:predict", 404, "There are: broken, canary, stable"),
        ("GET", "/v1/models/digits/labels/nope/metadata", 404, "no such label"),
        ("GET", "/v1/models/digits:predict", 405, "does not take that method"),
        ("POST", "/v1/models/digits", 405, "does not take that method"),
        ("GET", "/v1/anything", 404, "nothing at this address"),
        ("POST", "/v1/models/digits:regress", 400, "does regression"),
        ("POST", "/v1/models/digits:explain", 501, "explains"),
    ],
)
def test_what_there_is_not_is_told(
    http: httpx.Client, method: str, path: str, status: int, told: str
) -> None:
    """Unknown models, versions, labels, methods and verbs: the status that these clients know, and a text."""
    assert told in refused(http.request(method, path, content=b"{}" if method == "POST" else b""), status)


def test_only_classifiers_classify(client: httpx.Client, http: httpx.Client) -> None:
    """Another task is refused by name; CloudEvents are no documents."""
    body = {"examples": [{"image": b64(PNG)}]}
    answer = client.post("/v1/models/tiny-segmentation:classify", json=body)
    assert "does segmentation" in refused(answer)
    event = http.post("/v1/models/digits:predict", json=body, headers={"ce-specversion": "1.0"})
    assert "CloudEvents" in refused(event)


def test_keys_are_needed_here_too(digits: Path, tmp_path: Path) -> None:
    """With keys: alive for everybody, all else with a key; why a version was refused is for operators."""
    made = {role: keys.new((role,)) for role in ("predict", "operate")}
    file = tmp_path / "keys.toml"
    file.write_text("".join(entry for _, entry in made.values()))
    with (
        serving(digits, engine="openvino", default_classify="digits", keys_file=str(file)) as server,
        httpx.Client(base_url=server.url, timeout=30) as http,
    ):
        assert http.get("/").json()["status"] == "alive"
        body = {"instances": [b64(DIGIT)]}
        assert refused(http.post("/v1/models/digits:predict", json=body), 401)
        assert refused(http.get("/v1/models/digits"), 401)
        headers = {"Authorization": f"Bearer {made['predict'][0]}"}
        assert http.post("/v1/models/digits:predict", json=body, headers=headers).status_code == 200
        status = http.get("/v1/models/digits", headers=headers).json()["model_version_status"][0]
        assert (status["state"], status["status"]["error_message"]) == ("END", "")


def test_a_dialect_that_is_off_is_not_there(digits: Path) -> None:
    """STRIATE_DIALECTS narrows what is spoken."""
    with serving(digits, engine="openvino", default_classify="digits", dialects="v2") as server:
        assert httpx.get(server.url + "/v1/models").status_code == 404
        assert httpx.get(server.url + "/v2").status_code == 200


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
def test_curl_as_in_the_documents(server: Server, tmp_path: Path) -> None:
    """`curl -d @file`, `--data-binary` of gzip, and a file in base64: unmodified lines get their answers."""
    (tmp_path / "x.json").write_text(json.dumps({"instances": PIXELS[:1].tolist()}, indent=1))
    (tmp_path / "x.gz").write_bytes(gzip.compress((tmp_path / "x.json").read_bytes()))
    (tmp_path / "digit.png").write_bytes(DIGIT)
    url = server.url + "/v1/models/digits:predict"
    lines = [
        f"curl -s -d @x.json {url}",
        f"curl -s -X POST --data-binary @x.gz -H 'Content-Encoding: gzip' {url}",
    ]
    rows = [json.loads(subprocess.check_output(line, shell=True, cwd=tmp_path)) for line in lines]
    assert rows[0] == rows[1]
    assert np.array(rows[0]["predictions"]).shape == (1, 10)
    line = f"""printf '{{"instances": [{{"b64": "%s"}}]}}' $(base64 -w0 digit.png) | curl -s -d @- {url}"""
    by_file = json.loads(subprocess.check_output(line, shell=True, cwd=tmp_path))
    assert np.array(by_file["predictions"]).shape == (1, 10)
