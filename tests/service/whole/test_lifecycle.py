"""Versions come, go and fail under load: not one request notices but by the version that its answer names."""

import json
import os
import shutil
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from service.configuration.settings import Settings
from service.decoding.pool import Hands
from service.manifest import golden_path
from service.telemetry.metrics import Metrics
from service.versions.repository import Repository
from service.versions.watcher import Watcher
from tests.processes import children, until
from tests.service import making
from tests.worlds import Server, serving
from training import golden

PNG = golden.samples("pets", seed=7)[0].data
NAME = "digits"
QUICK = {
    "models_poll_seconds": "0.05",
    "models_settle_seconds": "0.3",
    "load_retry_seconds": "0.05",
    "default_classify": NAME,
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The folder of one model with version 1."""
    return making.first(NAME, tmp_path / "models").parent


class Load:
    """A client that asks again and again, and keeps what it was answered."""

    def __init__(self, url: str) -> None:
        self.statuses: Counter[int] = Counter()
        self.versions: list[int] = []
        self._url = url
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def _ask(self) -> None:
        with httpx.Client(base_url=self._url, timeout=30) as client:
            while not self._ended.wait(0.002):
                answer = client.post("/classify", content=PNG, headers={"Content-Type": "image/png"})
                self.statuses[answer.status_code] += 1
                self.versions.append(answer.json().get("model", {}).get("version", 0))

    def __enter__(self) -> "Load":
        """Return once the first answer is here: what is done next is done under load."""
        self._thread.start()
        until(lambda: self.versions)
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


@contextmanager
def watched(home: Path, **settings: str) -> Iterator[tuple[Server, httpx.Client]]:
    """Serve that model's folder, looked at twenty times a second, and a client for it."""
    given = {"engine": "openvino", **QUICK, **settings}
    with serving(home.parent, **given) as server, httpx.Client(base_url=server.url, timeout=30) as client:
        yield server, client


def state(client: httpx.Client) -> dict[str, Any]:
    """Return what /readyz says of the model."""
    found: dict[str, Any] = client.get("/readyz").json()["models"][NAME]
    return found


def classified_by(client: httpx.Client, query: str = "") -> int:
    """Return the version that answers."""
    answer = client.post(f"/classify{query}", content=PNG, headers={"Content-Type": "image/png"})
    assert answer.status_code == 200, answer.text
    version: int = answer.json()["model"]["version"]
    return version


def test_a_new_version_takes_over_and_no_request_fails(home: Path) -> None:
    """(G1, G14) Of versions that come together the newest goes live, and every request is answered."""
    with watched(home) as (server, client), Load(server.url) as load:
        for number in (2, 3, 4):
            making.add(home, number)
        server.read_until(r"switched digits from \d to 4")
        assert classified_by(client) == 4
        making.add(home, 9)
        server.read_until(r"switched digits from 4 to 9")
        assert classified_by(client) == 9
        assert client.get("/readyz").json()["status"] == "ready"
    assert load.statuses.keys() == {200}
    assert load.versions == sorted(load.versions)
    assert {1, 4} <= set(load.versions) <= {1, 2, 3, 4, 9}


def skewed_golden(folder: Path) -> None:
    """Change what training is said to have answered."""
    path = golden_path(folder)
    with np.load(path) as archive:
        arrays = dict(archive)
    arrays["answer_scores"] = arrays["answer_scores"][:, ::-1] + np.float32(0.5)
    np.savez(path, **arrays)


BAD = {
    "flipped": (making.flip("variables/variables.data-00000-of-00001"), False, "sha256"),
    "cut": (making.cut("saved_model.pb"), False, "sha256"),
    "cut and sealed": (making.cut("saved_model.pb"), True, "no SavedModel that can be read"),
    "empty": (lambda folder: shutil.rmtree(folder / "assets.extra"), False, "manifest.json is missing"),
    "link": (making.link, False, "symbolic link"),
    "more": (lambda folder: (folder / "model.keras").touch(), False, "not in the manifest's list"),
    "outside": (lambda folder: making.edit(folder, files={"../../x": "0" * 64}), False, "outside"),
    "labels": (lambda folder: making.edit(folder, labels=["a", "b", "c", "d"]), False, "needs the outputs"),
    "operation": (
        making.replace("saved_model.pb", b"\x12\x07MaxPool", b"\x12\x07EagerPy"), True, "allowed: EagerPy"
    ),
    "output": (making.replace("saved_model.pb", b"\x06scores\x12", b"\x06sc0res\x12"), True, ""),
    "golden": (skewed_golden, True, "golden replay failed"),
}  # fmt: skip


def test_bad_versions_are_refused_and_the_live_one_serves_on(home: Path) -> None:
    """(G2, G4, G5, G6, G18, G19) Whatever is wrong with a version, it is refused with a reason, counted, and
    not one request fails; a good one after it goes live.
    """
    with watched(home) as (server, client), Load(server.url) as load:
        for number, (change, seal, _) in enumerate(BAD.values(), start=2):
            making.add(home, number, change, seal=seal)
        for _ in BAD:
            server.read_until(r"refused digits/\d+")
        assert state(client)["live"] == 1
        reasons = list(state(client)["refused"].values())
        for (kind, (_, _, reason)), found in zip(BAD.items(), reasons, strict=True):
            assert reason in found, kind
        metrics = client.get("/metrics").text
        assert f'striate_model_load_failures_total{{model="{NAME}"}} {len(BAD)}.0' in metrics
        assert f'striate_model_versions_refused{{model="{NAME}"}} {len(BAD)}.0' in metrics
        assert client.get("/summary").json()["refused"][NAME].keys() == state(client)["refused"].keys()
        making.add(home, 99)
        server.read_until("switched digits from 1 to 99")
    assert load.statuses.keys() == {200}
    assert set(load.versions) <= {1, 99}


def test_a_new_model_is_a_gain_and_no_need(home: Path) -> None:
    """(G1, G2) A model that comes later is served when it is good; a bad one leaves the service ready."""
    with watched(home) as (server, client):
        bad = home.parent / ".bad"
        shutil.copytree(home, bad)
        bad.rename(home.parent / "bad")
        server.read_until("refused bad/1: manifest.json is of digits/1, not of bad/1")
        other = home.parent / ".other"
        shutil.copytree(home, other)
        making.edit(other / "1", name="other")
        other.rename(home.parent / "other")
        server.read_until("live other/1")
        server_sees(
            client, lambda _: client.get("/readyz").json()["models"].get("other", {}).get("live") == 1
        )
        assert client.get("/readyz").status_code == 200
        missing = client.post("/classify?model=bad", content=PNG, headers={"Content-Type": "image/png"})
        assert missing.status_code == 404


def a_start_is_ready(home: Path) -> bool:
    """Tell whether a service that starts with the folder as it is would be ready."""
    settings = Settings(models_dir=home.parent, engine="openvino")
    with Hands(settings) as hands:
        repository = Repository(Metrics())
        Watcher(settings, repository, hands, Metrics()).load()
    return repository.ready


def add_a_bad_model(home: Path) -> None:
    """Add a model whose manifest is another's."""
    shutil.copytree(home / "1", home.parent / "bad" / "1")


def add_a_bad_version(home: Path) -> None:
    """Add a newer version that is damaged."""
    making.add(home, 3, making.cut("saved_model.pb"))


def spoil(home: Path) -> None:
    """Flip one bit of the live version."""
    making.flip("variables/variables.data-00000-of-00001")(home / "2")


def leave_the_live_one_alone_and_spoil_it(home: Path) -> None:
    """Delete the older version and flip one bit of the live one."""
    shutil.rmtree(home / "1")
    spoil(home)


def pin_what_is_not_there(home: Path) -> None:
    """Ask for a version that does not exist."""
    (home / "policy.json").write_text('{"pin": 7}')


@pytest.mark.parametrize(
    ("change", "ready"),
    [
        (add_a_bad_model, True),
        (add_a_bad_version, True),
        (spoil, True),
        (leave_the_live_one_alone_and_spoil_it, False),
        (pin_what_is_not_there, False),
        (shutil.rmtree, False),
    ],
)
def test_readiness_is_what_a_start_would_say(
    home: Path, change: Callable[[Path], object], ready: bool
) -> None:
    """(G2, G10, G17) Whatever happens to the folder under a running service, /readyz comes to say what it
    would say after a restart; and what is in memory answers all the while.
    """
    making.add(home, 2)
    with watched(home) as (_, client):
        before = client.get("/readyz")
        assert before.status_code == 200
        change(home)
        until(lambda: client.get("/readyz").json() != before.json())
        until(lambda: client.get("/readyz").is_success == ready)
        assert classified_by(client) == 2
    assert a_start_is_ready(home) == ready


def test_a_spoilt_live_version_is_told(home: Path) -> None:
    """(G2) Files that change under a live version are noticed: it serves on from memory, and /readyz says why
    a restart would not bring it back, until the files are as they were.
    """
    making.add(home, 2)
    with watched(home) as (server, client):
        spoil(home)
        server.read_until("refused digits/2")
        assert state(client)["live"] == 2
        assert "sha256" in state(client)["refused"]["2"]
        spoil(home)
        server_sees(client, lambda found: not found["refused"])
        assert classified_by(client) == 2


def litter(folder: Path) -> None:
    """Leave in a version what systems leave."""
    for name in (".DS_Store", "assets.extra/._manifest.json", ".nfs0000000000a1b2c3", "variables/Thumbs.db"):
        (folder / name).write_bytes(b"\0" * 10)
    (folder / "@eaDir").mkdir()
    (folder / "@eaDir" / "saved_model.pb@SynoEAStream").touch()


def test_what_systems_leave_refuses_no_version(home: Path) -> None:
    """(G4) A version with a file manager's, a file system's or a NAS's leavings in it goes live, at the start
    and later; one that is a link to a place in the models' folder too, one that leads out of it does not.
    """
    litter(home / "1")
    with watched(home) as (server, client):
        assert classified_by(client) == 1
        # A copy of version 1, so that it is littered too.
        making.add(home, 2)
        server.read_until("switched digits from 1 to 2")
        making.add(home, 3).rename(home.parent / ".three")
        (home / "3").symlink_to("../.three")
        server.read_until("switched digits from 2 to 3")
        making.add(home, 4).rename(home.parent.parent / "four")
        (home / "4").symlink_to("../../four")
        server.read_until("refused digits/4: It is a symbolic link that leads nowhere or out of")
        assert classified_by(client) == 3


def test_half_a_copy_is_never_loaded(home: Path) -> None:
    """(G3) A version that is copied slowly is not refused while it grows, and goes live when it is whole."""
    source = making.add(home, 2).rename(home.parent.parent / "source")
    files = sorted(path for path in source.rglob("*") if path.is_file())
    # The manifest first, as `cp -r` does it.
    with watched(home, models_settle_seconds="5") as (server, client):
        for path in files:
            target = home / "2" / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            data = path.read_bytes()
            target.write_bytes(data[: len(data) // 2])
            time.sleep(0.06)  # a poll sees it half, and nothing tells when one was
            assert classified_by(client) == 1
            target.write_bytes(data)
        server.read_until("switched digits from 1 to 2")
        assert state(client) == {"live": 2, "refused": {}}
    assert not any("refused" in line for line in server.log)


def test_a_refused_version_is_tried_again_when_its_files_change(home: Path) -> None:
    """(G2) Quarantine ends when somebody mends the version."""
    with watched(home) as (server, client):
        weights = "variables/variables.data-00000-of-00001"
        bad = making.add(home, 2, making.flip(weights))
        server.read_until("refused digits/2")
        making.flip(weights)(bad)
        server.read_until("switched digits from 1 to 2")
        assert state(client) == {"live": 2, "refused": {}}


def put(client: httpx.Client, policy: object) -> httpx.Response:
    """Send a policy for the model."""
    return client.post("/admin/models", params={"model": NAME}, json=policy)


def test_a_pin_rolls_back_and_forth(home: Path) -> None:
    """(G11) A pin brings a smaller version back, at once as it is still in memory; without it the newest
    answers again. Nothing fails.
    """
    making.add(home, 2)
    making.add(home, 3)
    with watched(home) as (server, client), Load(server.url) as load:
        assert classified_by(client) == 3
        assert put(client, {"pin": 1}).json() == {
            "model": NAME, "policy": {"pin": 1, "labels": {}, "canary_share": 0.0}
        }  # fmt: skip
        server.read_until("switched digits from 3 to 1")
        assert json.loads((home / "policy.json").read_text()) == {"pin": 1}
        assert classified_by(client) == 1
        assert classified_by(client, "?version=3") == 3
        (home / "policy.json").unlink()
        server.read_until("switched digits from 1 to 3")
        shown = client.get("/admin/models").json()["models"][0]["versions"]
        assert {number: each["state"] for number, each in shown.items()} == {
            "1": "standby", "2": "available", "3": "live"
        }  # fmt: skip
    assert load.statuses.keys() == {200}


def test_labels_and_a_canary(home: Path) -> None:
    """(G11) Two versions live side by side: by label, by version, and by a share of the rest."""
    making.add(home, 2)
    with watched(home) as (server, client):
        put(client, {"labels": {"stable": 1, "canary": 2}, "canary_share": 0.5})
        server.read_until("switched digits from 2 to 1")
        assert classified_by(client, "?label=canary") == classified_by(client, "?version=2") == 2
        assert classified_by(client, "?label=stable") == 1
        shares = Counter(classified_by(client) for _ in range(100))
        assert shares.keys() == {1, 2}
        assert 20 < shares[2] < 80
        missing = client.post("/classify?label=blue", content=PNG, headers={"Content-Type": "image/png"})
        assert (missing.status_code, missing.json()["code"]) == (404, "version_not_found")


def test_a_broken_policy_changes_nothing(home: Path) -> None:
    """The last good policy stays, and /readyz says what is wrong with the new one."""
    making.add(home, 2)
    (home / "policy.json").write_text('{"pin": 1}')
    with watched(home) as (server, client):
        assert classified_by(client) == 1
        (home / "policy.json").write_text('{"pin": 2, "secret": 1}')
        server.read_until("The last good policy stays")
        assert "there are: pin, labels, canary_share" in state(client)["policy"]
        assert classified_by(client) == 1
        (home / "policy.json").write_text('{"pin": 7}')
        server_sees(client, lambda found: "not there: 7" in found.get("policy", ""))
        assert classified_by(client) == 1


def server_sees(client: httpx.Client, condition: Any) -> None:
    """Wait until /readyz tells of the model what is expected."""
    until(lambda: condition(state(client)))


def test_admin_takes_policies_from_this_machine_only(home: Path) -> None:
    """What came through a proxy or a rebound name is 403; what is no policy 422; an unknown model 404."""
    with watched(home) as (_, client):
        for headers in ({"X-Forwarded-For": "192.0.2.1"}, {"Host": "example.org"}):
            answer = client.get("/admin/models", headers=headers)
            assert answer.status_code == 403
            assert answer.json()["code"] in ("forbidden", "local_only")
        plain = client.post("/admin/models", params={"model": NAME}, content=b"{}")
        assert plain.status_code == 415
        two = {"pin": 1, "labels": {"stable": 2}}
        policies: list[object] = [{"pin": 0}, {"pin": 5}, {"canary_share": 0.1}, [], two]
        for policy in policies:
            answer = put(client, policy)
            assert (answer.status_code, answer.json()["code"]) == (422, "invalid_policy"), policy
        unknown = client.post("/admin/models", params={"model": "../x"}, json={})
        assert unknown.status_code == 404
    assert not (home / "policy.json").exists()


def test_a_deleted_version_serves_on(home: Path) -> None:
    """(G10, G15) What is in memory answers, whether its folder is deleted or all of them cannot be read."""
    with watched(home) as (server, client):
        shutil.rmtree(home / "1")
        away = home.parent.rename(home.parent.with_name("away"))
        server.read_until("folder of models cannot be read")
        assert classified_by(client) == 1
        assert "striate_models_poll_ok 0.0" in client.get("/metrics").text
        assert client.get("/readyz").json()["unread"]
        away.rename(home.parent)
        until(lambda: "striate_models_poll_ok 1.0" in client.get("/metrics").text)
        assert classified_by(client) == 1


def test_a_request_that_is_being_sent_is_answered_by_the_version_that_took_it(home: Path) -> None:
    """(G1) A version that is replaced waits for those who still send their image, and then is closed."""
    # A load may take longer than a body has, where the machine is busy.
    times = {"body_grace_seconds": "100", "body_seconds": "100"}
    with watched(home, keep_previous="false", **times) as (server, client), socket.create_connection(
        (httpx.URL(server.url).host, httpx.URL(server.url).port or 0), timeout=100
    ) as slow:  # fmt: skip
        head = "POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
        head += f"Connection: close\r\nContent-Length: {len(PNG)}\r\n\r\n"
        slow.sendall(head.encode() + PNG[:10])
        wait_until_held(client)
        making.add(home, 2)
        server.read_until("switched digits from 1 to 2")
        assert classified_by(client) == 2
        shown = client.get("/admin/models").json()["models"][0]["versions"]
        assert shown["1"]["state"] == "draining"
        slow.sendall(PNG[10:])
        answer = b"".join(iter(lambda: slow.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 200")
        assert b'"version":1' in answer
        server.read_until("closed digits/1")


def wait_until_held(client: httpx.Client) -> None:
    """Wait until two requests are being answered: the slow one, and the one that asks."""
    until(lambda: "striate_requests_in_flight 2.0" in client.get("/metrics").text)


def test_memory_is_given_back(home: Path) -> None:
    """(G13) Swap after swap, memory grows by at most 5 % in all; threads and descriptors stay as many. The
    least of the last swaps is compared with the most of the first, since a pool's threads start when needed;
    one thread kept at each swap would be seven more.
    """
    making.add(home, 2)
    seen: list[list[int]] = []
    with watched(home, keep_previous="false", trial_load="never") as (server, client):
        for swap in range(24):
            put(client, {"pin": 1 + swap % 2})
            server.read_until(f"switched digits from . to {1 + swap % 2}")
            server.read_until("closed digits")
            seen.append(held(server.process.pid))
    first, last = np.max(seen[8:12], axis=0), np.min(seen[18:], axis=0)
    assert last[0] <= first[0] * 1.05
    assert (last[1:] <= first[1:] + 2).all(), seen


def held(process: int) -> list[int]:
    """Return a process's resident kilobytes, threads and descriptors."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    values = {
        key: value.split()[0] for key, _, value in (line.partition(":") for line in lines) if value.split()
    }
    return [int(values["VmRSS"]), int(values["Threads"]), len(list(Path(f"/proc/{process}/fd").iterdir()))]


def test_sigterm_during_a_load_ends_in_the_grace(home: Path) -> None:
    """(G16) A trial in progress is ended with the service."""
    with watched(home) as (server, _):
        making.add(home, 2)
        wait_for_child(server.process.pid)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(8) in {0, -signal.SIGTERM}


def wait_for_child(parent: int) -> int:
    """Return the process that a process has started, when it has."""
    until(lambda: children(parent))
    return children(parent)[0]


def test_a_crash_in_a_trial_kills_only_the_trial(home: Path) -> None:
    """(G8) Where an engine crashes on a version, the service lives, serves on and says so."""
    with watched(home) as (server, client), Load(server.url) as load:
        making.add(home, 2)
        os.kill(wait_for_child(server.process.pid), signal.SIGSEGV)
        server.read_until("refused digits/2: Its trial was ended by SIGSEGV")
        assert state(client)["live"] == 1
        assert server.process.poll() is None
    assert load.statuses.keys() == {200}


@pytest.mark.parametrize(
    ("setting", "value", "reason"),
    [("load_timeout_seconds", "0.05", "longer than"), ("trial_memory_bytes", str(2**28), "")],
)
def test_a_trial_is_bounded(home: Path, setting: str, value: str, reason: str) -> None:
    """(G7) A load that hangs or eats memory is ended, tried a few times more, and then refused."""
    with watched(home, **{setting: value}) as (server, client):
        making.add(home, 2)
        assert reason in server.read_until("refused digits/2")
        assert state(client)["live"] == 1


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], None]:
    """What makes a version's graph compute for ever, with all that a manifest can tell of it as it was."""
    import tensorflow as tf

    class Endless(tf.Module):  # type: ignore[misc]
        @tf.function(input_signature=[tf.TensorSpec([None, 28, 28, 1], tf.uint8, "image")])  # type: ignore[untyped-decorator]
        def serve(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
            start = tf.reduce_sum(tf.cast(image, tf.float32), [1, 2])[:, :1] * tf.ones([1, 10])
            (scores,) = tf.while_loop(
                lambda scores: tf.reduce_all(scores < 1e30), lambda scores: (scores * 0.5,), (start,)
            )
            return {"scores": scores}

    module, made = Endless(), tmp_path_factory.mktemp("endless")
    tf.saved_model.save(module, str(made), signatures=module.serve)

    def change(folder: Path) -> None:
        shutil.rmtree(folder / "variables")
        shutil.copytree(made, folder, dirs_exist_ok=True)

    return change


@pytest.mark.parametrize("engine", ["openvino", "tensorflow"])
def test_an_endless_version_holds_up_nobody_at_the_start(
    home: Path, engine: str, endless: Callable[[Path], None]
) -> None:
    """(G7) Where the newest version of a model computes for ever, a first start goes live with all others, of
    other models and of its own; then it is tried in a process of its own, and ended in time. That it is
    refused after a few such tries is held above.
    """
    making.first("fashion", home.parent)
    making.add(home, 2, endless, seal=True)
    with watched(home, engine=engine, load_timeout_seconds="5") as (server, client):
        assert "ready: 2 models live" in server.log[-1]
        assert client.get("/readyz").status_code == 200
        assert classified_by(client) == 1
        assert classified_by(client, "?model=fashion") == 1
        server.read_until("not loaded digits/2 yet: Its trial took longer than 5 s")
        assert state(client)["live"] == 1
        assert server.process.poll() is None


def test_a_model_that_is_only_endless_is_told(home: Path, endless: Callable[[Path], None]) -> None:
    """(G7) Where there is only a version that computes for ever, /readyz says that it is being tried, and
    its trial holds up no stop.
    """
    making.add(home, 2, endless, seal=True)
    shutil.rmtree(home / "1")
    with watched(home, load_timeout_seconds="600") as (server, client):
        assert "not ready: Still being tried: digits." in server.log[-1]
        answer = client.get("/readyz")
        assert (answer.status_code, answer.json()["detail"]) == (503, "Still being tried: digits.")
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) in {0, -signal.SIGTERM}
