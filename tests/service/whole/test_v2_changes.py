"""A real client while things change: a version is switched, too much is asked for, the server is stopped."""

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from tests import clients
from tests.processes import until
from tests.service import making
from tests.worlds import serving

_BEGIN = """
import json, sys
from pathlib import Path
import numpy as np
import tritonclient.http as http
from tritonclient.utils import InferenceServerException

url, begun = sys.argv[1:]
client = http.InferenceServerClient(url.removeprefix("http://"), concurrency=8)
pixels = np.random.default_rng(5).integers(0, 256, (16, 28, 28, 1), np.uint8)

def tensor(count):
    found = http.InferInput("image", [count, 28, 28, 1], "UINT8")
    found.set_data_from_numpy(pixels[:count])
    return [found]

told = {"versions": [], "rows": [], "refused": [], "ended": ""}
"""
_END = "\nprint(json.dumps(told))\n"

ASKING = """
def ask():
    answer = client.infer("digits", tensor(1))
    told["versions"].append(answer.get_response()["model_version"])
    told["rows"].append(answer.as_numpy("scores")[0].tolist())
    Path(begun).touch()

"""


@clients.needed("light")
def test_a_version_switch_is_seen_in_the_answers_alone(tmp_path: Path) -> None:
    """A client asks on while version 2 takes over: no call fails, and each answer names its version."""
    home = making.first("digits", tmp_path / "models").parent
    script = ASKING + 'while told["versions"].count("2") < 20:\n    ask()\n'
    quick = {"models_poll_seconds": "0.05", "models_settle_seconds": "0.3", "default_classify": "digits"}
    with serving(home.parent, engine="openvino", **quick) as server, ThreadPoolExecutor(1) as pool:
        begun = tmp_path / "begun"
        found = pool.submit(clients.told, "light", _BEGIN + script + _END, server.url, str(begun))
        until(begun.exists)
        making.add(home, 2)
        versions = found.result()["versions"]
    assert versions == sorted(versions)
    assert set(versions) == {"1", "2"}
    np.testing.assert_allclose(found.result()["rows"], found.result()["rows"][:1] * len(versions), atol=1e-3)


@clients.needed("light")
def test_what_is_too_much_is_the_clients_own_exception(digits_dir: Path, tmp_path: Path) -> None:
    """Eight calls at a time of as many images as may wait: answers, or 503 with our text, none lost."""
    script = """
for _ in range(10):
    running = [client.async_infer("digits", tensor(16)) for _ in range(8)]
    for each in running:
        try:
            told["rows"].append(each.get_result().as_numpy("scores").shape)
        except InferenceServerException as error:
            told["refused"].append([error.status(), error.message()])
"""
    limits = {"max_queue": "16", "default_classify": "digits"}
    with serving(digits_dir, engine="openvino", **limits) as server:
        found: dict[str, Any] = clients.told(
            "light", _BEGIN + script + _END, server.url, str(tmp_path / "begun")
        )
    assert found["rows"]
    assert found["rows"] == [[16, 10]] * len(found["rows"])
    assert found["refused"]
    assert {status for status, _ in found["refused"]} == {"503"}
    assert all("Try again shortly" in text for _, text in found["refused"])
    assert len(found["rows"]) + len(found["refused"]) == 80


@clients.needed("light")
def test_a_stop_loses_no_call(digits_dir: Path, tmp_path: Path) -> None:
    """After SIGTERM tritonclient is answered until there is nobody to connect to, never by half."""
    script = """
try:
    while True:
        ask()
except InferenceServerException as error:
    told["refused"].append([error.status(), error.message()])
except OSError as error:
    told["ended"] = type(error).__name__
"""
    settings = {"drain_seconds": "1", "default_classify": "digits"}
    with serving(digits_dir, engine="openvino", **settings) as server, ThreadPoolExecutor(1) as pool:
        begun = tmp_path / "begun"
        found = pool.submit(clients.told, "light", _BEGIN + ASKING + script + _END, server.url, str(begun))
        until(begun.exists)
        server.process.send_signal(signal.SIGTERM)
        told = found.result()
        assert server.process.wait(30) in (0, -signal.SIGTERM)
    assert told["refused"] == []
    assert told["ended"].startswith("Connection")
    assert len(told["rows"]) > 1
    np.testing.assert_allclose(told["rows"], told["rows"][:1] * len(told["rows"]), atol=1e-3)
