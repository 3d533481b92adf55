"""The protocol: every connection ends in an answer or in time, and disturbs no other one."""

import asyncio
import contextlib
import gc
import io
import shutil
import signal
import socket
import struct
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from PIL import Image
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.server import ServerState

from service.configuration.settings import Settings
from service.http.connection import Guard
from service.http.limits import ConnectionLimits
from service.http.protocol import GuardedProtocol
from service.routes.direct import DirectRoute, needs
from service.telemetry.metrics import Metrics
from tests.processes import until
from tests.service.wire import (
    BODY_SECONDS,
    CHUNKED,
    CONNECTIONS,
    GET,
    GRACE_SECONDS,
    HEAD_SECONDS,
    IDLE_SECONDS,
    MODELS,
    PNG,
    POST,
    SLACK,
    UPLOAD,
    check_problem,
    connect,
    drain,
    exchange,
    metric,
    numbered,
    read_answer,
    wait_for,
)
from tests.worlds import Server, serving


def test_silent_connection_is_closed(guarded: Server) -> None:
    """A client that connects and says nothing is let go, without a word, in time (A1)."""
    started = time.monotonic()
    assert exchange(guarded) == b""
    assert HEAD_SECONDS <= time.monotonic() - started + 0.01 < HEAD_SECONDS + SLACK


def drip(server: Server, start: bytes, piece: bytes, every: float) -> tuple[bytes, float]:
    """Send a piece each few seconds until there is an answer; return it and when it came."""
    with connect(server) as connection:
        started = time.monotonic()
        connection.sendall(start)
        connection.settimeout(every)
        while time.monotonic() < started + 10:
            try:
                received = connection.recv(65536)
            except TimeoutError:
                if piece:
                    connection.sendall(piece)
                continue
            took = time.monotonic() - started
            connection.settimeout(5)
            return received + drain(connection), took
    raise AssertionError("The server let it drip on.")


@pytest.mark.parametrize("piece", [b"", b"a"], ids=["silence", "drip"])
@pytest.mark.parametrize("start", [b"GET /", b"GET / HTTP/1.1\r\nHost: a\r\nX: "])
def test_slow_heads_time_out(guarded: Server, start: bytes, piece: bytes) -> None:
    """A head that is not complete by its deadline gets 408, however it drips (A2, A3)."""
    received, took = drip(guarded, start, piece, 0.05)
    check_problem(received, 408, "request_timeout")
    assert HEAD_SECONDS <= took + 0.01 < HEAD_SECONDS + SLACK


def test_next_heads_deadline_starts_with_its_first_byte(guarded: Server) -> None:
    """On a kept connection the next head has its whole time, and no more (A2)."""
    with connect(guarded) as connection:
        connection.sendall(GET)
        read_answer(connection)
        time.sleep(HEAD_SECONDS / 2)  # of the time that the first head had
        started = time.monotonic()
        connection.sendall(GET[:-1])
        check_problem(drain(connection), 408, "request_timeout")
    assert HEAD_SECONDS <= time.monotonic() - started + 0.01 < HEAD_SECONDS + SLACK


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (UPLOAD, b""),
        (UPLOAD, b"a"),
        (UPLOAD + PNG[:50], b""),
        (CHUNKED, b""),
        (CHUNKED, b"1\r\na\r\n"),
        (CHUNKED + b"4\r\nab", b""),
        (CHUNKED + b"fff\r\nab", b"a"),
    ],
)
def test_slow_bodies_time_out(guarded: Server, start: bytes, piece: bytes) -> None:
    """A body that never comes, or below the least rate, gets 408 when its grace is over (A4, A5)."""
    before = metric(guarded, "striate_requests_total", route="/classify", status="408")
    received, took = drip(guarded, start, piece, 0.05)
    check_problem(received, 408, "request_timeout")
    assert GRACE_SECONDS <= took + 0.01 < GRACE_SECONDS + SLACK
    assert metric(guarded, "striate_requests_total", route="/classify", status="408") == before + 1


def test_bodies_at_the_least_rate_have_a_deadline_too(guarded: Server) -> None:
    """A body that comes fast enough goes on past its grace, but not past its deadline (A4)."""
    start = POST + b"Content-Length: 1000000\r\n\r\n"
    received, took = drip(guarded, start, b"a" * 3000, 0.05)
    check_problem(received, 408, "request_timeout")
    assert BODY_SECONDS <= took + 0.01 < BODY_SECONDS + SLACK


def test_idle_connection_ends(guarded: Server) -> None:
    """A kept connection is closed without a word when its time is over."""
    with connect(guarded) as connection:
        connection.sendall(GET)
        read_answer(connection)
        started = time.monotonic()
        assert drain(connection) == b""
    assert IDLE_SECONDS <= time.monotonic() - started + 0.01 < IDLE_SECONDS + SLACK


def test_idle_connections_give_way(guarded: Server) -> None:
    """However many clients connect and say nothing, the next request is answered at once (A6, F11, F12)."""
    with contextlib.ExitStack() as stack:
        for _ in range(CONNECTIONS * 2):
            stack.enter_context(connect(guarded))
        started = time.monotonic()
        assert httpx.get(f"{guarded.url}/readyz").status_code == 200
        assert time.monotonic() - started < HEAD_SECONDS


def test_too_many_busy_connections_are_refused(guarded: Server) -> None:
    """Where all connections are at work, one more gets 503 and Retry-After, and later its turn (A6, F12)."""
    time.sleep(HEAD_SECONDS / 4)  # clients of the test before may be leaving; nothing counts connections
    with contextlib.ExitStack() as stack:
        busy = [stack.enter_context(connect(guarded)) for _ in range(CONNECTIONS)]
        for connection in busy:
            connection.sendall(UPLOAD)
        received, until = b"", time.monotonic() + BODY_SECONDS
        while not received and time.monotonic() < until:
            received = exchange(guarded)
        check_problem(received, 503, "too_many_connections")
        for connection in busy:
            connection.sendall(PNG)
        assert {read_answer(connection).status_code for connection in busy} <= {200, 408}
    assert httpx.get(f"{guarded.url}/livez").status_code == 200


def test_client_that_does_not_read_is_cut_off(guarded: Server) -> None:
    """A client that asks on and on and never reads holds its connection for a while, not for ever (F13)."""
    before = metric(guarded, "striate_protocol_errors_total", code="write_timeout")
    request = GET.replace(b"/livez", b"/openapi.json")
    with connect(guarded) as connection:
        connection.sendall(request * 200)
        wait_for(guarded, before + 1, "striate_protocol_errors_total", code="write_timeout")
        # What it did not take is not kept for it either: a reset reaches it, not the rest of the answers.
        with pytest.raises(ConnectionResetError):
            list(iter(lambda: connection.recv(65536), b""))


def descriptors(server: Server) -> int:
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


@pytest.mark.parametrize(
    "data", [b"", GET[:9], UPLOAD, UPLOAD + PNG[:30], GET, UPLOAD + PNG, numbered(0) * 3]
)
def test_reset_connections_leave_nothing(guarded: Server, data: bytes) -> None:
    """Clients that reset their connections, whenever, leave neither work nor descriptors (A22, B22)."""
    with httpx.Client(base_url=guarded.url) as client:
        client.get("/livez")
        before = descriptors(guarded)
        for _ in range(40):
            connection = connect(guarded)
            connection.sendall(data)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
        until(lambda: descriptors(guarded) <= before, seconds=5)
        until(lambda: "striate_requests_in_flight 1.0" in client.get("/metrics").text, seconds=5)


def test_stopped_server_takes_what_came_meanwhile(guarded: Server) -> None:
    """A server that was held up for longer than a deadline blames no client whose bytes lay ready (H12)."""
    with connect(guarded) as connection:
        connection.sendall(GET[:9])
        httpx.get(f"{guarded.url}/livez")
        guarded.process.send_signal(signal.SIGSTOP)
        time.sleep(HEAD_SECONDS + 0.4)  # what is tested is a span of time
        connection.sendall(GET[9:])
        guarded.process.send_signal(signal.SIGCONT)
        assert read_answer(connection).status_code == 200


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that decodes one image at a time, with a model whose answers are pictures."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(MODELS / "nuclei", folder / "nuclei")
    options = {"engine": "openvino", "default_segment": "nuclei", "decode_threads": "1"}
    # A busy machine may take longer than usual; how long is not what is asked here.
    with serving(folder, **options, max_queue="16", deadline_ms="60000") as server:
        yield server
    assert "Traceback" not in "".join(server.log)


def test_clients_who_left_are_not_computed(busy: Server) -> None:
    """A request whose client leaves while it waits ends at once, counts as 499, and is no bug (F6)."""
    buffer = io.BytesIO()
    Image.new("RGB", (4000, 4000)).save(buffer, "PNG")
    large = [("file", buffer.getvalue())] * 8
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(httpx.post, f"{busy.url}/segment", files=large, timeout=60)
        wait_for(busy, 2, "striate_requests_in_flight")
        waiting = connect(busy)
        body = buffer.getvalue()
        start = POST.replace(b"/classify", b"/segment") + b"Content-Length: %d\r\n\r\n" % len(body)
        waiting.sendall(start + body)
        wait_for(busy, 3, "striate_requests_in_flight")
        waiting.close()
        started = time.monotonic()
        wait_for(busy, 1, "striate_requests_total", route="/segment", status="499")
        took = time.monotonic() - started
        assert not first.done()
        assert first.result().status_code == 200
    assert took < 0.1 + SLACK
    assert metric(busy, "striate_images_total", model="nuclei", outcome="ok") == 8
    assert metric(busy, "striate_images_total", model="nuclei", outcome="disconnected") == 1


def test_images_that_missed_their_deadline_are_counted(busy: Server) -> None:
    """Each of a request's images that had no answer when its time passed counts as deadline_exceeded."""
    buffer = io.BytesIO()
    Image.new("RGB", (4000, 4000)).save(buffer, "PNG")
    images = [("file", buffer.getvalue())] * 3
    missed = {"model": "nuclei", "outcome": "deadline_exceeded"}
    before = metric(busy, "striate_images_total", **missed)
    answer = httpx.Response(503)
    while answer.status_code == 503:  # what was given up before is still being decoded
        answer = httpx.post(
            f"{busy.url}/segment", files=images, headers={"X-Request-Timeout-Ms": "20"}, timeout=60
        )
    assert answer.status_code == 504
    assert metric(busy, "striate_images_total", **missed) == before + 3


def test_half_sent_requests_do_not_hold_up_a_stop(digits_dir: Path) -> None:
    """At SIGTERM a complete request is answered, half an upload gets 503, and the process ends soon (H2)."""
    with (
        serving(digits_dir, engine="openvino", default_classify="digits") as server,
        contextlib.ExitStack() as stack,
    ):
        idle, half_head, half_body, late = (stack.enter_context(connect(server)) for _ in range(4))
        for connection in (idle, late):
            connection.sendall(GET)
            read_answer(connection)
        half_head.sendall(GET[:20])
        for connection in (half_body, late):
            connection.sendall(UPLOAD + PNG[:20])
        httpx.get(f"{server.url}/livez")
        started = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        server.read_until("Shutting down")
        late.sendall(PNG[20:])
        answer = read_answer(late)
        assert answer.status_code == 200
        assert answer.headers["connection"] == "close"
        assert drain(idle) == b""
        for connection in (half_head, half_body):
            check_problem(drain(connection), 503, "shutting_down")
        server.process.wait(timeout=10)
        assert time.monotonic() - started < 4
    assert "Traceback" not in "".join(server.log)


async def test_request_that_outlives_a_stop_gets_an_answer() -> None:
    """A request that the server cancels, since its time to stop is over, gets 503 and no bare 500 (H2)."""
    waits, sent = asyncio.Event(), []

    @needs(None)
    async def endpoint(request: Request) -> Response:
        waits.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "state": {}}
    task = asyncio.create_task(DirectRoute("/", endpoint).handle(scope, receive, send))
    await waits.wait()
    task.cancel()
    await task
    assert sent[0]["status"] == 503
    assert b'"code":"shutting_down"' in sent[1]["body"]


async def test_lost_connections_are_forgotten() -> None:
    """A connection that is reset while its next request is awaited is held by no timer (A22)."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await Response()(scope, receive, send)

    made: list[weakref.ref[GuardedProtocol]] = []
    config = Config(app, lifespan="off", log_config=None)
    config.load()
    server_state, guard = ServerState(), Guard(ConnectionLimits.of(Settings()), Metrics())

    lost = asyncio.Event()

    class Noted(GuardedProtocol):
        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            lost.set()

    def make() -> GuardedProtocol:
        protocol = Noted(config, server_state, {"guard": guard})
        made.append(weakref.ref(protocol))
        return protocol

    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(GET)
        await reader.readuntil(b"\r\n\r\n")
        assert len(server_state.connections) == 1
        now = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
        writer.transport.abort()
        await lost.wait()
    gc.collect()
    assert [reference() for reference in made] == [None]
