"""The connection: bytes become requests of one clear meaning, within bounds, or an error."""

import contextlib
import re
import socket
import time
from collections.abc import Iterator

import httpx
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.configuration.settings import Settings
from tests.service.wire import (
    CHUNKED,
    GET,
    HEAD_SECONDS,
    LAST,
    PNG,
    POST,
    SLACK,
    UPLOAD,
    ask,
    check_problem,
    connect,
    drain,
    exchange,
    metric,
    numbered,
    read_answer,
    statuses,
    wait_for,
)
from tests.worlds import Server


def head(*lines: bytes, start: bytes = b"GET /livez HTTP/1.1") -> bytes:
    return b"\r\n".join((start, b"X: marker", *lines, b"", b""))


HOST = b"Host: a"
BAD_HEADS = {
    "two lengths of a body (A11)": (head(HOST, b"Content-Length: 3", b"Transfer-Encoding: chunked"), 400),
    "the same, the other way round (A11)": (
        head(HOST, b"Transfer-Encoding: chunked", b"Content-Length: 3"),
        400,
    ),
    "different lengths (A12)": (head(HOST, b"Content-Length: 3", b"Content-Length: 4"), 400),
    "the same length twice (A12)": (head(HOST, b"Content-Length: 3", b"Content-Length: 3"), 400),
    "a list of lengths (A12)": (head(HOST, b"Content-Length: 3, 3"), 400),
    "a negative length (A13)": (head(HOST, b"Content-Length: -1"), 400),
    "a length with a sign (A13)": (head(HOST, b"Content-Length: +1"), 400),
    "a hexadecimal length (A13)": (head(HOST, b"Content-Length: 0x10"), 400),
    "a length of 20 digits (A13)": (head(HOST, b"Content-Length: 99999999999999999999"), 400),
    "no length (A13)": (head(HOST, b"Content-Length:"), 400),
    "a coding before chunked (A14)": (head(HOST, b"Transfer-Encoding: gzip, chunked"), 501),
    "the same in two headers (A14)": (
        head(HOST, b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked"),
        501,
    ),
    "a coding after chunked (A14)": (head(HOST, b"Transfer-Encoding: chunked, identity"), 400),
    "chunked twice (A14)": (head(HOST, b"Transfer-Encoding: chunked, chunked"), 400),
    "an unknown coding (A14)": (head(HOST, b"Transfer-Encoding: xchunked"), 501),
    "a coding in HTTP/1.0 (A14)": (
        head(b"Transfer-Encoding: chunked", start=b"POST /classify HTTP/1.0"),
        400,
    ),
    "bare line feeds (A16)": (b"GET /livez HTTP/1.1\nHost: a\nX: marker\n\n", 400),
    "bare carriage returns (A16)": (b"GET /livez HTTP/1.1\rHost: a\rX: marker\r\r", 400),
    "no Host (A17)": (head(), 400),
    "two Hosts (A17)": (head(HOST, HOST), 400),
    "an empty Host (A17)": (head(b"Host:"), 400),
    "a Host with a path (A17)": (head(b"Host: evil/..?"), 400),
    "a Host with user information (A17)": (head(b"Host: me@evil"), 400),
    "NUL in a header (A18)": (head(HOST, b"Y: a\0b"), 400),
    "a space before the colon (A18)": (head(b"Host : a"), 400),
    "a folded header (A18)": (head(HOST, b"Y: a", b" b"), 400),
    "a header without a name (A18)": (head(HOST, b": a"), 400),
    "TLS (A19)": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03marker", 400),
    "garbage (A19)": (bytes(range(256)) + b"marker", 400),
    "an SSH client (A19)": (b"SSH-2.0-OpenSSH_9.2 marker\r\n", 400),
    "HTTP/2 with prior knowledge (A19)": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nmarker", 400),
    "CONNECT (A20)": (head(HOST, start=b"CONNECT a:443 HTTP/1.1"), 501),
    "an unknown method (A20)": (head(HOST, start=b"BREW /livez HTTP/1.1"), 501),
    "a method of another protocol (A20)": (head(HOST, start=b"PROPFIND /livez HTTP/1.1"), 501),
    "a method in small letters (A20)": (head(HOST, start=b"get /livez HTTP/1.1"), 501),
    "HTTP/0.9": (b"GET /marker\r\n\r\n", 400),
    "HTTP/2.0 in the request line": (head(HOST, start=b"GET /livez HTTP/2.0"), 400),
    "an unknown version": (head(HOST, start=b"GET /livez HTTP/1.2"), 400),
    "an address that is none": (head(HOST, start=b"GET livez HTTP/1.1"), 400),
    "an address of another scheme": (head(HOST, start=b"GET ftp://a/livez HTTP/1.1"), 400),
    "an address without a path": (head(HOST, start=b"GET http://a HTTP/1.1"), 400),
    "an asterisk": (head(HOST, start=b"GET * HTTP/1.1"), 400),
    "an address with a fragment": (head(HOST, start=b"GET /livez#a HTTP/1.1"), 400),
    "an address that is not ASCII": (head(HOST, start=b"GET /\xc3\xa4 HTTP/1.1"), 400),
}


@pytest.mark.parametrize("case", BAD_HEADS)
@pytest.mark.parametrize("cut", [False, True], ids=["whole", "in bytes"])
def test_bad_heads_are_refused(guarded: Server, case: str, cut: bool) -> None:
    """Table C and A11-A14, A16-A20: what has no one meaning is refused, and nothing behind it is read."""
    data, status = BAD_HEADS[case]
    codes = {400: {"malformed_request"}, 501: {"method_not_implemented", "transfer_coding_not_implemented"}}
    sent = [bytes([byte]) for byte in data] if cut else [data]
    received = exchange(guarded, *sent, GET)
    if cut and "method" in case:
        # Cut into bytes, a method is refused before it can be told from garbage.
        status = statuses(received)[0]
    code = str(orjson.loads(received.partition(b"\r\n\r\n")[2])["code"])
    assert code in codes[status]
    check_problem(received, status, code)


BAD_BODIES = {
    "a bad size": b"marker\r\n",
    "a bad end of a chunk": b"3\r\nabcXX",
    "bare line feeds": b"3\nabc\n0\n\n",
    "a size beyond counting": b"ffffffffffffffffff\r\n",
    "a negative size": b"-1\r\n",
    "an endless size": b"0" * 100_000,
    "an endless extension": b"3;" + b"x" * 1_000_000,
    "endless trailers": b"3\r\nabc\r\n0\r\n" + b"X: marker\r\n" * 100_000,
    "chunks of one byte": b"1\r\nx\r\n" * 10_000,
}


@pytest.mark.parametrize("case", BAD_BODIES)
def test_bad_chunks_are_refused(guarded: Server, case: str) -> None:
    """Malformed chunks, and chunks that are mostly not body, end in 400 and are not buffered (A15)."""
    check_problem(exchange(guarded, CHUNKED + BAD_BODIES[case]), 400, "malformed_request")


GOOD = {
    "a plain request": GET,
    "an absolute address": head(HOST, start=b"GET http://evil/livez HTTP/1.1"),
    "leading empty lines": b"\r\n\r\n" + GET,
    "a Host with a port": head(b"Host: [::1]:8000"),
    "HTTP/1.0 without a Host": head(start=b"GET /livez HTTP/1.0"),
    "a websocket handshake": head(
        HOST, b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Key: AAAA"
    ),
    "an unknown expectation": head(HOST, b"Expect: a miracle"),
    "a kept HTTP/2 wish": head(
        HOST, b"Connection: keep-alive, Upgrade", b"Upgrade: h2c", b"HTTP2-Settings: AA"
    ),
}


@pytest.mark.parametrize("case", GOOD)
@pytest.mark.parametrize("cut", [False, True], ids=["whole", "in bytes"])
def test_good_heads_are_answered(guarded: Server, case: str, cut: bool) -> None:
    """What is well-formed is answered, whatever it also wishes for, and however it is cut."""
    sent = [bytes([byte]) for byte in GOOD[case]] if cut else [GOOD[case]]
    assert ask(guarded, *sent).status_code == 200


@pytest.mark.parametrize("cut", [1, 7, 100, 10_000])
def test_upgrade_keeps_its_body_and_what_follows(guarded: Server, cut: int) -> None:
    """A post that wishes for HTTP/2, as curl --http2 sends it, is answered, and so is the request behind."""
    wish = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    data = POST + wish + b"Content-Length: %d\r\n\r\n" % len(PNG) + PNG + LAST
    received = exchange(guarded, *(data[start : start + cut] for start in range(0, len(data), cut)))
    assert statuses(received) == [200, 200]
    assert b'"model":{"name":"digits"' in received


@pytest.mark.parametrize("method", ["TRACE", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods_are_told_which_are_taken(guarded: Server, method: str) -> None:
    """A method that an address does not take gets 405 and Allow (A20)."""
    answer = httpx.request(method, f"{guarded.url}/livez")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD"
    assert answer.json()["code"] == "method_not_allowed"


def padded(size: int) -> bytes:
    """Return a head of just so many bytes."""
    start = b"GET /livez HTTP/1.1\r\nHost: a\r\nX: "
    return start + b"x" * (size - len(start) - 4) + b"\r\n\r\n"


DEFAULTS = Settings.model_fields
LIMIT_HEAD, LIMIT_HEADERS, LIMIT_TARGET = (
    int(DEFAULTS[name].default) for name in ("max_head_bytes", "max_headers", "max_target_bytes")
)


@pytest.mark.parametrize("cut", [1_000_000, 1460, 100])
def test_limits_of_heads_hold_at_the_byte(guarded: Server, cut: int) -> None:
    """A head at a limit is taken and one above it is refused, however it is cut (F17, A7, A8, A10)."""

    def answer(data: bytes) -> int:
        pieces = [data[start : start + cut] for start in range(0, len(data), cut)]
        return ask(guarded, *pieces).status_code

    headers = b"".join(b"X%d: a\r\n" % number for number in range(LIMIT_HEADERS - 1))
    start = b"GET /livez HTTP/1.1\r\nHost: a\r\n"
    assert answer(padded(LIMIT_HEAD)) == 200
    assert answer(padded(LIMIT_HEAD + 100)) == 431
    assert answer(start + headers + b"\r\n") == 200
    assert answer(start + headers + b"Y: a\r\n\r\n") == 431
    for extra, status in ((0, 404), (1, 414)):
        target = b"/" + b"a" * (LIMIT_TARGET - 1 + extra)
        assert answer(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target) == status


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"GET / HTTP/1.1\r\nX: " + b"marker" * 200_000, 431, "head_too_large"),
        (b"GET / HTTP/1.1\r\n" + b"a:b\r\n" * 200_000, 431, "headers_too_many"),
        (b"GET /" + b"marker" * 40_000, 414, "target_too_long"),
        (b"\r\n" * 500_000, 431, "head_too_large"),
    ],
    ids=["header", "headers", "target", "empty lines"],
)
def test_endless_heads_are_cut_off(guarded: Server, data: bytes, status: int, code: str) -> None:
    """A head without end is refused after as many bytes as a head may have, and cheaply (A7-A10)."""
    started = time.monotonic()
    check_problem(exchange(guarded, data), status, code)
    assert time.monotonic() - started < HEAD_SECONDS


def test_declared_too_large_is_refused_unread(guarded: Server) -> None:
    """A body declared too large gets 413 at once: no 100 Continue is sent, no byte of it read (A21, B1)."""
    declared = POST + b"Content-Length: 999999999\r\n"
    with connect(guarded) as connection:
        connection.sendall(declared + b"\r\n")
        answer = read_answer(connection)
    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
    received = exchange(guarded, declared + b"Expect: 100-continue\r\n\r\n")
    assert statuses(received) == [413]
    assert b"\r\nconnection: close\r\n" in received


def test_expected_continue_is_sent(guarded: Server) -> None:
    """A client that waits for 100 Continue gets it, then its answer, and may go on (A21)."""
    with connect(guarded) as connection:
        connection.sendall(POST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(PNG))
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(PNG)
        assert read_answer(connection).status_code == 200
        connection.sendall(GET)
        assert read_answer(connection).status_code == 200


def test_no_continue_follows_a_refusal(guarded: Server) -> None:
    """Who expects a 100 and is wrong from the first chunk gets a 400 and nothing more; the handler, which was
    about to ask for the body, ends without a bug (A15, A21).
    """
    name, route = "striate_requests_total", "/classify"
    bugs, refused = (metric(guarded, name, route=route, status=status) for status in ("500", "400"))
    wrong = POST + b"Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
    check_problem(exchange(guarded, wrong), 400, "malformed_request")
    wait_for(guarded, refused + 1, name, route=route, status="400")
    assert metric(guarded, name, route=route, status="500") == bugs


@pytest.mark.parametrize("client", ["httpx", "http.client"])
def test_too_large_is_readable_by_clients(guarded: Server, client: str) -> None:
    """A client that sends 40 MB regardless can read why they are not taken (B1)."""
    import http.client

    body = bytes(40 * 2**20)
    headers = {"Content-Type": "image/png"}
    if client == "httpx":
        assert httpx.post(f"{guarded.url}/classify", content=body, headers=headers).status_code == 413
        return
    url = httpx.URL(guarded.url)
    connection = http.client.HTTPConnection(url.host, url.port)
    connection.request("POST", "/classify", body, headers)
    assert connection.getresponse().status == 413
    connection.close()


@pytest.mark.parametrize("form", ["image/png", "multipart/form-data; boundary=B", "application/json"])
def test_chunked_too_large_is_refused_on_the_way(guarded: Server, form: str) -> None:
    """A body without a length is read no further than the limit, in each form (B2, B3)."""
    start = CHUNKED.replace(b"image/png", form.encode())
    with connect(guarded) as connection:
        connection.sendall(start)
        chunk = b"%x\r\n" % 2**20 + bytes(2**20) + b"\r\n"
        for _ in range(28):
            connection.sendall(chunk)
        answer = read_answer(connection)
    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")


def test_bodies_in_single_bytes_are_taken(guarded: Server) -> None:
    """A body with its length is taken in however many packets it comes."""
    body = bytes(4000)
    with connect(guarded) as connection:
        connection.sendall(POST + b"Content-Length: %d\r\n\r\n" % len(body))
        for byte in body:
            connection.send(bytes([byte]))
        assert read_answer(connection).json()["code"] == "not_an_image"


def test_trailers_are_not_headers(guarded: Server) -> None:
    """What a client sends behind a chunked body does not become a header of its request."""
    data = CHUNKED + b"%x\r\n%b\r\n0\r\nX-Request-ID: marker\r\n\r\n" % (len(PNG), PNG)
    with connect(guarded) as connection:
        connection.sendall(data)
        answer = read_answer(connection)
    assert answer.status_code == 200
    assert answer.headers["x-request-id"] != "marker"


@pytest.mark.parametrize("cut", [1_000_000, 1000, 33])
def test_pipelined_requests_are_answered_in_order(guarded: Server, cut: int) -> None:
    """Requests that are sent without waiting are answered in their order, each with its own id (A23)."""
    data = b"".join(map(numbered, range(300))) + LAST
    pieces = [data[start : start + cut] for start in range(0, len(data), cut)]
    received = exchange(guarded, *pieces, GET)
    assert statuses(received) == [200] * 301
    assert re.findall(rb"x-request-id: n(\d+)", received) == [b"%d" % number for number in range(300)]


def test_error_behind_pipelined_requests_comes_last(guarded: Server) -> None:
    """What cannot be read is answered after all that came before it (A23)."""
    received = exchange(guarded, numbered(0) + numbered(1) + b"GET / HTTP/1.1\r\n\r\n" + GET)
    assert statuses(received) == [200, 200, 400]
    assert received.index(b"x-request-id: n0") < received.index(b"x-request-id: n1")


def test_half_a_body_behind_a_pipelined_request_times_out(guarded: Server) -> None:
    """An incomplete second request does not touch the first one's answer (A23, A5)."""
    assert statuses(exchange(guarded, numbered(0) + UPLOAD)) == [200, 408]


def test_compressed_body_is_unsupported(guarded: Server) -> None:
    """A Content-Encoding is refused on the wire too (B15)."""
    answer = httpx.post(
        f"{guarded.url}/classify",
        content=PNG,
        headers={"Content-Type": "image/png", "Content-Encoding": "gzip"},
    )
    assert answer.status_code == 415


INSERTED = (b"\r\n", b"\n", b"\0", b":", b"Host: b\r\n", b"\r\n\r\n", b"0")
SEEDS = [GET, UPLOAD + PNG, CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(PNG), PNG), numbered(0) + numbered(1)]


@st.composite
def mutations(draw: st.DrawFn) -> list[bytes]:
    """Draw requests with bytes changed, cut out, doubled or put in, cut into pieces."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(["flip", "cut", "double", "insert", "end"])):
            case "flip" if at < len(data):
                data[at] = draw(st.integers(0, 255))
            case "cut":
                del data[at : at + draw(st.integers(1, 20))]
            case "double":
                data[at:at] = data[at : at + draw(st.integers(1, 40))]
            case "insert":
                data[at:at] = draw(
                    st.sampled_from([b"\r\n", b"\n", b"\0", b":", b"Host: b\r\n", b"\r\n\r\n", b"0"])
                )
            case _:
                del data[at:]
    size = draw(st.integers(10, 400))
    return [bytes(data[start : start + size]) for start in range(0, len(data), size)]


@pytest.fixture(scope="module")
def neighbour(guarded: Server) -> Iterator[httpx.Client]:
    """Another client of the server, with a connection of its own."""
    with httpx.Client(base_url=guarded.url) as client:
        yield client


@given(pieces=mutations())
@settings(max_examples=500, deadline=None)
def test_mutated_requests_end_and_harm_nobody(
    guarded: Server, neighbour: httpx.Client, pieces: list[bytes]
) -> None:
    """Whatever comes in ends in time, never in a 500, and a neighbour notices nothing."""
    with connect(guarded) as connection:
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                connection.sendall(piece)
            connection.shutdown(socket.SHUT_WR)
        received = drain(connection)
    assert not [status for status in statuses(received) if status >= 500 and status not in {501, 503}]
    started = time.monotonic()
    assert neighbour.get("/livez").status_code == 200
    assert time.monotonic() - started < SLACK
