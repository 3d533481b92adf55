"""Several processes behind one port count as one service, and no client notices when one of them changes."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.processes import children, runs, until
from tests.service import making
from tests.service.wire import PNG, UPLOAD
from tests.worlds import Server, serving
from training import golden

PET = golden.samples("pets", seed=5)[0].data
REQUEST = UPLOAD.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + PNG


@pytest.fixture
def one_model(tmp_path: Path) -> Path:
    """A folder with one model, which is loaded in a moment."""
    folder = tmp_path / "models"
    making.first("digits", folder)
    return folder


@contextmanager
def crowd(folder: Path, workers: int, **settings: str) -> Iterator[Server]:
    """Serve that model with so many workers."""
    given = {"engine": "openvino", "default_classify": "digits", "engine_threads": "1", **settings}
    with serving(folder, workers=str(workers), **given) as server:
        yield server


class Callers:
    """Clients that open a connection for each request, and keep what became of it."""

    def __init__(self, server: Server, count: int = 4) -> None:
        url = httpx.URL(server.url)
        self._where = (url.host, url.port)
        self.ends: Counter[str] = Counter()
        self._left = threading.Event()
        self._threads = [threading.Thread(target=self._call) for _ in range(count)]

    def _call(self) -> None:
        while not self._left.is_set():
            self.ends[self._ask()] += 1

    def _ask(self) -> str:
        try:
            connection = socket.create_connection(self._where, timeout=30)
        except OSError:
            # Nobody listens any more, which is plain to every client: it has sent nothing.
            self._left.set()
            return "refused"
        received = b""
        with connection:
            try:
                connection.sendall(REQUEST)
                while data := connection.recv(65536):
                    received += data
            except ConnectionError:
                return "reset"
        return received[9:12].decode() or "nothing"

    def __enter__(self) -> "Callers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        for thread in self._threads:
            thread.join()


def working(server: Server) -> set[int]:
    """Return the processes that are workers."""
    found = set()
    for child in children(server.process.pid):
        with suppress(OSError):
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.add(child)
    return found


def free(server: Server) -> bool:
    """Tell whether another service could listen on the server's port."""
    url = httpx.URL(server.url)
    with socket.socket() as again, suppress(OSError):
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind((url.host, url.port or 0))
        again.listen()
        return True
    return False


def counted(text: str) -> float:
    """Return the number of answered /classify requests in an exposition."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "striate_requests_total"
        and sample.labels["route"] == "/classify"
        and sample.labels["status"] == "200"
    )


def sample(server: Server, name: str) -> float:
    """Return the one value of an instrument without labels."""
    found = re.search(rf"^{name} (\S+)$", httpx.get(f"{server.url}/metrics").text, re.MULTILINE)
    assert found
    return float(found[1])


def test_any_worker_counts_for_all(one_model: Path) -> None:
    """With two workers every scrape has every request, whichever of the two answered it."""
    with crowd(one_model, 2) as server:
        answers = [
            httpx.post(f"{server.url}/classify", files={"file": PET}, timeout=30).json()["results"][0]
            for _ in range(20)
        ]
        # A request is counted when its answer is out, which may be a moment after the client has it.
        until(lambda: counted(httpx.get(f"{server.url}/metrics").text) >= 20)
        scrapes = [httpx.get(f"{server.url}/metrics").text for _ in range(8)]
    assert len({answer["label"] for answer in answers}) == 1
    assert [counted(text) for text in scrapes] == [20] * 8
    assert 'striate_model_version{engine="openvino",model="digits"' in scrapes[0]
    families = {family.name: family for family in text_string_to_metric_families(scrapes[0])}
    seconds = [
        each for each in families["striate_request_seconds"].samples if each.labels["route"] == "/classify"
    ]
    buckets = [each.value for each in seconds if each.name.endswith("_bucket")]
    assert buckets == sorted(buckets)
    assert buckets[-1] == next(each.value for each in seconds if each.name.endswith("_count")) == 20
    assert next(each.value for each in seconds if each.name.endswith("_sum")) > 0


def test_a_killed_worker_is_replaced_unnoticed(one_model: Path) -> None:
    """(H4) After kill -9 of one of two workers no request gets a 503: who takes its place lets nobody in
    before its models live. What the killed one was answering is lost; its counts are kept, its gauge is not.
    """
    with crowd(one_model, 2) as server:
        victim = min(working(server))
        with Callers(server) as callers:
            until(lambda: callers.ends["200"] >= 20)
            before = counted(httpx.get(f"{server.url}/metrics").text)
            os.kill(victim, signal.SIGKILL)
            server.read_until(rf"worker {victim} was ended by SIGKILL; another takes its place")
            server.read_until("service: ready")
            then = callers.ends["200"]
            until(lambda: callers.ends["200"] >= then + 20)
        assert set(callers.ends) <= {"200", "reset", "nothing"}
        assert callers.ends["reset"] + callers.ends["nothing"] <= 4
        assert len(working(server)) == 2
        assert counted(httpx.get(f"{server.url}/metrics").text) >= before + 20
        # The scrape itself, and nothing that the killed one had begun.
        until(lambda: sample(server, "striate_requests_in_flight") == 1)


def test_sighup_replaces_all_unnoticed(one_model: Path) -> None:
    """(H1) SIGHUP replaces every worker by one whose models live already: every request is answered."""
    with crowd(one_model, 2) as server:
        former = working(server)
        with Callers(server) as callers:
            until(lambda: callers.ends["200"] >= 20)
            server.process.send_signal(signal.SIGHUP)
            server.read_until("SIGHUP: all workers are replaced")
            until(lambda: not any(map(runs, former)))
            then = callers.ends["200"]
            until(lambda: callers.ends["200"] >= then + 20)
        assert set(callers.ends) == {"200"}
        assert len(working(server)) == 2


@pytest.mark.parametrize("workers", [1, 2])
def test_a_stop_resets_nobody(one_model: Path, workers: int) -> None:
    """(H1) SIGTERM amid clients that open a connection for each request: whoever gets in is answered, whoever
    comes later is refused, and not one connection is reset, stop after stop.
    """
    ends: Counter[str] = Counter()
    for _ in range(2):
        with crowd(one_model, workers) as server:
            with Callers(server, 8) as callers:
                until(lambda: callers.ends["200"] >= 30)
                server.process.send_signal(signal.SIGTERM)
                server.process.wait(60)
                until(lambda: callers.ends["refused"])
            assert server.process.returncode in {0, -signal.SIGTERM}
        ends += callers.ends
    assert set(ends) == {"200", "refused"}
    assert ends["200"] >= 60


def test_sighup_of_a_single_worker_is_passed_over(one_model: Path) -> None:
    """(H1) With one worker SIGHUP ends nothing: the log says so, and requests are answered as before."""
    with crowd(one_model, 1) as server, Callers(server, 2) as callers:
        until(lambda: callers.ends["200"] >= 5)
        server.process.send_signal(signal.SIGHUP)
        server.read_until("SIGHUP is passed over")
        then = callers.ends["200"]
        until(lambda: callers.ends["200"] >= then + 10)
        assert server.process.poll() is None
    assert set(callers.ends) == {"200"}


def test_workers_end_with_their_supervisor(one_model: Path) -> None:
    """(H4) kill -9 of the process that was started ends its workers too, and the port is free again."""
    with crowd(one_model, 2) as server:
        workers = working(server)
        assert len(workers) == 2
        server.process.kill()
        server.process.wait(10)
        until(lambda: not any(map(runs, workers)))
        until(lambda: free(server))


def test_metrics_need_no_disk(one_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """(H7, H8) Without a temporary folder several workers still count together: no file is mapped that a full
    device could take away under them.
    """
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "nowhere"))
    with crowd(one_model, 2) as server:
        assert httpx.post(f"{server.url}/classify", files={"file": PNG}).status_code == 200
        assert sample(server, "striate_metrics_together") == 1
        for pid in working(server):
            shared = re.findall(r" rw-s .*(/\S+)", Path(f"/proc/{pid}/maps").read_text())
            assert "/memfd:striate-metrics" in shared
            assert not [path for path in shared if path.endswith(".db")]
    assert not (tmp_path / "nowhere").exists()


def test_without_shared_memory_the_metrics_say_so(one_model: Path) -> None:
    """(H7) Where not even memory to share can be had, every worker lives and serves, and its figures say that
    they are its own.
    """
    environment = os.environ | {
        "STRIATE_MODELS_DIR": str(one_model),
        "STRIATE_PORT": "0",
        "STRIATE_WORKERS": "2",
        "STRIATE_ENGINE": "openvino",
        "STRIATE_DEFAULT_CLASSIFY": "digits",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    # No file may have a byte, memory that is shared as a file neither.
    limited = ["prlimit", "--fsize=0", sys.executable, "-m", "service"]
    process = subprocess.Popen(limited, env=environment, stderr=subprocess.PIPE, text=True)
    server = Server(process)
    try:
        server.read_until("each worker counts for itself, as /metrics says")
        found = re.search(r"https?://[\d.]+:\d+", "".join(server.log) + server.read_until("running on|ready"))
        assert found
        server.url = found.group()
        server.read_until("service: ready")
        assert httpx.post(f"{server.url}/classify", files={"file": PNG}).status_code == 200
        assert sample(server, "striate_metrics_together") == 0
    finally:
        process.terminate()
        process.communicate(timeout=30)
    assert process.returncode == 0


def test_a_taken_port_ends_the_start_of_several(one_model: Path, tmp_path: Path) -> None:
    """(H18) Where a port is taken, several workers end like one: with a sentence and status 3."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = subprocess.run(
            [sys.executable, "-m", "service", "--workers", "2", "--port", str(taken.getsockname()[1])],
            env=os.environ | {"STRIATE_MODELS_DIR": str(one_model)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 3
    assert "address already in use" in done.stderr
    assert "Traceback" not in done.stderr
