"""A live version measured: what is told of it, to whom, and that nothing is taken for what it is not."""

import asyncio
import shutil
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from service.engines import Operation
from service.errors import Overloaded
from service.inference.predictor import Predictor
from service.manifest import Layer
from service.versions import measuring
from service.versions.repository import Live
from tests.service import making
from tests.worlds import Server, serving


def layer(name: str, kind: str, *shape: int) -> Layer:
    told: dict[str, Any] = dict.fromkeys(("parameters", "trainable_parameters", "multiply_adds"), 0)
    told |= dict.fromkeys(("parameters_explained", "output_explained", "note"), "")
    return Layer(name=name, type=kind, output_shape=shape, inputs=(), receptive_field=None, **told)


def test_operations_are_those_of_layers_of_their_kind_and_size() -> None:
    """Each is counted once, in the layers' order; what is of no layer is the rest."""
    layers = (
        layer("one", "Conv2D", 8, 8, 4),
        layer("norm", "BatchNormalization", 8, 8, 4),
        layer("two", "Conv2D", 8, 8, 4),
        layer("scores", "Dense", 10),
    )
    operations = [
        Operation("Convolution", (1, 4, 8, 8), 0.5),
        Operation("Reorder", (1, 4, 8, 8), 0.25),
        Operation("Convolution", (1, 4, 8, 8), 1.0),
        Operation("FullyConnected", (1, 11), 4.0),
    ]
    shares, rest = measuring.matched(layers, operations)
    assert [(each.name, each.seconds, each.output_bytes) for each in shares] == [
        ("one", 0.5, 1024),
        ("two", 1.0, 1024),
    ]
    assert rest == 4.25


def test_a_live_version_is_measured(guarded: Server) -> None:
    """Every layer with weights has its time; batches, decoding and the ways that were tried are told."""
    told = httpx.get(f"{guarded.url}/summary?model=digits&measure=true", timeout=60).json()
    measured = told["measured"]
    weighted = [each["name"] for each in told["layers"] if each["type"] in {"Conv2D", "Dense"}]
    times = {each["name"]: each["milliseconds"] for each in measured["layers"]}
    assert weighted == ["conv1", "conv2", "dense", "scores"]
    assert set(weighted) <= set(times)
    assert sum(times.values()) > 0
    assert [each["images"] for each in measured["batches"]] == [1, 2, 4, 8, 16, 32]
    assert measured["batches"][0]["milliseconds"] == measured["milliseconds"] > 0
    assert measured["decode_milliseconds"] > 0
    assert 0 < measured["decode_share"] < 1
    assert len(told["tried"]) >= 2
    assert measured["tried"] == told["tried"]
    refused = httpx.get(f"{guarded.url}/summary?measure=true")
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_parameter")


def test_only_who_operates_may_measure(guarded: Server) -> None:
    """Without keys that is this machine itself, and nobody through a proxy; all else is told as before."""
    outside = {"X-Forwarded-For": "203.0.113.1"}
    assert httpx.get(f"{guarded.url}/summary?model=digits", headers=outside).status_code == 200
    page = {"Sec-Fetch-Site": "cross-site"}  # an image of any page, in a browser on this machine
    for headers in (outside, page):
        refused = httpx.get(f"{guarded.url}/summary?model=digits&measure=true", headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    rebound = httpx.get(f"{guarded.url}/summary?model=digits&measure=true", headers={"Host": "a.example"})
    assert (rebound.status_code, rebound.json()["code"]) == (403, "local_only")


async def test_one_version_is_measured_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks for the same one waits with the first; another one has to wait for its turn outside."""
    begun, end, calls = threading.Event(), threading.Event(), []

    def measure(live: Live) -> dict[str, Any]:
        calls.append(live)
        begun.set()
        assert end.wait(60)
        return {"milliseconds": len(calls)}

    monkeypatch.setattr(measuring, "measure", measure)
    one, other = (Live(cast("Predictor", predictor), []) for predictor in (nullcontext(), nullcontext()))
    taken = measuring.Measuring()
    asked = [asyncio.create_task(taken.measure(one)) for _ in range(2)]
    await asyncio.to_thread(begun.wait, 60)
    with pytest.raises(Overloaded, match="Another version is being measured"):
        await taken.measure(other)
    end.set()
    assert [await each for each in asked] == [{"milliseconds": 1}] * 2
    assert len(calls) == 1


def test_a_folder_that_has_changed_is_not_measured(tmp_path: Path) -> None:
    """What was loaded goes on answering; what lies there now is not run, nor missed."""
    folder = making.first("digits", tmp_path)
    options = {"engine": "openvino", "default_classify": "digits", "models_poll_seconds": "3600"}
    with serving(tmp_path, **options) as server:
        for change in (making.flip("saved_model.pb"), shutil.rmtree):
            change(folder)
            answer = httpx.get(f"{server.url}/summary?model=digits&measure=true", timeout=60)
            assert (answer.status_code, answer.json()["code"]) == (404, "version_not_found")
