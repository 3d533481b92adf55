"""HTTP on the wire: deadlines, limits, what smuggling is made of, and that one client's fault is its own."""

import json
import re
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import DEFAULTS
from tests.service.test_app import JPEG
from tests.worlds import Server, serving

LIMITS = {
    "head_seconds": "0.4",
    "body_seconds": "1.2",
    "body_grace_seconds": "0.3",
    "write_seconds": "0.5",
    "keep_alive_seconds": "2",
    "max_connections": "40",
}
GET = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /classify HTTP/1.1\r\nHost: a\r\nContent-Type: image/jpeg\r\n"


@pytest.fixture(scope="module")
def strict(models_dir: Path) -> Iterator[Server]:
    """A server with deadlines of fractions of a second."""
    with serving(models_dir, engine="openvino", **LIMITS, **DEFAULTS) as server:
        yield server


def connect(server: Server) -> socket.socket:
    parts = urlsplit(server.url)
    return socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10)


def read_all(client: socket.socket) -> bytes:
    """Read until the server closes."""
    data = b""
    try:
        while piece := client.recv(65536):
            data += piece
    except ConnectionResetError:
        pass
    return data


def converse(server: Server, *pieces: bytes, pause: float = 0.0) -> bytes:
    """Send pieces and read to the end; the server has to end it."""
    with connect(server) as client:
        try:
            for piece in pieces:
                client.sendall(piece)
                if pause:
                    time.sleep(pause)  # a slow client is what is tested
        except OSError:
            pass  # refused while we were still sending
        return read_all(client)


def refused(answer: bytes, status: int, code: str) -> None:
    """Check that the only answer is this problem, whole, safe and closing."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), answer[:300]
    fields = {
        name.lower(): value for name, _, value in (line.partition(b": ") for line in head.split(b"\r\n")[1:])
    }
    assert fields[b"content-type"] == b"application/problem+json"
    assert int(fields[b"content-length"]) == len(body) < 2048
    assert fields[b"connection"] == b"close"
    assert fields[b"x-content-type-options"] == b"nosniff"
    assert fields[b"cache-control"] == b"no-store"
    problem = json.loads(body)
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["request_id"] == fields[b"x-request-id"].decode()


def statuses(answer: bytes) -> list[int]:
    return [int(found) for found in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


# ---- deadlines


def test_silence_is_ended(strict: Server) -> None:
    """(A1) A connection on which nothing comes is closed at the head's deadline."""
    started = time.monotonic()
    refused(converse(strict), 408, "request_timeout")
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("begin", [b"GET /livez HT", b"GET /livez HTTP/1.1\r\nHost: a\r\nX-A: "])
def test_half_a_head_is_ended(strict: Server, begin: bytes) -> None:
    """(A2) A head that stops in the middle."""
    refused(converse(strict, begin), 408, "request_timeout")


def test_a_dripping_head_is_ended(strict: Server) -> None:
    """(A3) A byte now and then does not move the head's deadline."""
    started = time.monotonic()
    refused(converse(strict, *([b"G"] + [bytes([c]) for c in GET[1:25]]), pause=0.05), 408, "request_timeout")
    assert time.monotonic() - started < 3


def test_a_dripping_head_after_a_request_is_ended(strict: Server) -> None:
    """(A3) The same for a later request on the connection."""
    answer = converse(strict, GET + b"GET /li", pause=0.1)
    assert statuses(answer) == [200, 408]


def test_a_promised_body_is_not_waited_for(strict: Server) -> None:
    """(A5) A body that never comes."""
    refused(converse(strict, POST + b"Content-Length: 1000\r\n\r\n"), 408, "request_timeout")


def test_a_dripping_body_is_ended(strict: Server) -> None:
    """(A4) A body that comes at less than the least rate, whether of a known length or in chunks."""
    started = time.monotonic()
    pieces = [POST + b"Content-Length: 1000\r\n\r\n"] + [b"x"] * 30
    refused(converse(strict, *pieces, pause=0.05), 408, "request_timeout")
    pieces = [POST + b"Transfer-Encoding: chunked\r\n\r\n"] + [b"1\r\nx\r\n"] * 30
    refused(converse(strict, *pieces, pause=0.05), 408, "request_timeout")
    assert time.monotonic() - started < 6


def test_an_idle_connection_is_kept_and_then_closed(strict: Server) -> None:
    """Between requests a connection may be idle for longer than a head may take, and no longer than that."""
    with connect(strict) as client:
        for _ in range(2):
            client.sendall(GET)
            answer = b""
            while not answer.endswith(b"}"):
                answer += client.recv(65536)
            assert statuses(answer) == [200]
            time.sleep(0.8)  # idle for twice the head's deadline
        assert read_all(client) == b""


def test_a_client_that_does_not_read_is_dropped(strict: Server) -> None:
    """(F13) Requests are sent and no answer is read: the connection ends."""
    with connect(strict) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        asks = (b"GET /openapi.json HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 8000 + b"\r\n\r\n") * 5000
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            client.sendall(asks)


# ---- limits


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (b"GET /livez HTTP/1.1\r\nHost: a\r\nX: " + b"b" * 10**6 + b"\r\n\r\n", 431, "head_too_large"),
        (b"GET /livez HTTP/1.1\r\nHost: a\r\n" + b"X: b\r\n" * 20_000 + b"\r\n", 431, "head_too_large"),
        (b"GET /livez HTTP/1.1\r\nHost: a\r\n" + b"X: b\r\n" * 100 + b"\r\n", 431, "head_too_large"),
        (b"GET /livez HTTP/1.1\r\nHost: a\r\nX: " + b"b" * 10**7, 431, "head_too_large"),
        (b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, "target_too_long"),
        (b"GET /livez?" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, "target_too_long"),
    ],
    ids=["A7", "A8", "A8-101", "A9", "A10", "A10-query"],
)
def test_heads_are_limited(strict: Server, request_: bytes, status: int, code: str) -> None:
    """(A7-A10) Heads of too many bytes or fields, and targets that are too long."""
    refused(converse(strict, request_), status, code)


def test_heads_at_the_limit_pass(strict: Server) -> None:
    """(F17) 100 fields, and a head and a target of just as many bytes as allowed."""
    fields = b"".join(b"X%d: b\r\n" % number for number in range(98))
    ask = b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + fields + b"\r\n"
    assert statuses(converse(strict, ask)) == [200]
    target = b"/livez?" + b"a" * (8192 - 7)
    ask = b"GET " + target + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    assert statuses(converse(strict, ask)) == [422 if b"x" in target else 200]
    ask = b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: "
    assert statuses(converse(strict, ask + b"b" * (16_384 - len(ask) - 4) + b"\r\n\r\n")) == [200]


def test_connections_are_limited(strict: Server) -> None:
    """(A6, F12) One connection more than allowed gets a 503; when one has left, the next is answered."""
    crowd = [connect(strict) for _ in range(40)]
    with connect(strict) as one_more:
        answer = read_all(one_more)
    for each in crowd:
        each.close()
    refused(answer, 503, "too_many_connections")
    assert b"retry-after: " in answer.lower()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{strict.url}/livez").status_code == 200:
                return
        except httpx.TransportError:
            pass
    raise AssertionError("the connections that have left still count")


def test_a_large_upload_is_refused_unread(strict: Server) -> None:
    """(A21, B1) With Expect: 100-continue a body that is too large gets its 413 and never a 100."""
    answer = b""
    with connect(strict) as client:
        client.sendall(POST + b"Expect: 100-continue\r\nContent-Length: 99999999\r\n\r\n")
        answer = client.recv(65536)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"100 Continue" not in answer


# ---- what two readers could take for two different requests

CHUNKED = b"Transfer-Encoding: chunked\r\n"
SMUGGLING = {
    "A11 length and chunks": (
        POST + b"Content-Length: 5\r\n" + CHUNKED + b"\r\n0\r\n\r\nGET",
        400,
    ),
    "A11 chunks and length": (
        POST + CHUNKED + b"Content-Length: 5\r\n\r\n0\r\n\r\n",
        400,
    ),
    "A12 two lengths": (POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400),
    "A13 negative length": (POST + b"Content-Length: -1\r\n\r\n", 400),
    "A13 no number": (POST + b"Content-Length: five\r\n\r\n", 400),
    "A13 twenty digits": (POST + b"Content-Length: 99999999999999999999\r\n\r\n", 400),
    "A14 gzip, chunked": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    "A14 chunked, identity": (POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
    "A14 two codings": (
        POST + CHUNKED + CHUNKED + b"\r\n0\r\n\r\n",
        400,
    ),
    "A15 bad chunk size": (POST + CHUNKED + b"\r\nzz\r\nhello\r\n0\r\n\r\n", 400),
    "A15 bad chunk end": (POST + CHUNKED + b"\r\n5\r\nhelloXX0\r\n\r\n", 400),
    "A16 bare line feeds": (b"GET /livez HTTP/1.1\nHost: a\n\n", 400),
    "A17 no host": (b"GET /livez HTTP/1.1\r\n\r\n", 400),
    "A17 two hosts": (b"GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "A17 a path as host": (b"GET /livez HTTP/1.1\r\nHost: evil/..?\r\n\r\n", 400),
    "A18 a zero byte": (b"GET /livez HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 400),
    "A18 space before colon": (b"GET /livez HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n", 400),
    "A18 folded": (b"GET /livez HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", 400),
    "A19 TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x55" * 200, 400),
    "A19 garbage": (b"\xff\xfe\x00garbage\r\n\r\n", 400),
    "A20 unknown method": (b"BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "A20 TRACE": (b"TRACE /livez HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    "A20 CONNECT": (b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    "chunks in HTTP/1.0": (
        POST.replace(b"1.1", b"1.0") + CHUNKED + b"\r\n0\r\n\r\n",
        400,
    ),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
}


@pytest.mark.parametrize("name", SMUGGLING)
def test_what_smuggles_is_refused(strict: Server, name: str) -> None:
    """(A11-A20, C) Refused with one problem, and the connection ends: nothing behind it is ever answered."""
    request, status = SMUGGLING[name]
    answer = converse(strict, request + GET)
    refused(answer, status, {400: "malformed_request", 501: "not_implemented"}[status])
    assert statuses(answer) == [status]


def test_absolute_targets_are_read_by_their_path(strict: Server) -> None:
    """(C) `GET http://elsewhere/livez` is a request for /livez here (RFC 9112, section 3.2.2)."""
    ask = b"GET http://elsewhere/livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    assert statuses(converse(strict, ask)) == [200]


def test_pipelined_requests_are_answered_in_order(strict: Server) -> None:
    """(A23) Three at once: three answers, in order, each with its own id."""
    ask = b"".join(
        b"GET %s HTTP/1.1\r\nHost: a\r\nX-Request-ID: r%d\r\n\r\n" % (path, number)
        for number, path in enumerate((b"/livez", b"/nothing", b"/readyz"))
    )
    with connect(strict) as client:
        client.sendall(ask)
        answer = b""
        while len(statuses(answer)) < 3 or b"r2" not in answer:
            answer += client.recv(65536)
    assert statuses(answer) == [200, 404, 200]
    assert re.findall(rb"x-request-id: (\S+)", answer) == [b"r0", b"r1", b"r2"]


def test_a_bad_request_does_not_answer_for_the_one_before(strict: Server) -> None:
    """(A23) Garbage behind a good request: the good one gets its own answer, and then the connection ends."""
    ask = POST + b"Content-Length: %d\r\n\r\n" % len(JPEG) + JPEG + b"\0garbage\r\n\r\n"
    answer = converse(strict, ask)
    assert statuses(answer)[0] == 200
    assert set(statuses(answer)[1:]) <= {400}


# ---- one client's fault is its own


def test_who_leaves_is_counted_and_gone(strict: Server) -> None:
    """(A22, F6) Clients that reset the connection amid a request: no 5xx, and no connection stays open."""
    for _ in range(50):
        client = connect(strict)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.sendall(POST + b"Content-Length: %d\r\n\r\n" % len(JPEG) + JPEG)
        client.close()
    with httpx.Client(base_url=strict.url, timeout=10) as http:
        deadline = time.monotonic() + 5
        text = ""
        while time.monotonic() < deadline and "striate_requests_in_flight 1.0" not in text:
            text = http.get("/metrics").text
    assert "striate_requests_in_flight 1.0" in text
    assert 'status="500"' not in text
    assert not [line for line in strict.log if "Traceback" in line]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_mutated_requests_end(strict: Server, data: st.DataObject) -> None:
    """Requests with bytes changed, cut out or doubled: an answer without 5xx (but 501), or the end; and the
    neighbour on another connection is answered all the while.
    """
    last = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    whole = bytearray(POST + b"Content-Length: 5\r\n\r\nhello" + last)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(whole) - 1))
        match data.draw(st.integers(0, 2)):
            case 0:
                whole[place] = data.draw(st.integers(0, 255))
            case 1:
                del whole[place : place + data.draw(st.integers(1, 9))]
            case _:
                whole[place:place] = whole[place : place + data.draw(st.integers(1, 40))]
        if not whole:
            break
    answer = converse(strict, bytes(whole))
    assert all(status < 500 or status == 501 for status in statuses(answer))
    assert httpx.get(f"{strict.url}/livez").status_code == 200


def test_a_half_sent_upload_does_not_hold_up_the_end(models_dir: Path) -> None:
    """(H2) At SIGTERM a request whose body has not come is answered 503 and the process ends, without a word
    of a traceback.
    """
    with serving(models_dir, engine="openvino", **DEFAULTS) as server, connect(server) as client:
        client.sendall(POST + b"Content-Length: 1000\r\n\r\nhalf")
        while "striate_requests_in_flight 2.0" not in httpx.get(f"{server.url}/metrics").text:
            pass
        started = time.monotonic()
        server.process.terminate()
        refused(read_all(client), 503, "stopping")
        server.process.wait(10)
        assert time.monotonic() - started < 5
    assert not [line for line in server.log if "Traceback" in line or "Exception" in line]
