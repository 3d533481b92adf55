"""`/v2/...` over real HTTP: what is answered is what Striate's own addresses answer, errors included."""

import base64
import gzip
import io
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from service.access import keys
from service.app import create_app
from service.configuration.settings import Settings
from service.decoding.pool import Hands
from service.engines import Engine
from service.inference.predictor import Predictor
from service.telemetry.metrics import Metrics
from service.versions.repository import Live, Slot
from tests.images import encode
from tests.service.answers import JPEG, PNG
from tests.service.manifests import make_manifest
from tests.service.wire import GET, POST, ask, metric
from tests.worlds import Server, serving

CLASSES, BOXES, MASKS = "tiny-classification", "tiny-localization", "tiny-segmentation"
PHOTOS = [PNG, JPEG, encode(Image.open(io.BytesIO(PNG)).convert("RGB"), "WEBP")]
LENGTH = "Inference-Header-Content-Length"


def pixels(count: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), np.uint8)


def tensor(rows: NDArray[np.uint8], **members: Any) -> dict[str, Any]:
    """A request for pixels as JSON."""
    image = {"name": "image", "datatype": "UINT8", "shape": list(rows.shape), "data": rows.tolist()}
    return {"inputs": [image], **members}


def framed(rows: NDArray[np.uint8], **members: Any) -> tuple[bytes, dict[str, str]]:
    """A request for pixels in binary form: body and headers."""
    image = {"name": "image", "datatype": "UINT8", "shape": list(rows.shape)}
    head = json.dumps({"inputs": [image | {"parameters": {"binary_data_size": rows.nbytes}}], **members})
    return head.encode() + rows.tobytes(), {LENGTH: str(len(head))}


def files(images: list[bytes], **members: Any) -> dict[str, Any]:
    """A request for encoded images as JSON."""
    data = [base64.b64encode(image).decode() for image in images]
    return {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [len(data)], "data": data}], **members}


def outputs(answer: httpx.Response) -> dict[str, NDArray[np.float32]]:
    """Return an answer's outputs by name, whatever form each of them has."""
    assert answer.status_code == 200, answer.text
    body = answer.content
    size = int(answer.headers.get(LENGTH, len(body)))
    told, tail = json.loads(body[:size]), body[size:]
    kind = "application/json" if size == len(body) else "application/octet-stream"
    assert answer.headers["content-type"] == kind
    found = {}
    for output in told["outputs"]:
        values = output.get("data")
        if values is None:
            count = output["parameters"]["binary_data_size"]
            values, tail = np.frombuffer(tail[:count], "<f4"), tail[count:]
        found[output["name"]] = np.array(values, np.float32).reshape(output["shape"])
    assert not tail
    return found


def infer(client: httpx.Client, model: str, body: Any, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body)
    return client.post(f"/v2/models/{model}/infer", content=content, headers=headers)


def refused(answer: httpx.Response, status: int) -> str:
    """Check that clients of other servers can read this error, and return its text."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert "content-encoding" not in answer.headers
    body = answer.json()
    assert body["error"] == body["detail"]
    assert body["status"] == status
    text: str = body["error"]
    return text


def scores(result: dict[str, Any]) -> dict[str, float]:
    return {each["label"]: each["score"] for each in result["top"]}


def test_images_get_the_answers_of_classify(client: httpx.Client) -> None:
    """PNG, JPEG and WebP of several sizes, alone and in one request: what /classify says, to the digit."""
    together = outputs(infer(client, CLASSES, files(PHOTOS)))
    assert list(together) == ["scores"]
    for photo, row in zip(PHOTOS, together["scores"], strict=True):
        (alone,) = outputs(infer(client, CLASSES, files([photo])))["scores"]
        own = client.post("/classify?threshold=0", files={"file": photo}).json()["results"][0]
        assert scores(own) == {"cat": round(float(alone[0]), 6), "dog": round(float(alone[1]), 6)}
        # An engine of low precision rounds otherwise where several are computed together.
        np.testing.assert_allclose(row, alone, atol=0.02)


def test_images_get_the_answers_of_localize(client: httpx.Client) -> None:
    """Scores and a box in fractions of the posted image."""
    for photo in PHOTOS:
        found = outputs(infer(client, BOXES, files([photo])))
        own = client.post("/localize?threshold=0", files={"file": photo}).json()["results"][0]
        assert list(own["box_normalized"].values()) == [round(float(x), 6) for x in found["box"][0]]
        assert own["score"] == round(float(found["scores"].max()), 6)


def test_images_get_the_answers_of_segment(client: httpx.Client) -> None:
    """The mask of the model's own size, whose largest classes are the pixels that /segment counts."""
    square = encode(Image.open(io.BytesIO(PNG)).convert("RGB").resize((32, 32)), "PNG")
    mask = outputs(infer(client, MASKS, files([square])))["mask"]
    own = client.post("/segment?mask=none", files={"file": square}).json()["results"][0]
    counts = np.bincount(mask[0].argmax(axis=-1).ravel(), minlength=3).tolist()
    assert [each["pixels"] for each in own["classes"]] == counts


@pytest.mark.parametrize("model", [CLASSES, BOXES, MASKS])
def test_pixels_get_the_answers_of_their_image(client: httpx.Client, model: str) -> None:
    """An image of the model's size is its own tensor: the same numbers as JSON and in binary form."""
    rows = pixels(1)
    pngs = [encode(Image.fromarray(row), "PNG") for row in rows]
    expected = outputs(infer(client, model, files(pngs)))
    body, headers = framed(rows, parameters={"binary_data_output": True})
    for answer in (infer(client, model, tensor(rows)), infer(client, model, body, **headers)):
        found = outputs(answer)
        assert {name: each.shape for name, each in found.items()} == {
            name: each.shape for name, each in expected.items()
        }
        for name, values in expected.items():
            np.testing.assert_allclose(found[name], values, atol=1e-5)


@pytest.mark.parametrize(
    "kind", [None, "application/x-www-form-urlencoded", "application/octet-stream", "x/y"]
)
def test_no_type_of_body_matters(client: httpx.Client, kind: str | None) -> None:
    """Clients send no Content-Type, or any: the body says what it is. Nor do Accept and the query matter."""
    headers = {"Accept": "text/html"} | ({"Content-Type": kind} if kind else {})
    answer = client.post(
        f"/v2/models/{CLASSES}/infer?a=b", content=json.dumps(tensor(pixels(1))), headers=headers
    )
    assert outputs(answer)["scores"].shape == (1, 2)


@pytest.mark.parametrize(("coding", "coded"), [("gzip", gzip.compress), ("Deflate", zlib.compress)])
def test_bodies_are_coded_both_ways(client: httpx.Client, coding: str, coded: Any) -> None:
    """A request's coding is undone; an answer is coded where that alone is asked for."""
    rows = pixels(2)
    expected = outputs(infer(client, MASKS, tensor(rows)))["mask"]
    wish = {"Accept-Encoding": coding.lower()}
    body = coded(json.dumps(tensor(rows)).encode())
    answer = infer(client, MASKS, body, **{"Content-Encoding": coding} | wish)
    assert answer.headers["content-encoding"] == coding.lower()
    np.testing.assert_allclose(outputs(answer)["mask"], expected, atol=1e-5)
    assert "content-encoding" not in infer(client, CLASSES, tensor(rows), **wish).headers
    usual = infer(client, MASKS, tensor(rows), **{"Accept-Encoding": "gzip, deflate, br"})
    assert "content-encoding" not in usual.headers


def test_a_bomb_and_other_codings_are_refused(client: httpx.Client) -> None:
    """200 MB of zeros in 200 kB are given up at the limit; other codings are told which are taken."""
    bomb = gzip.compress(bytes(200_000_000), 1)
    assert "more than" in refused(infer(client, CLASSES, bomb, **{"Content-Encoding": "gzip"}), 413)
    answer = infer(client, CLASSES, b"x", **{"Content-Encoding": "br"})
    assert "gzip and deflate" in refused(answer, 400)
    assert answer.headers["accept-encoding"] == "gzip, deflate"
    assert "neither gzip" in refused(infer(client, CLASSES, b"{}", **{"Content-Encoding": "gzip"}), 400)


def test_a_file_is_all_that_curl_has_to_send(client: httpx.Client) -> None:
    """With a header length of 0 the body is an image or a tensor; outputs are binary, or JSON on wish."""
    expected = outputs(infer(client, CLASSES, files([JPEG])))["scores"]
    raw = infer(client, CLASSES, JPEG, **{LENGTH: "0"})
    assert raw.headers["content-type"] == "application/octet-stream"
    plain = infer(client, CLASSES, JPEG, **{LENGTH: "0", "Accept": "application/json"})
    assert plain.headers["content-type"] == "application/json"
    for answer in (raw, plain):
        np.testing.assert_allclose(outputs(answer)["scores"], expected, atol=1e-5)
    assert outputs(infer(client, CLASSES, pixels(1).tobytes(), **{LENGTH: "0"}))["scores"].shape == (1, 2)


def test_one_bad_image_fails_the_request_and_is_named(client: httpx.Client) -> None:
    """There are no answers in part: the text says which image it is; each is counted once."""

    def counted() -> float:
        text = client.get("/metrics").text.splitlines()
        lines = [line for line in text if line.startswith(f'striate_images_total{{model="{CLASSES}"')]
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    before = counted()
    text = refused(infer(client, CLASSES, files([PNG, JPEG, b"no image", PNG])), 400)
    assert text.startswith("Image 3 of 4: ")
    assert counted() == before + 4
    assert "Image" not in refused(infer(client, CLASSES, files([b"no image"])), 400)[:6]
    large = encode(Image.new("L", (5000, 5000)), "PNG")
    assert refused(infer(client, CLASSES, files([PNG, large])), 413).startswith("Image 2 of 2: ")


def test_what_there_is_not_is_an_error_that_clients_read(client: httpx.Client) -> None:
    """Models, versions, addresses and methods; all of them application/json with a text."""
    body = tensor(pixels(1))
    assert "There are: tiny-" in refused(infer(client, "nope", body), 404)
    for version in ("9", "x", "1.0", "-1", "9" * 99):
        refused(infer(client, f"{CLASSES}/versions/{version}", body), 404)
    for version in ("0", "1"):
        assert outputs(infer(client, f"{CLASSES}/versions/{version}", body))
    refused(client.get("/v2/nope"), 404)
    refused(client.get("/v1/nope"), 404)
    wrong = client.get(f"/v2/models/{CLASSES}/infer")
    refused(wrong, 405)
    assert wrong.headers["allow"] == "POST"
    late = infer(client, MASKS, files([JPEG]), **{"X-Request-Timeout-Ms": "0"})
    assert "milliseconds" in refused(late, 400)


def test_a_clients_timeout_lowers_the_deadline(client: httpx.Client) -> None:
    """In microseconds: what takes longer is given up; one of a minute changes nothing."""
    assert infer(client, CLASSES, tensor(pixels(1), parameters={"timeout": 60_000_000})).status_code == 200
    slow = infer(client, MASKS, tensor(pixels(32), parameters={"timeout": 1}))
    assert "within 1 ms" in refused(slow, 504)


def test_the_server_tells_what_it_keeps(client: httpx.Client) -> None:
    """Health in JSON, with and without a slash; models by name; HEAD as GET."""
    assert client.get("/v2").json() == client.get("/v2/").json()
    assert client.get("/v2").json()["name"] == "striate"
    assert "statistics" in client.get("/v2").json()["extensions"]
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    assert client.head("/v2/health/ready").status_code == 200
    assert client.get("/v2/models").json() == {"models": [CLASSES, BOXES, MASKS]}
    assert client.get(f"/v2/models/{CLASSES}/ready").json() == {"name": CLASSES, "ready": True}
    refused(client.get("/v2/models/nope/ready"), 404)
    told = client.get(f"/v2/models/{BOXES}").json()
    assert [output["name"] for output in told["outputs"]] == ["scores", "box"]
    assert client.get(f"/v2/models/{BOXES}/versions/1").json()["versions"] == ["1"]
    assert client.get(f"/v2/models/{BOXES}/config").json()["max_batch_size"] == 32


def test_statistics_only_grow(client: httpx.Client) -> None:
    """Requests, images and calls of a version, by its number; perf_analyzer takes differences."""

    def look() -> dict[str, Any]:
        (told,) = client.get(f"/v2/models/{CLASSES}/stats").json()["model_stats"]
        assert told in client.get("/v2/models/stats").json()["model_stats"]
        return dict(told)

    before = look()
    outputs(infer(client, CLASSES, tensor(pixels(3))))
    refused(infer(client, CLASSES, b"{}"), 400)
    after = look()
    assert after["version"] == "1"
    assert after["inference_count"] == before["inference_count"] + 3
    assert before["execution_count"] < after["execution_count"] <= before["execution_count"] + 3
    one, two = before["inference_stats"], after["inference_stats"]
    assert two["success"]["count"] == one["success"]["count"] + 1
    assert two["fail"]["count"] == one["fail"]["count"] + 1
    assert all(two[name]["ns"] >= one[name]["ns"] >= 0 for name in one)
    assert two["compute_infer"]["ns"] > one["compute_infer"]["ns"]
    calls = sum(each["compute_infer"]["count"] for each in after["batch_stats"])
    assert calls == after["execution_count"]


def test_the_repository_is_listed_and_looked_at(client: httpx.Client) -> None:
    """The index has every version; load says whether a model is live, and takes no files."""

    def index(body: str) -> Any:
        return client.post("/v2/repository/index", content=body).json()

    every = [
        {"name": name, "version": "1", "state": "READY", "reason": ""} for name in (CLASSES, BOXES, MASKS)
    ]
    assert index("") == index("{}") == index('{"ready": true}') == every
    refused(client.post("/v2/repository/index", content='{"ready": 1}'), 400)
    load = f"/v2/repository/models/{CLASSES}/load"
    assert client.post(load).content == client.post(load, content='{"parameters": {}}').content == b""
    refused(client.post(load, content='{"parameters": {"config": "{}"}}'), 400)
    refused(client.post(load, content='{"parameters": {"file:1/model.pb": "AA=="}}'), 400)
    refused(client.post("/v2/repository/models/nope/load"), 404)


@pytest.mark.parametrize(
    "path",
    [
        f"repository/models/{CLASSES}/unload",
        f"models/{CLASSES}/generate",
        "systemsharedmemory/region/a/register",
        "cudasharedmemory/unregister",
        "trace/setting",
        "logging",
    ],
)
def test_what_is_not_offered_says_so_in_a_sentence(client: httpx.Client, path: str) -> None:
    """501 with what there is instead; what could be registered is nothing."""
    assert refused(client.post(f"/v2/{path}", content="{}"), 501).endswith(".")
    assert client.get("/v2/systemsharedmemory/status").json() == []
    assert client.get("/v2/cudasharedmemory/region/a/status").json() == []


def test_requests_are_counted_by_dialect_and_template(openvino_server: Server, client: httpx.Client) -> None:
    """Never by the path, which is the client's to choose."""
    labels = {"dialect": "v2", "route": "/v2/models/{name}/infer", "model": CLASSES, "status": "200"}
    before = metric(openvino_server, "striate_requests_total", **labels)
    outputs(infer(client, CLASSES, tensor(pixels(1))))
    assert metric(openvino_server, "striate_requests_total", **labels) == before + 1


# What is refused before any address is known, or before it is let in


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"X-A: " + b"a" * 20_000 + b"\r\n", 431),
        (b"A: a\r\n" * 200, 431),
        (b"Transfer-Encoding: gzip\r\n", 501),
        (b"Content-Length: 1\r\nContent-Length: 2\r\n", 400),
        (b"Content-Length: 9\r\n", 408),
        (b"Content-Length: 99999999\r\n", 413),
    ],
)
def test_errors_of_the_protocol_are_read_too(guarded: Server, head: bytes, status: int) -> None:
    """Below /v2 and /v1 an error is application/json with a text; elsewhere it is a problem document."""
    for path, kind in (
        (b"/v2/models/digits/infer", "json"),
        (b"http://a:8000/v2/models/digits/infer?a=/", "json"),
        (b"/v2%2Fmodels/digits/infer", "json"),
        (b"/classify", "problem+json"),
    ):
        start = POST.split(b"Content-Type")[0].replace(b"/classify", path)
        answer = ask(guarded, start + head + b"\r\n")
        assert answer.status_code == status
        assert answer.headers["content-type"] == f"application/{kind}"
        assert answer.json()["error"] == answer.json()["detail"]
    long = ask(guarded, GET.replace(b"/livez", b"/v1/" + b"a" * 9000))
    assert (long.status_code, long.headers["content-type"]) == (414, "application/json")


@pytest.fixture(scope="module")
def locked(digits_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str, str]]:
    """A server that needs keys, and one to predict and one to operate."""
    made = {role: keys.new((role,)) for role in ("predict", "operate")}
    file = tmp_path_factory.mktemp("keys") / "keys.toml"
    file.write_text("".join(entry for _, entry in made.values()))
    options = {"keys_file": str(file), "auth_failures_per_minute": "3", "root_path": "/striate"}
    with serving(digits_dir, engine="openvino", **options) as server:
        yield server, made["predict"][0], made["operate"][0]


def test_errors_of_the_protocol_are_read_below_a_prefix_too(locked: tuple[Server, str, str]) -> None:
    """Whether a proxy that shows the service below a path takes that off or not."""
    for path, kind in ((b"/striate/v2/models/a/infer", "json"), (b"/striate/classify", "problem+json")):
        start = POST.split(b"Content-Type")[0].replace(b"/classify", path)
        answer = ask(locked[0], start + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n")
        assert (answer.status_code, answer.headers["content-type"]) == (400, f"application/{kind}")


def test_keys_are_needed_as_everywhere(locked: tuple[Server, str, str]) -> None:
    """Health is for everybody, models for keys that predict, loading for those that operate; a wrong key is
    told so in words, and at last 429.
    """
    server, predict, operate = locked
    with httpx.Client(base_url=server.url) as client:
        for path in ("/v2/health/live", "/v2/health/ready"):
            assert client.get(path).status_code == 200
        for path in ("/v2", "/v2/models/digits", "/v2/models/digits/ready", "/v2/models/digits/stats"):
            assert "needs a key" in refused(client.get(path), 401)
            assert client.get(path, headers={"X-API-Key": predict}).status_code == 200
        load = "/v2/repository/models/digits/load"
        refused(client.post(load, headers={"X-API-Key": predict}), 403)
        assert client.post(load, headers={"X-API-Key": operate}).status_code == 200
        answers = [client.get("/v2", headers={"X-API-Key": "wrong.key"}) for _ in range(5)]
        assert "not let in" in refused(answers[0], 401)
        refused(answers[-1], 429)
        assert answers[-1].headers["retry-after"]


def of_app(**settings: object) -> httpx.AsyncClient:
    """A client of an app whose models are not loaded."""
    transport = httpx.ASGITransport(create_app(Settings.model_validate(settings)))
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")


async def test_a_dialect_that_is_not_spoken_is_not_there() -> None:
    """STRIATE_DIALECTS narrows what is offered; our own addresses stay."""
    for spoken, there in (("none", 404), ("tfs", 404), ("V2", 200), ("tfs, v2", 200)):
        async with of_app(dialects=spoken) as client:
            assert (await client.get("/v2/health/live")).status_code == there
            assert (await client.get("/livez")).status_code == 200
    with pytest.raises(ValidationError, match="no dialect grpc; there are v2, tfs"):
        Settings(dialects="v2,grpc")


async def test_while_models_are_loaded_nothing_is_ready() -> None:
    """Live, not ready, and 503 with the reason and when to ask again."""
    async with of_app() as client:
        assert (await client.get("/v2/health/live")).json() == {"live": True}
        ready = await client.get("/v2/health/ready")
        assert ready.status_code == 503
        assert ready.json() == {"ready": False, "error": "The models are still being loaded."}
        for path in ("", "/ready", "/config", "/stats"):
            late = await client.get(f"/v2/models/digits{path}")
            assert "still being loaded" in refused(late, 503)
            assert late.headers["retry-after"]


async def test_a_version_that_does_not_answer_yet_is_known() -> None:
    """503 with what becomes of it, while it is loaded, waits or was refused; 404 where there is none."""
    app = create_app(Settings())
    settings = Settings()
    engine = Engine("openvino", "float32", lambda images, solo: {}, 1, 32, "one at a time")
    with Hands(settings) as hands:
        predictor = Predictor(make_manifest(), engine, settings, hands, Metrics())
        slot = Slot(Live(predictor, []), {4: "damaged"}, on_disk=(2, 3, 4, 5, 6), loading=3, waiting={5: ""})
        app.state.context.repository.slots["shapes"] = slot
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            for version, state in ((3, "loading"), (4, "refused"), (5, "waiting"), (6, "available")):
                late = await client.get(f"/v2/models/shapes/versions/{version}/ready")
                assert late.status_code == 503
                error = f"This version is not ready: {state}."
                assert late.json() == {"name": "shapes", "ready": False, "error": error}
            for rest in ("", "/versions/2"):
                ready = await client.get(f"/v2/models/shapes{rest}/ready")
                assert ready.json() == {"name": "shapes", "ready": True}
            refused(await client.get("/v2/models/shapes/versions/9/ready"), 404)
