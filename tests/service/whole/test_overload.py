"""Over HTTP: deadlines, memory for bodies, and the order of leaving."""

import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import DEFAULTS
from tests.processes import until
from tests.service.answers import JPEG, problem
from tests.worlds import Server, serving

SEGMENT = "/segment?mask=none"
RAW = {"Content-Type": "image/jpeg"}


def connected(server: Server) -> socket.socket:
    parts = urlsplit(server.url)
    assert parts.hostname
    return socket.create_connection((parts.hostname, parts.port), timeout=10)


@pytest.mark.parametrize("asked", ["0", "-1", "1.5", "soon", "", "1e3", "9999999999"])
def test_a_timeout_that_is_none_is_an_error(client: httpx.Client, asked: str) -> None:
    """(F5) X-Request-Timeout-Ms that is no whole number of milliseconds is 422, not ignored."""
    answer = client.post(SEGMENT, content=JPEG, headers=RAW | {"X-Request-Timeout-Ms": asked})
    assert "X-Request-Timeout-Ms" in problem(answer, 422, "invalid_parameter")["detail"]


def test_a_deadline_that_passes_is_504(models_dir: Path) -> None:
    """(F4, F5) More work than the time that is left: 504 or 503; the service's own deadline is the most that
    a client can ask for, and afterwards everything is answered again.
    """
    limits = {"deadline_ms": "150", "max_queue": "256", "engine_threads": "1", "decode_threads": "1"}
    with serving(models_dir, engine="openvino", **limits, **DEFAULTS) as server:

        def post(number: int) -> int:
            timeout = {"X-Request-Timeout-Ms": str((20, 150, 60_000)[number % 3])}
            answer = httpx.post(
                f"{server.url}/segment", files=[("file", JPEG)] * 4, headers=timeout, timeout=30
            )
            assert answer.status_code in (200, 503, 504)
            if answer.status_code != 200:
                problem(
                    answer,
                    answer.status_code,
                    {503: "overloaded", 504: "deadline_exceeded"}[answer.status_code],
                )
            return answer.status_code

        with ThreadPoolExecutor(48) as pool:
            assert 504 in list(pool.map(post, range(192)))
        assert 'status="504"' in httpx.get(f"{server.url}/metrics").text
        # One image takes a fraction of the deadline, unless the machine is busy with other things too.
        url = f"{server.url}{SEGMENT}"
        until(lambda: httpx.post(url, content=JPEG, headers=RAW, timeout=30).status_code == 200)


def test_bodies_share_a_memory(models_dir: Path) -> None:
    """Bodies that are promised and not sent hold their share; one more is 503, until they have left."""
    limits = {"max_body_bytes": str(2**20), "max_held_bytes": str(3 * 2**20)}
    with serving(models_dir, engine="openvino", **limits, **DEFAULTS) as server:
        head = (
            "POST /classify HTTP/1.1\r\nHost: a\r\nContent-Type: image/jpeg\r\n"
            f"Content-Length: {2**20}\r\n\r\n"
        ).encode()
        holders = [connected(server) for _ in range(3)]
        for holder in holders:
            holder.sendall(head + b"\xff\xd8")
        answer = httpx.Response(200)
        while answer.status_code == 200:
            answer = httpx.post(f"{server.url}/classify", content=JPEG, headers=RAW)
        assert int(answer.headers["retry-after"]) >= 1
        problem(answer, 503, "overloaded")
        assert httpx.get(f"{server.url}/readyz").status_code == 200
        for holder in holders:
            holder.close()
        while answer.status_code == 503:
            answer = httpx.post(f"{server.url}/classify", content=JPEG, headers=RAW)
        assert answer.status_code == 200


def test_sigterm_says_so_before_it_stops(models_dir: Path) -> None:
    """(H1) After SIGTERM /readyz is 503 while requests are still answered; then the process ends by itself,
    and nothing that was taken on is lost.
    """
    with serving(models_dir, engine="openvino", drain_seconds="3", **DEFAULTS) as server:
        statuses: list[int] = []
        ready: list[int] = []
        with httpx.Client(base_url=server.url, timeout=10) as client:
            assert client.get("/readyz").status_code == 200
            server.process.send_signal(signal.SIGTERM)
            try:
                while True:
                    ready.append(client.get("/readyz").status_code)
                    statuses.append(client.post(SEGMENT, content=JPEG, headers=RAW).status_code)
            except httpx.TransportError:
                pass
        assert server.process.wait(10) in (0, -signal.SIGTERM)
    assert 503 in ready
    assert ready[ready.index(503) :] == [503] * (len(ready) - ready.index(503))
    assert len(statuses) > 1
    assert set(statuses) == {200}


def test_a_second_signal_is_fast(models_dir: Path) -> None:
    """(H3) A second SIGTERM ends the process at once, whatever the drain has left."""
    with serving(models_dir, engine="openvino", drain_seconds="60", **DEFAULTS) as server:
        server.process.send_signal(signal.SIGTERM)
        with httpx.Client(base_url=server.url) as client:
            until(lambda: client.get("/readyz").status_code != 200)
        started = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(10)
        assert time.monotonic() - started < 3


def test_a_stop_has_an_end(digits_dir: Path) -> None:
    """(H1) What holds a stop up, here a client that asks for megabytes and takes none, is cut off in time."""
    limits = {"stop_seconds": "2", "write_seconds": "60", "default_classify": "digits"}
    with serving(digits_dir, engine="openvino", **limits) as server, connected(server) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.settimeout(1)
        with pytest.raises(TimeoutError):
            # So many that it no longer takes requests, as it cannot get rid of its answers.
            deaf.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n" * 1_000_000)
        started = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) in (0, -signal.SIGTERM)
        # Its 2 seconds, 5 at most for those who wait to be accepted, and what a busy machine needs.
        assert time.monotonic() - started < 2 + 5 + 3


def test_requests_in_flight_survive_sigterm(models_dir: Path) -> None:
    """(H1) SIGTERM amid many requests: each that was sent on an open connection before it gets its 200."""
    with serving(models_dir, engine="openvino", deadline_ms="60000", **DEFAULTS) as server:
        callers = 8
        go = threading.Barrier(callers + 1)

        def post(_: int) -> int:
            with httpx.Client(base_url=server.url, timeout=20) as client:
                assert client.get("/livez").status_code == 200
                go.wait()
                return client.post("/segment", files=[("file", JPEG)] * 16).status_code

        with ThreadPoolExecutor(callers) as pool, httpx.Client(base_url=server.url) as eyes:
            answers = [pool.submit(post, number) for number in range(callers)]
            go.wait()
            # All eight have come: what is at work, this question with it, and what was answered already.
            until(lambda: _begun(eyes.get("/metrics").text) >= callers + 1)
            server.process.send_signal(signal.SIGTERM)
            assert [answer.result() for answer in answers] == [200] * callers


def _begun(text: str) -> float:
    """Return how many requests an exposition has in flight, and of /segment answered."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "striate_requests_in_flight"
        or (sample.name == "striate_requests_total" and sample.labels["route"] == "/segment")
    )
