"""The faces of the service over real HTTP: forms of request, representations, errors, health."""

import base64
import io
import json
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from openapi_spec_validator import validate
from PIL import Image
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families
from pycocotools import mask as coco

from service.app import create_app
from service.configuration.settings import Settings
from tests.service.answers import JPEG, PET, PNG, problem
from tests.worlds import serving


def test_same_answer_for_every_form_of_request(client: httpx.Client) -> None:
    """Multipart, raw body and JSON of the same bytes get the same answer."""
    answers = [
        client.post("/classify", files={"file": PNG}),
        client.post("/classify", content=PNG, headers={"Content-Type": "image/png"}),
        client.post("/classify", json={"image": base64.b64encode(PNG).decode()}),
        client.post("/classify", json={"images": [base64.b64encode(PNG).decode()]}),
    ]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "PPM"])
def test_other_formats_get_the_same_answer(client: httpx.Client, kind: str) -> None:
    """A PNG's pixels in another format get the PNG's answer, whatever the Content-Type says."""
    buffer = io.BytesIO()
    Image.open(io.BytesIO(PNG)).convert("RGB").save(buffer, kind)
    as_png = client.post("/classify", content=PNG, headers={"Content-Type": "image/png"}).json()
    answer = client.post("/classify", content=buffer.getvalue(), headers={"Content-Type": "image/jpeg"})
    assert answer.status_code == 200
    assert answer.json() == as_png


def test_results_come_in_the_order_of_the_images(client: httpx.Client) -> None:
    """Several parts named file get one result each, in order."""
    files = [("file", sample.data) for sample in PET.values()]
    together = client.post("/localize", files=files).json()["results"]
    alone = [client.post("/localize", files={"file": data}).json()["results"][0] for _, data in files]
    assert [(r["width"], r["height"]) for r in together] == [(r["width"], r["height"]) for r in alone]
    for both in zip(together, alone, strict=True):
        assert both[0]["score"] == pytest.approx(both[1]["score"], abs=0.01)


def test_one_bad_image_does_not_spoil_the_others(client: httpx.Client) -> None:
    """A broken image among good ones gets an error entry of its own; the others are answered."""
    response = client.post("/classify", files=[("file", PNG), ("file", b"no image"), ("file", JPEG)])
    assert response.status_code == 200
    first, second, third = response.json()["results"]
    assert "label" in first
    assert "label" in third
    assert second["error"]["code"] == "not_an_image"
    assert second["error"]["status"] == 415


def test_one_bad_base64_does_not_spoil_the_others(client: httpx.Client) -> None:
    """Text that is no base64 gets an error entry that says where, and is counted; alone it is 400."""
    good = base64.b64encode(PNG).decode()
    counted = _images(client, "malformed_body")
    response = client.post("/classify", json={"images": [good, "A-EC", good]})
    assert response.status_code == 200
    first, second, third = response.json()["results"]
    assert first == third == client.post("/classify", files={"file": PNG}).json()["results"][0]
    assert (second["error"]["code"], second["error"]["status"]) == ("malformed_body", 400)
    assert "alphabet for URLs (at sign 2)" in second["error"]["detail"]
    assert _images(client, "malformed_body") == counted + 1
    problem(client.post("/classify", json={"images": ["A-EC", "A"]}), 400, "malformed_body")


def _images(client: httpx.Client, outcome: str) -> float:
    text = client.get("/metrics").text
    found = re.search(rf'striate_images_total{{model="tiny-classification",outcome="{outcome}"}} (\S+)', text)
    return float(found[1]) if found else 0


@pytest.mark.parametrize("content_type", [None, "application/x-www-form-urlencoded", "text/plain"])
def test_the_content_decides_what_a_body_is(client: httpx.Client, content_type: str | None) -> None:
    """As `curl --data-binary @photo.jpg` posts it: an image, a document or a form, whatever the type says."""
    headers = {"Content-Type": content_type} if content_type else {}
    form = b'--B\r\nContent-Disposition: form-data; name="file"\r\n\r\n' + PNG + b"\r\n--B--\r\n"
    document = b'\xef\xbb\xbf{"image": "DATA:image/png;base64,' + base64.b64encode(PNG) + b'"}'
    expected = client.post("/classify", files={"file": PNG}).content
    for body in (PNG, form, document):
        assert client.post("/classify", content=body, headers=headers).content == expected


def test_forms_of_mime_writers_are_read(client: httpx.Client) -> None:
    """A preamble, white space behind the boundary, a folded header and an epilogue (RFC 2046, 5.1.1)."""
    body = (
        b"This is a multi-part message.\r\n--the frontier \r\nContent-Disposition: form-data;\r\n"
        b' name="file"; filename="a.jpg"\r\n\r\n' + JPEG + b"\r\n--the frontier-- \r\nThe end.\r\n"
    )
    headers = {"Content-Type": 'multipart/form-data; boundary="the frontier"'}
    found = client.post("/classify", content=body, headers=headers)
    assert found.status_code == 200
    assert found.content == client.post("/classify", files={"file": JPEG}).content


def test_names_that_are_wrong_are_told(client: httpx.Client) -> None:
    """A part's and an option's, with what would be right."""
    body = problem(client.post("/classify", files={"image": PNG}), 400, "malformed_body")
    assert "A part of the form is named 'image'" in body["detail"]
    body = problem(client.post("/classify?topk=3", files={"file": PNG}), 422, "invalid_parameter")
    assert body["detail"].startswith("'topk' is no parameter here. Did you mean top_k?")


def test_only_bad_images_is_an_error(client: httpx.Client) -> None:
    """Where no image can be answered, the status says so."""
    problem(client.post("/classify", files=[("file", b"x"), ("file", b"y")]), 415, "not_an_image")


def test_top_k_and_threshold(client: httpx.Client) -> None:
    """top_k bounds the list; a threshold nothing reaches leaves no label, and the score is still told."""
    one = client.post("/classify?top_k=1", files={"file": PNG}).json()["results"][0]
    assert len(one["top"]) == 1
    none = client.post("/classify?threshold=1", files={"file": PNG}).json()["results"][0]
    assert none["label"] is None
    assert none["top"] == []
    assert none["score"] == one["score"]


@pytest.mark.parametrize("encoding", ["png", "rle", "polygons"])
def test_mask_encodings_tell_the_same(client: httpx.Client, encoding: str) -> None:
    """Each encoding of the mask covers as many pixels of each class as the answer counts."""
    result = client.post(f"/segment?mask={encoding}", files={"file": PNG}).json()["results"][0]
    counted = {entry["label"]: entry["pixels"] for entry in result["classes"]}
    assert sum(counted.values()) == result["width"] * result["height"]
    assert result["mask"]["encoding"] == encoding
    if encoding == "png":
        picture = Image.open(io.BytesIO(base64.b64decode(result["mask"]["data"])))
        assert picture.size == (result["width"], result["height"])
        assert np.bincount(np.asarray(picture).ravel(), minlength=3).tolist() == list(counted.values())
    elif encoding == "rle":
        for entry in result["mask"]["classes"]:
            area = coco.area({"size": entry["size"], "counts": entry["counts"].encode()})
            assert int(area) == counted[entry["label"]]
    else:
        for entry in result["mask"]["classes"]:
            assert bool(entry["outlines"]) == (counted[entry["label"]] > 0)


def test_mask_none_and_instances(client: httpx.Client) -> None:
    """mask=none leaves the mask out; instances=true lists regions whose areas sum up to the classes'."""
    result = client.post("/segment?mask=none&instances=true", files={"file": PNG}).json()["results"][0]
    assert result["mask"] is None
    for entry in result["classes"][1:]:
        areas = [each["area"] for each in result["instances"] if each["label"] == entry["label"]]
        assert sum(areas) == entry["pixels"]


def test_instances_come_with_their_masks(client: httpx.Client) -> None:
    """Each object's mask, in the asked encoding, has as many pixels as the object's area, within its box."""
    for encoding in ("png", "rle"):
        answer = client.post(f"/segment?instances=true&mask={encoding}", files={"file": JPEG})
        result = answer.json()["results"][0]
        assert result["instance_count"] == len(result["instances"]) > 0
        for each in result["instances"]:
            assert each["mask"]["encoding"] == encoding
            assert 0 <= each["score"] <= 1
            box = each["box"]
            if encoding == "png":
                picture = Image.open(io.BytesIO(base64.b64decode(each["mask"]["data"])))
                assert picture.size == (box["x_max"] - box["x_min"], box["y_max"] - box["y_min"])
                assert np.asarray(picture).sum() == each["area"]
            else:
                runs = {"size": each["mask"]["size"], "counts": each["mask"]["counts"].encode()}
                assert coco.area(runs) == each["area"]
                width, height = box["x_max"] - box["x_min"], box["y_max"] - box["y_min"]
                assert coco.toBbox(runs).tolist() == [box["x_min"], box["y_min"], width, height]


def test_overlay_outlines_each_instance(client: httpx.Client) -> None:
    """With instances=true the overlay has white outlines, within the objects alone."""
    accept = {"Accept": "image/png"}

    def picture(query: str) -> NDArray[np.uint8]:
        response = client.post(f"/segment{query}", files={"file": JPEG}, headers=accept)
        return np.asarray(Image.open(io.BytesIO(response.content)))

    mask, plain = picture(""), picture("?overlay=true")
    changed = (picture("?overlay=true&instances=true") != plain).any(axis=-1)
    assert changed.any()
    assert not changed[mask == 0].any()
    assert (picture("?overlay=true&instances=true")[changed] == 255).all()


def test_pictures(client: httpx.Client) -> None:
    """Accept: image/png gives the mask, or with overlay the photo with the answer, at its full size."""
    size = Image.open(io.BytesIO(JPEG)).size
    accept = {"Accept": "image/png"}
    for path, mode in (
        ("/segment", "P"),
        ("/segment?overlay=true", "RGB"),
        ("/localize?overlay=true", "RGB"),
    ):
        response = client.post(path, files={"file": JPEG}, headers=accept)
        assert response.headers["content-type"] == "image/png"
        picture = Image.open(io.BytesIO(response.content))
        assert (picture.size, picture.mode) == (size, mode)


def test_picture_of_several_images_is_refused(client: httpx.Client) -> None:
    """A picture can answer one image only."""
    response = client.post("/segment", files=[("file", PNG)] * 2, headers={"Accept": "image/png"})
    problem(response, 406, "not_acceptable")


@pytest.mark.parametrize(
    ("path", "content", "media_type", "status", "code"),
    [
        ("/classify", b"", "image/png", 400, "empty_body"),
        ("/classify", b"%PDF-1.7", "image/gif", 415, "not_an_image"),
        ("/classify", b"GIF89a", "image/gif", 422, "broken_image"),
        ("/classify", PNG[:200], "image/png", 422, "broken_image"),
        ("/classify", b"a photo", "text/plain", 415, "unsupported_media_type"),
        ("/classify", b"{", "application/json", 400, "malformed_body"),
        ("/classify", b'{"image": "@@"}', "application/json", 400, "malformed_body"),
        ("/classify", b"--x", "multipart/form-data; boundary=x", 400, "malformed_body"),
        ("/classify", b"0" * 2_000_000, "image/png", 413, "payload_too_large"),
        ("/classify?model=nosuch", PNG, "image/png", 404, "model_not_found"),
        ("/classify?version=99", PNG, "image/png", 404, "version_not_found"),
        ("/classify?model=tiny-segmentation", PNG, "image/png", 400, "wrong_task"),
        ("/classify?top_k=0", PNG, "image/png", 422, "invalid_parameter"),
        ("/classify?threshold=nan", PNG, "image/png", 422, "invalid_parameter"),
        ("/classify?nosuch=1", PNG, "image/png", 422, "invalid_parameter"),
        ("/classify?top_k=1&top_k=2", PNG, "image/png", 422, "invalid_parameter"),
        ("/segment?mask=jpeg", PNG, "image/png", 422, "invalid_parameter"),
        ("/nosuch", PNG, "image/png", 404, "not_found"),
        ("/livez", PNG, "image/png", 405, "method_not_allowed"),
    ],
)
def test_errors_are_problem_documents(
    models_dir: Path,
    small_client: httpx.Client,
    path: str,
    content: bytes,
    media_type: str,
    status: int,
    code: str,
) -> None:
    """Every error is application/problem+json with a stable code and says nothing of the machine."""
    response = small_client.post(path, content=content, headers={"Content-Type": media_type})
    body = problem(response, status, code)
    assert str(models_dir) not in response.text
    assert "Traceback" not in response.text
    if code == "model_not_found":
        assert "tiny-classification" in body["detail"]


@pytest.fixture(scope="module")
def small_client(models_dir: Path) -> Any:
    """A client of a server with small limits."""
    from tests.conftest import DEFAULTS

    limits = {"max_body_bytes": "1000000", "max_pixels": "100000", "max_images": "2"}
    with (
        serving(models_dir, engine="openvino", **limits, **DEFAULTS) as server,
        httpx.Client(base_url=server.url, timeout=30) as client,
    ):
        yield client


def test_pixels_are_limited_by_the_header(small_client: httpx.Client) -> None:
    """An image of more pixels than allowed for its kind is refused with both numbers: of a progressive JPEG,
    whose coefficients are all held, four times as many as of a PNG.
    """
    body = problem(small_client.post("/classify", files={"file": JPEG}), 413, "image_too_large")
    assert "1280 x 960" in body["detail"]
    assert "400,000" in body["detail"]


def test_images_are_limited(small_client: httpx.Client) -> None:
    """More images than allowed in one request are refused as a whole."""
    problem(small_client.post("/classify", files=[("file", PNG)] * 3), 413, "too_many_images")


def test_summary_lists_and_explains(client: httpx.Client) -> None:
    """/summary lists the live models; of one, each layer's numbers with how they come about, and totals."""
    names = [model["name"] for model in client.get("/summary").json()["models"]]
    assert names == ["tiny-classification", "tiny-localization", "tiny-segmentation"]
    one = client.get("/summary?model=tiny-classification").json()
    assert sum(layer["parameters"] for layer in one["layers"]) == one["totals"]["parameters"]
    first = next(layer for layer in one["layers"] if layer["name"] == "conv1")
    assert first["parameters_explained"] == "(3*3*3 + 1) * 32 = 896"
    assert first["output_explained"] == "(32 - 3 + 2*0)/1 + 1 = 30"
    assert first["receptive_field"] == 3
    assert first["multiply_adds"] == 30 * 30 * 3 * 3 * 3 * 32


def test_summary_as_text_and_page(client: httpx.Client) -> None:
    """The same numbers come as a table for terminals and as a page for browsers."""
    for kind in ("text/plain", "text/html"):
        response = client.get("/summary?model=tiny-classification", headers={"Accept": kind})
        assert response.headers["content-type"].startswith(kind)
        assert "(3*3*3 + 1) * 32 = 896" in response.text
        assert "tiny-classification" in client.get("/summary", headers={"Accept": kind}).text


def test_health(client: httpx.Client) -> None:
    """The service is alive, and ready with each model's live version."""
    assert client.get("/livez").status_code == 200
    ready = client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["models"]["tiny-segmentation"] == {"live": 1, "refused": {}}


async def test_administration_takes_every_address_of_this_machine(tmp_path: Path) -> None:
    """IPv4 mapped into IPv6, as a listener for both sees it; who is elsewhere is refused."""
    app = create_app(Settings(models_dir=tmp_path))

    async def ask(client: str, host: str, **headers: str) -> int:
        transport = httpx.ASGITransport(app=app, client=(client, 5))
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as http:
            return (await http.get("/admin/models", headers=headers)).status_code

    for client in ("127.0.0.1", "127.0.0.2", "::1", "::ffff:127.0.0.1", "0:0:0:0:0:ffff:7f00:1"):
        for host in ("localhost:8000", "127.0.0.1", "127.0.0.2:80", "[::1]:8000", "[::ffff:127.0.0.1]"):
            assert await ask(client, host) == 200, (client, host)
    for client in ("192.0.2.1", "::ffff:192.0.2.1", "fd00::1"):
        assert await ask(client, "localhost") == 403
    assert await ask("::ffff:127.0.0.1", "rebound.example") == 403
    assert await ask("127.0.0.1", "localhost", Via="1.1 proxy") == 403
    assert await ask("127.0.0.1", "localhost", **{"X-Forwarded-For": "127.0.0.1"}) == 403


def test_no_models_is_alive_but_not_ready(tmp_path: Path) -> None:
    """Without models the service lives, is not ready, and says why; requests get 503."""
    with serving(tmp_path, engine="openvino") as server:
        assert httpx.get(f"{server.url}/livez").status_code == 200
        ready = httpx.get(f"{server.url}/readyz")
        answer = httpx.post(f"{server.url}/classify", files={"file": PNG})
    assert ready.status_code == 503
    assert "STRIATE_MODELS_DIR" in ready.json()["detail"]
    assert "Retry-After" in answer.headers
    problem(answer, 503, "not_ready")


def test_metrics_count_requests_and_stages(client: httpx.Client) -> None:
    """/metrics has requests by route, model and status, every stage, batch sizes and live versions."""
    client.post("/classify", files={"file": PNG})
    text = client.get("/metrics").text
    for sample in (
        'striate_requests_total{dialect="striate",model="tiny-classification",route="/classify",status="200"}',
        'striate_stage_seconds_count{model="tiny-classification",stage="decode"}',
        'striate_stage_seconds_count{model="tiny-classification",stage="queue"}',
        'striate_stage_seconds_count{model="tiny-classification",stage="engine"}',
        'striate_stage_seconds_count{model="tiny-classification",stage="encode"}',
        'striate_batch_size_count{model="tiny-classification"}',
        'striate_model_version{engine="openvino",model="tiny-classification"',
    ):
        assert sample in text


TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, TEXT),
        ("*/*", TEXT),
        ("text/html, */*;q=0.8", TEXT),
        ("application/json", TEXT),
        ("text/plain;version=1.0.0", TEXT),
        ("application/openmetrics-text", OPENMETRICS),
        ("application/openmetrics-text;q=0", TEXT),
        ("application/openmetrics-text;version=1.0.0;q=0.3, text/plain;version=0.0.4;q=0.5", TEXT),
        # Prometheus 3.
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;"
            "version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;"
            "q=0.2,*/*;q=0.1",
            OPENMETRICS,
        ),
        (
            "application/openmetrics-text;version=0.0.1;q=0.2,text/plain;q=0.5,application/openmetrics-text",
            OPENMETRICS,
        ),
    ],
)
def test_metrics_are_text_unless_openmetrics_is_asked_for(
    client: httpx.Client, accept: str | None, expected: str
) -> None:
    """Format and content type agree, and a parser of that format reads every instrument."""
    client.post("/classify", files={"file": PNG})
    answer = client.get("/metrics", headers={"Accept": accept} if accept else {})
    assert answer.headers["content-type"] == expected
    assert answer.text.endswith("# EOF\n") == (expected == OPENMETRICS)
    read = openmetrics_families if expected == OPENMETRICS else text_string_to_metric_families
    samples = [sample for family in read(answer.text) for sample in family.samples]
    assert sum(sample.value for sample in samples if sample.name == "striate_images_total") >= 1
    assert [sample.value for sample in samples if sample.name == "striate_requests_in_flight"] == [1]


def test_metrics_labels_are_not_the_clients_to_choose(client: httpx.Client) -> None:
    """Unknown paths and models share one series."""
    client.get("/wp-login.php")
    client.post("/classify?model=intruder", files={"file": PNG})
    text = client.get("/metrics").text
    assert "wp-login" not in text
    assert "intruder" not in text


def test_request_id_is_echoed_or_made(client: httpx.Client) -> None:
    """A well-formed X-Request-ID comes back; any other is replaced."""
    assert client.get("/livez", headers={"X-Request-ID": "abc-1"}).headers["x-request-id"] == "abc-1"
    for bad in ("a b", "x" * 65, "a/b"):
        made = client.get("/livez", headers={"X-Request-ID": bad}).headers["x-request-id"]
        assert len(made) == 32


def test_openapi_is_valid_and_complete(client: httpx.Client) -> None:
    """The OpenAPI document is valid and describes the body, the query and the answer of each endpoint."""
    document = client.get("/openapi.json").json()
    validate(document)
    for path in ("/classify", "/localize", "/segment"):
        operation = document["paths"][path]["post"]
        formats = ("jpeg", "png", "webp", "gif", "bmp", "tiff", "x-portable-anymap", "avif", "heic")
        assert set(operation["requestBody"]["content"]) == {
            *(f"image/{name}" for name in formats),
            "multipart/form-data",
            "application/octet-stream",
            "application/json",
        }
        assert {"model", "version", "threshold"} <= {each["name"] for each in operation["parameters"]}
        assert "application/json" in operation["responses"]["200"]["content"]
        assert "application/problem+json" in operation["responses"]["422"]["content"]


def test_settings_have_help(tmp_path: Path) -> None:
    """`python -m service --help` names every setting."""
    import subprocess
    import sys

    shown = subprocess.run(
        [sys.executable, "-m", "service", "--help"],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path.cwd(),
    ).stdout
    for name in Settings.model_fields:
        assert "--" + name.replace("_", "-") in shown


def test_answers_are_json_that_schemas_describe(client: httpx.Client) -> None:
    """An answer holds no number that is not finite and fits its published schema."""
    from service.responses import ClassifyResponse, LocalizeResponse, SegmentResponse

    for path, schema in (
        ("/classify", ClassifyResponse),
        ("/localize", LocalizeResponse),
        ("/segment?instances=true&mask=polygons", SegmentResponse),
    ):
        response = client.post(path, files={"file": PNG})
        json.loads(response.content, parse_constant=pytest.fail)
        schema.model_validate_json(response.content)


def hostile_png(colour: int, *, after: bytes = b"") -> bytes:
    """Build a PNG of 10 x 10 without a palette, with a chunk after its pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 10, 10, 8, colour, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(110)))
    late = chunk(after, b"") if after else b""
    return b"\x89PNG\r\n\x1a\n" + header + pixels + late + chunk(b"IEND", b"")


def test_what_breaks_a_parser_is_a_broken_image(client: httpx.Client) -> None:
    """Images that make the decoder fail in unforeseen ways are the client's fault, one among others too."""
    data = hostile_png(3)
    problem(client.post("/classify", files={"file": data}), 422, "broken_image")
    first, second = client.post("/classify", files=[("file", PNG), ("file", data)]).json()["results"]
    assert "label" in first
    assert second["error"]["code"] == "broken_image"


def test_a_profile_that_is_none_changes_nothing(client: httpx.Client) -> None:
    """An empty colour profile behind the pixels, which makes Pillow fail, is passed over."""
    plain, late = (
        client.post("/classify", files={"file": hostile_png(0, after=kind)}) for kind in (b"", b"iCCP")
    )
    assert late.status_code == 200
    assert late.json() == plain.json()


def test_an_empty_part_is_one_bad_image(client: httpx.Client) -> None:
    """An empty file among good ones gets an error entry; alone it is an error."""
    response = client.post("/classify", files=[("file", b""), ("file", PNG)])
    assert response.json()["results"][0]["error"]["code"] == "empty_body"
    problem(client.post("/classify", files={"file": b""}), 400, "empty_body")


def test_a_reported_score_reaches_itself_as_threshold(client: httpx.Client) -> None:
    """The score of an answer, posted back as threshold, still counts."""
    for sample in PET.values():
        score = client.post("/classify", files={"file": sample.data}).json()["results"][0]["score"]
        again = client.post(f"/classify?threshold={score}", files={"file": sample.data}).json()
        assert again["results"][0]["label"] is not None


def test_a_full_queue_is_503_for_the_whole_request(models_dir: Path) -> None:
    """What does not fit the queue is refused at once with Retry-After; nothing of it counts as answered, and
    nothing of it takes the place of another that would fit: whoever comes alone afterwards is answered.
    """
    from concurrent.futures import ThreadPoolExecutor

    from tests.conftest import DEFAULTS

    limits = {"max_queue": "2", "max_images": "2", "engine": "openvino", "deadline_ms": "60000"}
    with serving(models_dir, **limits, **DEFAULTS) as server:

        def post(_: int) -> httpx.Response:
            return httpx.post(f"{server.url}/segment", files=[("file", JPEG)] * 2, timeout=60)

        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(post, range(48)))
        assert post(0).status_code == 200
        metrics = httpx.get(f"{server.url}/metrics").text
    refused = [answer for answer in answers if answer.status_code != 200]
    answered = [answer for answer in answers if answer.status_code == 200]
    assert refused
    assert answered
    for answer in refused:
        problem(answer, 503, "overloaded")
        assert int(answer.headers["retry-after"]) >= 1
    for answer in answered:
        assert all("error" not in result for result in answer.json()["results"])
    counts = {
        sample.labels["outcome"]: sample.value
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
        if sample.name == "striate_images_total"
    }
    assert counts == {"ok": 2.0 * (len(answered) + 1), "overloaded": 2.0 * len(refused)}


def test_upgrade_is_ignored(client: httpx.Client) -> None:
    """A request that asks for another protocol, as curl --http2 does, is answered in this one."""
    headers = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABk"}
    answer = client.post("/classify", files={"file": PNG}, headers=headers)
    assert answer.status_code == 200
    assert answer.json() == client.post("/classify", files={"file": PNG}).json()


def test_queue_smaller_than_a_request_is_refused_at_start(tmp_path: Path) -> None:
    """Settings under which the largest request could never be answered end the start with both numbers."""
    with pytest.raises(ValueError, match=r"max_queue \(2\) is less than max_images \(4\)"):
        Settings(models_dir=tmp_path, max_queue=2, max_images=4)


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/summary", "/metrics"])
def test_head_is_get_without_the_body(client: httpx.Client, path: str) -> None:
    """Load balancers that ask with HEAD get the status and the headers."""
    response = client.head(path)
    assert response.status_code == 200
    assert response.headers["content-type"] == client.get(path).headers["content-type"]
    assert response.content == b""
