"""Raw sockets against a server: what no HTTP client would send, and what comes back."""

import contextlib
import re
import socket
from pathlib import Path

import httpx
import orjson
from prometheus_client.parser import text_string_to_metric_families

from tests.processes import until
from tests.worlds import Server
from training import golden

MODELS = Path(__file__).parents[2] / "models"
PNG = golden.samples("digits", seed=5)[0].data
GET = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
POST = b"POST /classify HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\n"
UPLOAD = POST + b"Content-Length: %d\r\n\r\n" % len(PNG)
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"

HEAD_SECONDS, GRACE_SECONDS, BODY_SECONDS, WRITE_SECONDS, IDLE_SECONDS = 0.4, 0.4, 1.2, 0.5, 0.5
"""The deadlines of the fixture `guarded`; those of the defaults are ten and more times as long."""

CONNECTIONS = 50
"""Its most connections."""

SLACK = 1.0
"""Seconds that a busy machine may take above a deadline."""


def connect(server: Server) -> socket.socket:
    """Open a connection on which nothing waits longer than 10 seconds."""
    url = httpx.URL(server.url)
    connection = socket.create_connection((url.host, url.port or 80), timeout=10)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def drain(connection: socket.socket) -> bytes:
    """Read up to the end, however it comes."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while data := connection.recv(65536):
            received += data
    return received


def exchange(server: Server, *pieces: bytes) -> bytes:
    """Send these and read up to the end of the connection."""
    with connect(server) as connection:
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                connection.sendall(piece)
        return drain(connection)


def statuses(received: bytes) -> list[int]:
    return [int(found) for found in re.findall(rb"HTTP/1\.1 (\d{3}) [A-Z]", received)]


def parse(received: bytes) -> httpx.Response:
    """Parse one answer."""
    head, _, body = received.partition(b"\r\n\r\n")
    lines = [line.partition(b": ") for line in head.split(b"\r\n")[1:]]
    return httpx.Response(
        statuses(head)[0], headers=[(name, value) for name, _, value in lines], content=body
    )


def read_answer(connection: socket.socket) -> httpx.Response:
    """Read one answer that has a Content-Length from an open connection."""
    received = b""
    while b"\r\n\r\n" not in received:
        data = connection.recv(65536)
        assert data, received
        received += data
    found = re.search(rb"content-length: (\d+)", received)
    assert found, received
    size = received.index(b"\r\n\r\n") + 4 + int(found[1])
    while len(received) < size:
        received += connection.recv(65536)
    return parse(received)


def ask(server: Server, *pieces: bytes) -> httpx.Response:
    """Send these and read one answer."""
    with connect(server) as connection:
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                connection.sendall(piece)
        return read_answer(connection)


def check_problem(received: bytes, status: int, code: str) -> None:
    """Check that this is one problem document, made as the app makes its own, and nothing else."""
    assert statuses(received) == [status], received[:200]
    answer = parse(received)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["connection"] == "close"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert ("retry-after" in answer.headers) == (status == 503)
    problem = orjson.loads(answer.content)
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert problem["title"]
    assert problem["detail"]
    assert len(received) < 1024
    assert b"marker" not in received


_EYES = httpx.Client(limits=httpx.Limits(max_keepalive_connections=0))
"""Leaves no connection open; to make a client takes 30 ms of computing, too much where one waits."""


def metric(server: Server, name: str, **labels: str) -> float:
    """Return a value of /metrics, 0 where there is none."""
    text = _EYES.get(f"{server.url}/metrics").text
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def wait_for(server: Server, least: float, name: str, **labels: str) -> None:
    """Return when a metric has come to a value; at most 5 seconds."""
    until(lambda: metric(server, name, **labels) >= least, seconds=5)


def numbered(number: int) -> bytes:
    """Return a request with an id of its own; each third is an upload."""
    if number % 3:
        return GET.replace(b"\r\n\r\n", b"\r\nX-Request-ID: n%d\r\n\r\n" % number)
    return UPLOAD.replace(b"\r\n\r\n", b"\r\nX-Request-ID: n%d\r\n\r\n" % number) + PNG
