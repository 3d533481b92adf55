"""Rows H1, H4: under load, SIGTERM loses nothing admitted, and kill -9 leaves nothing behind."""

import asyncio
import os
import signal
import statistics
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import numpy as np

from benchmarks.torture import wire
from benchmarks.torture.ledger import Ledger
from benchmarks.torture.subject import Subject, serving
from benchmarks.torture.trial import Row, Scale
from benchmarks.torture.wire import Client
from benchmarks.workloads import workloads

CALLERS = 8
STOP_SECONDS = 40.0
_SHARED_MEMORY = Path("/dev/shm")


def signals(scale: Scale) -> Iterator[Row]:
    """Stop and kill it over and over, at moments drawn by chance."""
    chance = np.random.default_rng(1)
    requests = _requests()
    yield from _terminate(scale, requests, scale.of(20, 1), chance)
    # Who opens a connection for each request never sends one that nobody could take: none may be reset.
    once = _requests("Connection: close")
    for workers in scale.of((1, 2), (2,)):
        yield from _terminate(scale, once, scale.of(10, 1), chance, workers=workers, kept=False)
    yield from _kill(scale, requests, scale.of(20, 2), chance)


def _requests(*headers: str) -> list[bytes]:
    found = workloads()
    names = ("photo to mask", "digit", "digit")
    return [wire.post(found[name].query, *found[name].body("raw"), *headers) for name in names]


def _terminate(
    scale: Scale,
    requests: list[bytes],
    rounds: int,
    chance: np.random.Generator,
    *,
    workers: int = 1,
    kept: bool = True,
) -> Iterator[Row]:
    lost = late = uneven = 0
    statuses: list[int | None] = []
    seconds: list[float] = []
    for _ in range(rounds):
        with serving(scale.models, workers=workers) as subject:
            ledger, told, took, status = wire.run(
                _under_load(subject, requests, signal.SIGTERM, chance.uniform(0.3, 1.0))
            )
        statuses.append(status)
        seconds.append(took)
        unanswered = [entry for entry in ledger.entries if entry.outcome != "answered" or entry.status >= 500]
        lost += sum(entry.sent < told for entry in unanswered)
        late += sum(entry.outcome == "reset" and entry.sent >= told for entry in unanswered)
        uneven += ledger.uneven
    name = f"SIGTERM, {rounds} times" + ("" if kept else f", {workers} worker(s), a connection each")
    figure = f"{lost} ({late} sent after it were reset)"
    yield Row(f"{name}: admitted requests lost", figure, "0", not lost and (kept or not late))
    yield Row(f"{name}: requests that did not end once", str(uneven), "0", not uneven)
    strange = [status for status in statuses if status not in {0, -signal.SIGTERM, 128 + signal.SIGTERM}]
    yield Row(
        f"{name}: exit status", f"{sorted(set(map(str, statuses)))}", "0, 143 or the signal", not strange
    )
    figure = f"{statistics.median(seconds):.2f} / {max(seconds):.2f} s"
    yield Row(
        f"{name}: to exit, median / longest", figure, f"< {STOP_SECONDS:.0f} s", max(seconds) < STOP_SECONDS
    )


def _kill(scale: Scale, requests: list[bytes], rounds: int, chance: np.random.Generator) -> Iterator[Row]:
    starts: list[float] = []
    left: set[str] = set()
    uneven = 0
    shared = set(os.listdir(_SHARED_MEMORY))  # noqa: PTH208
    for _ in range(rounds):
        with serving(scale.models) as subject:
            starts.append(subject.server.seconds_to_ready)
            members = subject.family()[1:]
            ledger, *_ = wire.run(_under_load(subject, requests, signal.SIGKILL, chance.uniform(0.3, 1.0)))
            uneven += ledger.uneven
            left |= {f"process {pid}" for pid in _survivors(members)}
            left |= {f"file {path.name}" for path in subject.temporary.iterdir()}
    new = set(os.listdir(_SHARED_MEMORY)) - shared  # noqa: PTH208
    # A browser that runs beside, for other tests say, has its own there.
    left |= {f"shared memory {name}" for name in new if "hromium" not in name}
    # The first start is after no kill.
    first, after = starts[0], starts[1:]
    name = f"kill -9, {rounds} times"
    allowed = max(2 * first, first + 1)
    figure = f"{statistics.median(after):.2f} / {max(after):.2f} s"
    bar = f"<= {allowed:.2f} s (first start {first:.2f})"
    yield Row(f"{name}: ready again, median / longest", figure, bar, max(after) <= allowed, timed=True)
    yield Row(f"{name}: left behind", ", ".join(sorted(left)) or "nothing", "nothing", not left)
    yield Row(f"{name}: requests that did not end once", str(uneven), "0", not uneven)


async def _under_load(
    subject: Subject, requests: list[bytes], number: signal.Signals, after: float
) -> tuple[Ledger, float, float, int | None]:
    """Send a signal while callers wait for answers.

    Returns the ledger, when the signal was sent, how long the process then took to end, and its exit status.
    """
    ledger = Ledger()
    async with Client(subject.url, ledger) as client:
        load = asyncio.create_task(wire.closed_loop(client, cycle(requests), CALLERS, after + 0.5))
        await asyncio.sleep(after)
        told = time.perf_counter()
        status = await asyncio.to_thread(subject.stop, number, STOP_SECONDS)
        took = time.perf_counter() - told
        await load
    return ledger, told, took, status


def _survivors(pids: list[int]) -> list[int]:
    """Return the processes that live on two seconds later."""
    stop = time.perf_counter() + 2
    while (alive := [pid for pid in pids if _alive(pid)]) and time.perf_counter() < stop:
        time.sleep(0.05)
    return alive


def _alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
