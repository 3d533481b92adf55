"""Rows A1 to A6, F13: clients who take their time, as slowhttptest's -H, -B and -X do."""

import asyncio
import socket
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from benchmarks.torture import wire
from benchmarks.torture.neighbour import Neighbour
from benchmarks.torture.subject import Subject, serving
from benchmarks.torture.trial import Row, Scale
from benchmarks.workloads import workloads

PACE_SECONDS = 0.5
"""Between two bytes of a slow client."""
AVAILABLE_MS = 1000.0
_ERROR = socket.SOL_SOCKET, socket.SO_ERROR


@dataclass(frozen=True)
class Manner:
    """A way of being slow, and within how many seconds the server has to have enough of it."""

    name: str
    client: Callable[[str, int, float], Coroutine[Any, Any, float]]
    allowed: float


async def _drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, first: bytes) -> None:
    writer.write(first)
    while True:
        writer.write(b"X")
        await writer.drain()
        try:
            if not await asyncio.wait_for(reader.read(4096), PACE_SECONDS):
                return
        except TimeoutError:
            continue


async def _slow_head(host: str, port: int, patience: float) -> float:
    """Send a byte of a header now and then."""
    return await _until_closed(host, port, patience, b"POST /classify HTTP/1.1\r\nHost: localhost\r\nX-")


async def _slow_body(host: str, port: int, patience: float) -> float:
    """Send a byte of a body now and then."""
    head = b"POST /classify HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\nContent-Length: 100000\r\n\r\n"
    return await _until_closed(host, port, patience, head)


async def _silent(host: str, port: int, patience: float) -> float:
    """Send a part of a head, then nothing."""
    reader, writer = await asyncio.open_connection(host, port)
    start = time.perf_counter()
    try:
        async with asyncio.timeout(patience):
            writer.write(b"GET /livez HTTP/1.1\r\nHo")
            while await reader.read(4096):
                pass
    except (TimeoutError, OSError):
        pass
    finally:
        writer.transport.abort()
    return time.perf_counter() - start


async def _until_closed(host: str, port: int, patience: float, first: bytes) -> float:
    reader, writer = await asyncio.open_connection(host, port)
    start = time.perf_counter()
    try:
        async with asyncio.timeout(patience):
            await _drip(reader, writer, first)
    except (TimeoutError, OSError):
        pass
    finally:
        writer.transport.abort()
    return time.perf_counter() - start


async def _slow_reader(host: str, port: int, patience: float) -> float:
    """Ask for more answers than any buffer on the way holds, and read a byte of them now and then.

    They cost the server nothing: the time is that of its patience, not of its work.
    """
    loop = asyncio.get_running_loop()
    request = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
    start = time.perf_counter()
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        await loop.sock_connect(client, (host, port))
        sending = asyncio.create_task(loop.sock_sendall(client, request * 400))
        try:
            async with asyncio.timeout(patience):
                # What has come in before a reset can still be read, for half an hour at this pace.
                while await loop.sock_recv(client, 1) and not client.getsockopt(*_ERROR):  # noqa: ASYNC110
                    await asyncio.sleep(PACE_SECONDS)
        except (TimeoutError, OSError):
            pass
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    return time.perf_counter() - start


HEADS = (Manner("half a head", _silent, 7.0), Manner("dripped head", _slow_head, 7.0))
BODIES = (Manner("dripped body", _slow_body, 33.0), Manner("slow reader", _slow_reader, 36.0))


def slow(scale: Scale) -> Iterator[Row]:
    """Have hundreds of slow clients of each manner, one manner after the other."""
    digit = workloads()["digit"]
    visits = [("POST", digit.query, "image/png", digit.images[0]), ("GET", "/readyz", "", b"")]
    # The quick form has no time for thirty seconds of body.
    for manner in scale.of((*HEADS, *BODIES), HEADS[1:]):
        count = scale.of(20 if manner.client is _slow_reader else 500, 50)
        with serving(scale.models) as subject, Neighbour(subject.url, visits, 20, fresh=True) as neighbour:
            seconds = wire.run(_crowd(subject, manner, count))
            tracebacks = subject.tracebacks
        longest = max(seconds)
        name = f"{count} x {manner.name}"
        closed = sum(each <= manner.allowed for each in seconds)
        bar = f"all within {manner.allowed:.0f} s"
        yield Row(f"{name}: closed", f"{closed}, the last after {longest:.1f} s", bar, closed == count)
        yield Row(f"{name}: tracebacks logged", str(tracebacks), "0", not tracebacks)
        figure = f"{neighbour.failures} of {len(neighbour.visits)}"
        yield Row(f"{name}: neighbour not answered", figure, "0", not neighbour.failures)
        worst = neighbour.percentile(99)
        bar = f"<= {AVAILABLE_MS:.0f} ms"
        yield Row(f"{name}: neighbour's p99", f"{worst:.1f} ms", bar, worst <= AVAILABLE_MS, timed=True)


async def _crowd(subject: Subject, manner: Manner, count: int) -> list[float]:
    parts = urlsplit(subject.url)
    clients = (manner.client(parts.hostname or "", parts.port or 0, manner.allowed + 1) for _ in range(count))
    return list(await asyncio.gather(*clients))
