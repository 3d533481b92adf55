"""HTTP/1.1 with prebuilt requests over kept connections: some 50 microseconds of client per request."""

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, cast
from urllib.parse import urlsplit

import httptools
import uvloop

from benchmarks.torture.ledger import Entry, Ledger

FRESH_SECONDS = 2.0
"""A connection that has been idle longer may be closed by the server while a request is on its way."""


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a trial's client on a fast event loop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def post(target: str, body: bytes, content_type: str, *headers: str) -> bytes:
    """Build a POST."""
    extra = "".join(f"{header}\r\n" for header in headers)
    head = (
        f"POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\n{extra}"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def get(target: str) -> bytes:
    """Build a GET."""
    return f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


@dataclass(slots=True)
class Reply:
    """A whole answer."""

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)


class Line(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._waiting: asyncio.Future[Reply] | None = None
        self._reply = Reply()
        self._idle_since = time.perf_counter()
        self.closed = False

    @property
    def fresh(self) -> bool:
        """Whether another request may go over it."""
        idle = time.perf_counter() - self._idle_since
        return not self.closed and idle < FRESH_SECONDS and self._waiting is None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # uvloop's is no asyncio.Transport, but does all that one does.
        self._transport = cast("asyncio.Transport", transport)

    def send(self, request: bytes) -> "asyncio.Future[Reply]":
        """Send a request; the future has the reply, or ConnectionResetError."""
        self._reply = Reply()
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._waiting

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.abort()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header."""
        self._reply.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """Keep the status."""
        self._reply.status = self._parser.get_status_code()

    def on_body(self, data: bytes) -> None:
        """Keep a piece of the body."""
        self._reply.body += data

    def on_message_complete(self) -> None:
        """Hand the reply over."""
        if not self._parser.should_keep_alive():
            self.close()
        waiting, self._waiting = self._waiting, None
        self._idle_since = time.perf_counter()
        if waiting is not None and not waiting.done():
            waiting.set_result(self._reply)

    def connection_lost(self, error: Exception | None) -> None:
        """Tell who still waits."""
        self.closed = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionResetError())

    def close(self) -> None:
        """Hang up."""
        self.closed = True
        self._transport.abort()


class Client:
    """Sends requests, each entered in the ledger, over as many connections as it takes."""

    def __init__(self, url: str, ledger: Ledger, timeout: float = 40.0) -> None:
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port
        self._host, self._port = parts.hostname, parts.port
        self.ledger = ledger
        self._timeout = timeout
        self._idle: deque[Line] = deque()

    async def __aenter__(self) -> Self:
        """Enter."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        for line in self._idle:
            line.close()

    async def ask(self, request: bytes, due: float | None = None) -> tuple[Entry, Reply | None]:
        """Send a request and wait for how it ends; the reply is None where it was not answered."""
        entry = self.ledger.open(time.perf_counter() if due is None else due)
        try:
            line = self._take() or await self._connect()
        except (OSError, TimeoutError):
            self.ledger.close(entry, "refused")
            return entry, None
        try:
            async with asyncio.timeout(self._timeout):
                entry.sent = time.perf_counter()
                reply = await line.send(request)
        except TimeoutError:
            line.close()
            self.ledger.close(entry, "timeout")
            return entry, None
        except ConnectionResetError:
            self.ledger.close(entry, "reset")
            return entry, None
        self.ledger.close(entry, "answered", reply.status)
        if not line.closed:
            self._idle.append(line)
        return entry, reply

    def _take(self) -> Line | None:
        while self._idle:
            line = self._idle.pop()
            if line.fresh:
                return line
            line.close()
        return None

    async def _connect(self) -> Line:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._timeout):
            _, line = await loop.create_connection(Line, self._host, self._port)
        return line


Check = Callable[[int, Entry, Reply | None], None]
"""Looks at how the request of that number, counted by the load, ended."""


async def open_loop(
    client: Client, requests: Sequence[bytes], rate: float, seconds: float, check: Check | None = None
) -> None:
    """Send at fixed times, `rate` a second, whether earlier requests are answered or not."""
    tasks: set[asyncio.Task[None]] = set()

    async def one(number: int, due: float) -> None:
        entry, reply = await client.ask(requests[number % len(requests)], due)
        if check:
            check(number, entry, reply)

    start = time.perf_counter()
    for number in range(int(rate * seconds)):
        due = start + number / rate
        if (pause := due - time.perf_counter()) > 0:
            await asyncio.sleep(pause)
        elif number % 64 == 0:
            await asyncio.sleep(0)
        task = asyncio.create_task(one(number, due))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    while tasks:
        await asyncio.wait(tasks)


async def closed_loop(
    client: Client, requests: Iterable[bytes], callers: int, seconds: float, check: Check | None = None
) -> float:
    """Have `callers` send one request after the other until the time or the requests are used up.

    Returns the answers with 200 per second.
    """
    start = time.perf_counter()
    stop = start + seconds
    numbered: Iterator[tuple[int, bytes]] = zip(itertools.count(), requests)
    good = 0

    async def caller() -> None:
        nonlocal good
        for number, request in numbered:
            entry, reply = await client.ask(request)
            good += entry.status == 200
            if check:
                check(number, entry, reply)
            if entry.outcome == "refused":
                await asyncio.sleep(0.05)
            if time.perf_counter() >= stop:
                break

    await asyncio.gather(*(caller() for _ in range(callers)))
    return good / (time.perf_counter() - start)
