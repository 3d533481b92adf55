"""Clients of Triton and of KServe's V2, unmodified, at a real port, as their users call them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from service.access import keys
from tests import clients
from tests.worlds import Server, serving
from training import golden

FILES = [sample.data for sample in golden.samples("digits", seed=3)][:4]
PIXELS = np.random.default_rng(5).integers(0, 256, (32, 28, 28, 1), np.uint8)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A key for everything, and the file that it is in."""
    made, entry = keys.new(("predict", "operate", "metrics"))
    file = tmp_path_factory.mktemp("keys") / "keys.toml"
    file.write_text(entry)
    return made, file


@pytest.fixture(scope="module")
def server(digits_dir: Path, key: tuple[str, Path]) -> Iterator[Server]:
    with serving(digits_dir, engine="openvino", default_classify="digits", keys_file=str(key[1])) as running:
        yield running


@pytest.fixture(scope="module")
def world(server: Server, key: tuple[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The server, a key, files and pixels, and the rows that they should get."""
    folder = tmp_path_factory.mktemp("inputs")
    headers = {"X-API-Key": key[0]}
    by_file = []
    for number, data in enumerate(FILES):
        (folder / f"{number}.image").write_bytes(data)
        own = httpx.post(server.url + "/classify?top_k=10", content=data, headers=headers).json()
        top = own["results"][0]["top"]
        by_file.append([score for _, score in sorted((each["label"], each["score"]) for each in top)])
    (folder / "pixels.json").write_text(json.dumps(PIXELS.tolist()))
    image = {"name": "image", "datatype": "UINT8", "shape": list(PIXELS.shape), "data": PIXELS.tolist()}
    answer = httpx.post(server.url + "/v2/models/digits/infer", json={"inputs": [image]}, headers=headers)
    rows = np.array(answer.json()["outputs"][0]["data"]).reshape(32, 10)
    return {"url": server.url, "key": key[0], "folder": str(folder), "by_file": by_file, "rows": rows}


def told(world: dict[str, Any], environment: str, script: str) -> dict[str, Any]:
    """Run a client's script with the server, the key and the folder of inputs."""
    found: dict[str, Any] = clients.told(
        environment, _INPUTS + script, world["url"], world["key"], world["folder"]
    )
    return found


_INPUTS = """
import asyncio, json, sys
from pathlib import Path
import numpy as np

url, key, folder = sys.argv[1:]
# A copy for each call: these clients put headers of their own into the one that they are given.
headers = {"X-API-Key": key}
pixels = np.array(json.loads((Path(folder) / "pixels.json").read_text()), np.uint8)
files = [path.read_bytes() for path in sorted(Path(folder).glob("*.image"))]
told = {}
"""

TRITON = """
import tritonclient.http as http
from tritonclient.utils import InferenceServerException

client = http.InferenceServerClient(url.removeprefix("http://"), concurrency=4)

def tensor(rows, binary=True, name="image", kind="UINT8"):
    found = http.InferInput(name, list(rows.shape), kind)
    found.set_data_from_numpy(rows, binary_data=binary)
    return found

def images(shape):
    return tensor(np.array(files, np.object_).reshape(shape), kind="BYTES")

def infer(*inputs, model="digits", **options):
    return client.infer(model, list(inputs), headers=dict(headers), **options)

def scores(*inputs, **options):
    return infer(*inputs, **options).as_numpy("scores").tolist()

def refused(call, *words, **options):
    try:
        call(*words, **{"headers": dict(headers)} | options)
    except InferenceServerException as error:
        return [error.status(), error.message()]

told["ready"] = [
    client.is_server_live(),
    client.is_server_ready(),
    client.is_model_ready("digits", headers=dict(headers)),
    client.is_model_ready("digits", "1", headers=dict(headers)),
    client.is_model_ready("digits", "9", headers=dict(headers)),
    client.is_model_ready("nope", headers=dict(headers)),
]
told["server"] = client.get_server_metadata(headers=dict(headers))
told["metadata"] = client.get_model_metadata("digits", "1", headers=dict(headers))
told["config"] = client.get_model_config("digits", headers=dict(headers))
told["index"] = client.get_model_repository_index(headers=dict(headers))
told["rows"] = {str(count): scores(tensor(pixels[:count])) for count in (1, 2, 32)}
told["forms"] = [
    scores(tensor(pixels, sent), outputs=[http.InferRequestedOutput("scores", binary_data=got)])
    for sent in (True, False) for got in (True, False)
]
told["coded"] = [
    scores(tensor(pixels), request_compression_algorithm=sent, response_compression_algorithm=got)
    for sent in (None, "gzip", "deflate") for got in (None, "gzip", "deflate")
]
told["id"] = infer(tensor(pixels[:1]), request_id="a", model_version="1").get_response()["id"]
told["classes"] = [
    [text.decode() if isinstance(text, bytes) else text for text in np.ravel(infer(
        tensor(pixels[:2]), outputs=[http.InferRequestedOutput("scores", class_count=3, binary_data=binary)]
    ).as_numpy("scores"))]
    for binary in (True, False)
]
told["all classes"] = infer(
    tensor(pixels[:2]), outputs=[http.InferRequestedOutput("scores", class_count=30)]
).as_numpy("scores").shape
told["files"] = [scores(images(shape)) for shape in ([len(files)], [len(files), 1])]
running = [
    client.async_infer("digits", [tensor(pixels[at : at + 1])], headers=dict(headers)) for at in range(20)
]
told["async"] = [each.get_result().as_numpy("scores")[0].tolist() for each in running]
told["passed over"] = scores(
    tensor(pixels), parameters={"a": 1}, priority=1, timeout=10**6, sequence_id=5, query_params={"a": "b"}
)
shared = http.InferInput("image", [1, 28, 28, 1], "UINT8")
shared.set_shared_memory("region", 784)
into = http.InferRequestedOutput("scores")
into.set_shared_memory("region", 40)
wrong = {
    "name": [tensor(pixels, name="picture")],
    "kind": [tensor(pixels.astype(np.float32), kind="FP32")],
    "batch": [tensor(pixels[0])],
    "channels": [tensor(np.repeat(pixels, 3, axis=3))],
    "none": [tensor(pixels[:0])],
    "many": [tensor(np.repeat(pixels, 2, axis=0))],
    "two": [tensor(pixels), tensor(pixels)],
    "shared": [shared],
}
told["refused"] = {name: refused(client.infer, "digits", inputs) for name, inputs in wrong.items()}
told["refused"] |= {
    "output": refused(client.infer, "digits", [tensor(pixels)], outputs=[http.InferRequestedOutput("nope")]),
    "into": refused(client.infer, "digits", [tensor(pixels)], outputs=[into]),
    "model": refused(client.infer, "nope", [tensor(pixels)]),
    "key": refused(client.get_server_metadata, headers={}),
    "large": refused(client.infer, "digits", [tensor(np.zeros((40_000, 28, 28, 1), np.uint8))]),
    "unload": refused(client.unload_model, "digits"),
    "register": refused(client.register_system_shared_memory, "a", "/a", 9),
    "unregister": refused(client.unregister_cuda_shared_memory),
    "trace": refused(client.get_trace_settings),
    "log": refused(client.update_log_settings, {"log_verbose_level": 1}),
}
client.load_model("digits", headers=dict(headers))
told["shared"] = client.get_system_shared_memory_status(headers=dict(headers))
told["statistics"] = client.get_inference_statistics("digits", "1", headers=dict(headers))["model_stats"]

import tritonclient.http.aio as aio

async def main():
    async with aio.InferenceServerClient(url.removeprefix("http://")) as other:
        told["aio ready"] = [
            await other.is_server_ready(), await other.is_model_ready("nope", headers=dict(headers))
        ]
        told["aio metadata"] = await other.get_model_metadata("digits", headers=dict(headers))
        told["aio"] = [
            answer.as_numpy("scores")[0].tolist() for answer in await asyncio.gather(*(
                other.infer("digits", [tensor(pixels[at : at + 1], bool(at % 2))], headers=dict(headers))
                for at in range(20)
            ))
        ]
        answer = await other.infer(
            "digits", [tensor(pixels)], headers=dict(headers),
            request_compression_algorithm="gzip", response_compression_algorithm="deflate",
        )
        told["aio coded"] = answer.as_numpy("scores").tolist()
        await other.load_model("digits", headers=dict(headers))
        for name, call in (
            ("aio batch", other.infer("digits", [tensor(pixels[0])], headers=dict(headers))),
            ("aio key", other.get_model_metadata("digits")),
        ):
            try:
                await call
            except InferenceServerException as error:
                told["refused"][name] = [error.status(), error.message()]

asyncio.run(main())
print(json.dumps(told))
"""


@clients.needed("light")
def test_tritons_clients_speak_v2(world: dict[str, Any]) -> None:
    """NVIDIA's tritonclient, the usual and the asynchronous one: each call gets what its user expects, and
    each error is its own exception with our text.
    """
    found = told(world, "light", TRITON)
    assert found["ready"] == [True] * 4 + [False] * 2
    assert "binary_tensor_data" in found["server"]["extensions"]
    assert found["metadata"]["inputs"][0]["shape"] == [-1, 28, 28, 1]
    assert found["aio metadata"]["name"] == "digits"
    assert found["config"]["max_batch_size"] == 32
    assert found["index"] == [{"name": "digits", "version": "1", "state": "READY", "reason": ""}]
    for count, rows in found["rows"].items():
        np.testing.assert_allclose(rows, world["rows"][: int(count)], atol=1e-3)
    for rows in (*found["forms"], *found["coded"], found["passed over"], found["aio coded"]):
        np.testing.assert_allclose(rows, world["rows"], atol=1e-3)
    for rows in (found["async"], found["aio"]):
        np.testing.assert_allclose(rows, world["rows"][:20], atol=1e-3)
    for rows in found["files"]:
        np.testing.assert_allclose(rows, world["by_file"], atol=1e-3)
    assert found["id"] == "a"
    best = world["rows"][0].argmax()
    for texts in found["classes"]:
        assert len(texts) == 6
        assert texts[0].split(":")[1:] == [str(best), str(best)]
    assert found["all classes"] == [2, 10]
    assert found["aio ready"] == [True, False]
    assert found["shared"] == []
    (counted,) = found["statistics"]
    assert counted["inference_stats"]["success"]["count"] > 30
    for name, (status, text) in REFUSED.items():
        assert found["refused"][name][0] == status, name
        assert text in found["refused"][name][1], name


REFUSED = {
    "name": ("400", "called 'image', not 'picture'"),
    "kind": ("400", "UINT8 (pixels 0..255) or BYTES"),
    "batch": ("400", "batch is missing: send shape [1, 28, 28, 1]"),
    "channels": ("400", "not [32, 28, 28, 3]"),
    "none": ("400", "1 to 32 images"),
    "many": ("400", "1 to 32 images"),
    "two": ("400", "exactly one input"),
    "shared": ("400", "no shared memory"),
    "output": ("400", "There are: scores"),
    "into": ("400", "no shared memory"),
    "model": ("404", "There are: digits"),
    "key": ("401", "needs a key"),
    "large": ("413", "At most 20,971,520 bytes"),
    "unload": ("501", "The folder of models decides"),
    "register": ("501", "no shared memory"),
    "unregister": ("501", "no shared memory"),
    "trace": ("501", "not traced"),
    "log": ("501", "STRIATE_LOG_LEVEL"),
    "aio batch": ("400", "batch is missing"),
    "aio key": ("401", "needs a key"),
}


KSERVE = """
import base64
import httpx
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

def tensor(rows, binary, kind="UINT8"):
    found = InferInput("image", list(rows.shape), kind)
    found.set_data_from_numpy(rows, binary_data=binary)
    return found

async def main():
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    told["ready"] = [
        await client.is_server_live(url),
        await client.is_server_ready(url),
        await client.is_model_ready(url, "digits", headers=dict(headers)),
        await client.is_model_ready(url, "nope", headers=dict(headers)),
    ]

    async def scores(request, model="digits"):
        answer = await client.infer(url, request, model_name=model, headers=dict(headers))
        return answer.outputs[0].as_numpy().tolist()

    wished = [RequestedOutput("scores", {"binary_data": True})]
    told["rows"] = [
        await scores(
            InferRequest("digits", [tensor(pixels, binary)], parameters=parameters, request_outputs=outputs)
        )
        for binary in (True, False)
        for parameters, outputs in ((None, None), ({"binary_data_output": True}, None), (None, wished))
    ]
    image = {"name": "image", "datatype": "UINT8", "shape": list(pixels.shape), "data": pixels.tolist()}
    told["rows"].append(await scores({"inputs": [image]}))
    objects = np.array(files, dtype=object)
    texts = [base64.b64encode(data).decode() for data in files]
    image = {"name": "image", "datatype": "BYTES", "shape": [len(texts)], "data": texts}
    told["files"] = [
        await scores(InferRequest("digits", [tensor(objects, True, "BYTES")])),
        await scores({"inputs": [image]}),
    ]
    for name, model, sent in (("unknown", "nope", headers), ("key", "digits", {})):
        try:
            await client.infer(url, {"inputs": [image]}, model_name=model, headers=dict(sent))
        except httpx.HTTPStatusError as error:
            told[name] = str(error)

asyncio.run(main())
print(json.dumps(told))
"""


@clients.needed("kserve")
def test_kserves_client_speaks_v2(world: dict[str, Any]) -> None:
    """Health, pixels and files in both forms, and its own exception with our text."""
    found = told(world, "kserve", KSERVE)
    assert found["ready"] == [True, True, True, False]
    for rows in found["rows"]:
        np.testing.assert_allclose(rows, world["rows"], atol=1e-3)
    for rows in found["files"]:
        np.testing.assert_allclose(rows, world["by_file"], atol=1e-3)
    assert found["unknown"].startswith("There is no live model of that name. There are: digits")
    assert found["key"].startswith("This needs a key")


@clients.needed("perf")
def test_perf_analyzer_measures(world: dict[str, Any]) -> None:
    """NVIDIA's load generator: its table has a part of the client and one of the server; an error is told."""
    common = [
        "perf_analyzer",
        "-u",
        world["url"].removeprefix("http://"),
        "-i",
        "http",
        "--service-kind",
        "triton",
    ]
    common += ["-H", f"X-API-Key: {world['key']}", "-p", "200", "-r", "20", "-s", "900"]
    for more in (
        [],
        ["-b", "4", "--async"],
        ["--input-tensor-format", "json", "--output-tensor-format", "json"],
    ):
        done = clients.run("perf", *common, "-m", "digits", *more)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Throughput: " in done.stdout
        assert "Avg request latency: " in done.stdout
    failed = clients.run("perf", *common, "-m", "nope")
    assert failed.returncode
    assert "There is no live model of that name" in failed.stdout + failed.stderr
