"""Rows A, B, C, E: malformed HTTP from raw sockets, and a neighbour who must not notice."""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from benchmarks.torture import grammar, wire
from benchmarks.torture.grammar import Case
from benchmarks.torture.neighbour import Neighbour
from benchmarks.torture.subject import serving
from benchmarks.torture.trial import Row, Scale
from benchmarks.workloads import workloads

RATE = 150.0
"""Cases per second: what one attacker sends from a slow line, so that this client is not the load."""
HUNG_UP_SECONDS = 2.5
"""For the end of a connection whose client has sent all it will and closed its half."""
QUIET_SECONDS = 0.3
"""A client that has heard nothing for so long has got its answer, or will get none."""
ALLOWED = frozenset((501, 503))
# The latter at the paths of other servers' dialects.
_DOCUMENT = re.compile(rb"application/(?:problem\+)?json(?:\r|$)")
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


@dataclass
class Ends:
    """How the connections ended."""

    statuses: Counter[int] = field(default_factory=Counter)
    hung: list[Case] = field(default_factory=list)
    refused: int = 0
    plain: int = 0
    """Errors that are not problem documents."""


def malformed(scale: Scale) -> Iterator[Row]:
    """Send ten thousand cases; some say nothing after a piece of a head."""
    count, silent = scale.of((10_000, 100), (300, 3))
    # Within 30 s a body must be there, within 5 s a head; the quick form has no time for the former.
    patience = scale.of(35.0, 6.5)
    cases = grammar.cases(count, silent, bodies=not scale.quick, seed=7)
    good = [Case(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 1, False)]
    digit = workloads()["digit"]
    visit = [("POST", digit.query, "image/png", digit.images[0])]
    with serving(scale.models) as subject:
        seconds = scale.of(10.0, 2.0)
        with Neighbour(subject.url, visit, 50) as beside_good:
            wire.run(_send(subject.url, good * int(RATE * seconds), patience))
        with Neighbour(subject.url, visit, 50) as beside:
            ends = wire.run(_send(subject.url, cases, patience))
        yield from _rows(ends, count, subject.alive(), subject.tracebacks)
    yield Row("neighbour: requests not answered", str(beside.failures), "0", not beside.failures)
    alone, found = beside_good.percentile(99), beside.percentile(99)
    figure = f"{found / alone:.2f} ({alone:.1f} to {found:.1f} ms)"
    bar = "<= 2 x beside as many good ones"
    yield Row("neighbour: p99 of a kept connection", figure, bar, found <= 2 * alone, timed=True)


def _rows(ends: Ends, count: int, alive: bool, tracebacks: int) -> Iterator[Row]:
    name = f"{count:,} cases"
    bad = {status for status in ends.statuses if status >= 500 and status not in ALLOWED}
    figure = " ".join(f"{status}:{number}" for status, number in sorted(ends.statuses.items()))
    yield Row(f"{name}: answers", figure, "no 5xx but 501, 503", not bad)
    hung = f"{len(ends.hung)} ({sum(case.silent for case in ends.hung)} of silent clients)"
    yield Row(f"{name}: hanging over the deadline", hung, "0", not ends.hung)
    yield Row(f"{name}: errors without a problem document", str(ends.plain), "0", not ends.plain)
    yield Row(f"{name}: connects refused", str(ends.refused), "0", not ends.refused)
    yield Row(f"{name}: server", "alive" if alive else "dead", "alive", alive)
    yield Row(f"{name}: tracebacks logged", str(tracebacks), "0", not tracebacks)


async def _send(url: str, cases: Iterable[Case], patience: float) -> Ends:
    parts = urlsplit(url)
    ends, tasks = Ends(), set()
    start = time.perf_counter()
    for number, case in enumerate(cases):
        await asyncio.sleep(max(0.0, start + number / RATE - time.perf_counter()))
        task = asyncio.create_task(_one(parts.hostname or "", parts.port or 0, case, patience, ends))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    while tasks:
        await asyncio.wait(tasks)
    return ends


async def _one(host: str, port: int, case: Case, patience: float, ends: Ends) -> None:
    try:
        reader, writer = await asyncio.open_connection(host, port)
    except OSError:
        ends.refused += 1
        return
    received = bytearray()
    try:
        async with asyncio.timeout(patience if case.silent else HUNG_UP_SECONDS):
            await _talk(reader, writer, case, received)
    except TimeoutError:
        ends.hung.append(case)
    finally:
        writer.transport.abort()
    _note(bytes(received), ends)


async def _talk(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, case: Case, received: bytearray
) -> None:
    """Send the case; then wait until the server hangs up."""
    step = len(case.data) // case.pieces + 1
    try:
        for start in range(0, len(case.data), step):
            writer.write(case.data[start : start + step])
            await writer.drain()
            await asyncio.sleep(0)
        if not case.silent:
            await _listen(reader, received, QUIET_SECONDS)
            writer.write_eof()
        await _listen(reader, received, None)
    except OSError:
        return  # the server may hang up in the middle


async def _listen(reader: asyncio.StreamReader, received: bytearray, quiet: float | None) -> None:
    """Keep what comes until the server hangs up, or has said nothing for `quiet` seconds."""
    try:
        while piece := await asyncio.wait_for(reader.read(65536), quiet):
            received += piece
    except TimeoutError:
        return


def _note(received: bytes, ends: Ends) -> None:
    ends.statuses.update(int(status) for status in _STATUS.findall(received))
    if not received:
        ends.statuses[0] += 1
    head, _, _ = received.partition(b"\r\n\r\n")
    found = _STATUS.match(head)
    if found and int(found[1]) >= 400:
        ends.plain += not _DOCUMENT.search(head)
