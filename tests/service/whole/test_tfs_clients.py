"""Clients of KServe, TensorFlow Serving and MLServer, and NVIDIA's examples, unmodified, at a real port."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests import clients
from tests.worlds import Server, serving
from training import golden

DIGIT = golden.samples("digits", seed=3)[0].data
EXAMPLES = clients.FOLDER / "light" / "examples"
PIXELS = np.random.default_rng(5).integers(0, 256, (2, 28, 28, 1), np.uint8)


@pytest.fixture(scope="module")
def server(digits_dir: Path) -> Iterator[Server]:
    with serving(digits_dir, engine="openvino", default_classify="digits") as running:
        yield running


@pytest.fixture(scope="module")
def world(server: Server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The server, a file and pixels, and the rows that they should get."""
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "digit.png").write_bytes(DIGIT)
    (folder / "pixels.json").write_text(json.dumps(PIXELS.tolist()))
    own = httpx.post(server.url + "/classify?top_k=10", content=DIGIT).json()["results"][0]["top"]
    body = {"instances": PIXELS.tolist()}
    rows = httpx.post(server.url + "/v1/models/digits:predict", json=body).json()["predictions"]
    return {
        "url": server.url,
        "file": str(folder / "digit.png"),
        "pixels": str(folder / "pixels.json"),
        "by_file": [score for _, score in sorted((each["label"], each["score"]) for each in own)],
        "rows": rows,
        "folder": folder,
    }


KSERVE = """
import asyncio, base64, json, sys
from kserve import InferenceRESTClient, RESTConfig

url, file, pixels = sys.argv[1:]
encoded = base64.b64encode(open(file, "rb").read()).decode()
forms = {
    "named": {"image": {"b64": encoded}},
    "b64": {"b64": encoded},
    "bytes": {"image_bytes": {"b64": encoded}, "key": "1"},
    "data": {"data": encoded, "target": 0},
}

async def main():
    client = InferenceRESTClient(RESTConfig(protocol="v1"))
    told = {"alive": await client.is_server_live(url), "ready": await client.is_model_ready(url, "digits")}
    told["pixels"] = await client.infer(url, data={"instances": json.load(open(pixels))}, model_name="digits")
    for name, row in forms.items():
        told[name] = await client.infer(url, data={"instances": [row]}, model_name="digits")
    for name, call in {
        "unknown": lambda: client.is_model_ready(url, "nope"),
        "empty": lambda: client.infer(url, data={"instances": []}, model_name="digits"),
        "explain": lambda: client.explain(url, data={"instances": [forms["b64"]]}, model_name="digits"),
    }.items():
        try:
            await call()
        except Exception as error:
            told[name] = f"{type(error).__name__}: {error}"
    print(json.dumps(told))

asyncio.run(main())
"""


@clients.needed("kserve")
def test_kserves_client_speaks_v1(world: dict[str, Any]) -> None:
    """Alive, ready, pixels, and files in each form of KServe's examples; its errors carry our text."""
    told = clients.told("kserve", KSERVE, world["url"], world["file"], world["pixels"])
    assert told["alive"] is True
    assert told["ready"] is True
    assert np.allclose(told["pixels"]["predictions"], world["rows"], atol=1e-6)
    for form in ("named", "b64", "bytes", "data"):
        assert told[form]["predictions"][0] == pytest.approx(world["by_file"], abs=2e-6)
    assert told["unknown"].startswith(
        "HTTPStatusError: There is no live model of that name. There are: digits"
    )
    assert told["empty"].startswith("HTTPStatusError: instances is empty")
    assert told["explain"].startswith("HTTPStatusError: No model here explains")


OVMS = """
import json, sys
import numpy as np
from ovmsclient import make_http_client

url, file, pixels = sys.argv[1:]
client = make_http_client(url=url.removeprefix("http://"))
data, array = open(file, "rb").read(), np.array(json.load(open(pixels)), np.uint8)
told = {
    "pixels": client.predict(inputs={"image": array}, model_name="digits").tolist(),
    "file": client.predict(inputs={"image": data}, model_name="digits").tolist(),
    "files": client.predict(inputs={"image": [data, data]}, model_name="digits", model_version=1).tolist(),
    "status": client.get_model_status("digits"),
    "metadata": client.get_model_metadata("digits", model_version=1),
}
for name, call in {
    "unknown": lambda: client.get_model_status("nope"),
    "no such model": lambda: client.predict(inputs={"image": data}, model_name="nope"),
    "no batch": lambda: client.predict(inputs={"image": array[0]}, model_name="digits"),
    "scaled": lambda: client.predict(inputs={"image": array / 255}, model_name="digits"),
    "name": lambda: client.predict(inputs={"picture": array}, model_name="digits"),
}.items():
    try:
        call()
    except Exception as error:
        told[name] = f"{type(error).__name__}: {error}"
print(json.dumps(told))
"""


@clients.needed("light")
def test_ovmsclient_speaks_tensorflow_servings_rest(world: dict[str, Any]) -> None:
    """Arrays and files, one and several; status and metadata; its own errors, with our text."""
    told = clients.told("light", OVMS, world["url"], world["file"], world["pixels"])
    assert np.allclose(told["pixels"], world["rows"], atol=1e-6)
    assert told["file"][0] == pytest.approx(world["by_file"], abs=2e-6)
    assert np.allclose(told["files"], told["file"] * 2, atol=1e-6)
    assert told["status"] == {"1": {"state": "AVAILABLE", "error_code": 0, "error_message": ""}}
    signature = told["metadata"]["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert (list(signature["inputs"]), list(signature["outputs"])) == (["image"], ["scores"])
    for name, error, text in (
        ("unknown", "ModelNotFoundError", "There are: digits"),
        ("no such model", "ModelNotFoundError", "There are: digits"),
        ("no batch", "InvalidInputError", "N images, one too, are [N][28][28][1]"),
        ("scaled", "InvalidInputError", "Fractions look scaled to 0..1"),
        ("name", "InvalidInputError", 'its input is "image"'),
    ):
        assert told[name].startswith(error), told[name]
        assert text in told[name]


@clients.needed("mlserver")
def test_mlserver_infers_a_file_of_requests(world: dict[str, Any]) -> None:
    """`mlserver infer` writes one answer for each request."""
    requests, answers = world["folder"] / "in.jsonl", world["folder"] / "out.jsonl"
    lines = []
    for image in [*PIXELS, *PIXELS]:
        tensor = {
            "name": "image",
            "shape": [1, 28, 28, 1],
            "datatype": "UINT8",
            "data": image.ravel().tolist(),
        }
        lines.append(json.dumps({"inputs": [tensor]}))
    requests.write_text("\n".join(lines) + "\n")
    address = world["url"].removeprefix("http://")
    words = ["infer", "-u", address, "-m", "digits", "-i", str(requests), "-o", str(answers)]
    done = clients.run("mlserver", "mlserver", *words, "--transport", "rest")
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in answers.read_text().splitlines()]
    assert len(found) == 4
    for answer in found:
        (output,) = answer["outputs"]
        place = answer["parameters"]["batch_index"] % 2
        assert output["data"] == pytest.approx(world["rows"][place], abs=1e-6)


@clients.needed("light")
@pytest.mark.skipif(not (EXAMPLES / "image_client.py").exists(), reason="NVIDIA's examples are not here")
@pytest.mark.parametrize(
    "line",
    [
        "image_client.py -c 2",
        "image_client.py -c 2 -b 2",
        "image_client.py -c 2 -a",
        "ensemble_image_client.py -c 2",
    ],
)
def test_nvidias_image_clients_pass(world: dict[str, Any], line: str) -> None:
    """They find the model's frame and labels by themselves, and print the two best with their scores."""
    program, *options = line.split()
    address = world["url"].removeprefix("http://")
    words = [str(EXAMPLES / program), "-u", address, "-m", "digits", *options, world["file"]]
    done = clients.run("light", "python", *words)
    assert done.returncode == 0, done.stderr
    best = max(range(10), key=world["by_file"].__getitem__)
    assert f"({best}) = {best}" in done.stdout
    assert done.stdout.strip().endswith("PASS")
