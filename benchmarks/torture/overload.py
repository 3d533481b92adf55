"""Rows F1, F2, F3, F11: more than can be answered, at fixed arrival rates, and what comes after it."""

import os
import time
from collections.abc import Iterator
from itertools import repeat

from benchmarks.torture import wire
from benchmarks.torture.ledger import Entry, Ledger, percentile
from benchmarks.torture.neighbour import Neighbour
from benchmarks.torture.subject import Subject, budget_megabytes, serving
from benchmarks.torture.trial import Row, Scale, setting
from benchmarks.torture.wire import Client, Reply
from benchmarks.workloads import workloads

REFUSED_MS = 50.0
PROBE_MS = 50.0
CALM_SECONDS = 5

_PROBES = [("GET", "/livez", "", b""), ("GET", "/metrics", "", b"")]


def overload(scale: Scale) -> Iterator[Row]:
    """Press 2, 5 and 10 times as many photos as can be answered, then half as many."""
    workload = workloads()["photo to mask"]
    request = wire.post(workload.query, *workload.body("raw"))
    with serving(scale.models) as subject:
        peak = wire.run(_closed(subject, request, scale.of(5.0, 1.5)))
        idle = subject.megabytes()
        before = wire.run(_open(subject, request, peak / 2, scale.of(12.0, 1.0)))
        subject.forget_peak()
        for multiple in scale.of((2, 5, 10), (5,)):
            yield from _press(subject, request, multiple, scale)
        after = wire.run(_open(subject, request, peak / 2, scale.of(12.0, 2.0)))
        yield _calm(after, 2 * percentile(before.entries, 99))
        allowed, held = idle + budget_megabytes(), subject.peak_megabytes()
        bar = f"<= {allowed:,.0f} MB ({idle:,.0f} idle + budget)"
        yield Row("memory at its highest", f"{held:,.0f} MB", bar, held <= allowed)


async def _closed(subject: Subject, request: bytes, seconds: float) -> float:
    async with Client(subject.url, Ledger()) as client:
        return await wire.closed_loop(client, repeat(request), 32, seconds)


async def _open(subject: Subject, request: bytes, rate: float, seconds: float) -> Ledger:
    ledger = Ledger()
    async with Client(subject.url, ledger) as client:
        await wire.open_loop(client, [request], rate, seconds)
    return ledger


def _press(subject: Subject, request: bytes, multiple: int, scale: Scale) -> Iterator[Row]:
    # Just before, so that a machine that drifts drifts for both.
    peak = wire.run(_closed(subject, request, scale.of(5.0, 1.5)))
    seconds = scale.of(30.0, 2.0)
    silent = 0
    ledger = Ledger()

    def check(number: int, entry: Entry, reply: Reply | None) -> None:
        nonlocal silent
        silent += reply is not None and reply.status == 503 and not reply.headers.get(b"retry-after")

    async def press() -> float:
        async with Client(subject.url, ledger) as client:
            start = time.perf_counter()
            await wire.open_loop(client, [request], peak * multiple, seconds, check)
            return start

    own = time.process_time()
    with Neighbour(subject.url, _PROBES, 10, fresh=True) as probes:
        stop = wire.run(press()) + seconds
    own = (time.process_time() - own) / seconds / len(os.sched_getaffinity(0))
    name = f"{multiple}x"
    share = sum(entry.ended <= stop for entry in ledger.statuses(200)) / seconds / peak
    # On one machine the client's own work is missing from the service: said, not counted.
    figure = f"{share:.1%} ({share / (1 - own):.1%} of what the client left)"
    yield Row(f"{name}: goodput of peak {peak:.0f}/s", figure, ">= 95 %", share >= 0.95, timed=True)
    yield _p99(f"{name}: p99 of what is answered", ledger.statuses(200), setting("deadline_ms", 2000))
    yield _p99(f"{name}: p99 of 503", ledger.statuses(503), REFUSED_MS)
    yield _ends(name, ledger)
    yield Row(f"{name}: 503 without Retry-After", str(silent), "0", not silent)
    worst = probes.percentile(100)
    figure = f"{probes.percentile(50):.1f} / {worst:.1f} ms of {len(probes.visits)}"
    bar = f"<= {PROBE_MS:.0f} ms"
    yield Row(f"{name}: /livez, /metrics, p50 / worst", figure, bar, worst <= PROBE_MS, timed=True)
    yield Row(f"{name}: probes not answered", str(probes.failures), "0", not probes.failures)


def _p99(what: str, entries: list[Entry], allowed: float) -> Row:
    found = percentile(entries, 99)
    return Row(what, f"{found:.1f} ms", f"<= {allowed:.0f} ms", found <= allowed, timed=True)


def _ends(name: str, ledger: Ledger) -> Row:
    """Say whether every request ended once, in an answer that overload allows."""
    known = len(ledger.statuses(200, 503, 504))
    passed = known == len(ledger.entries) and not ledger.uneven
    return Row(f"{name}: how requests ended", ledger.summary(), "200, 503 or 504, each once", passed)


def _calm(ledger: Ledger, normal: float) -> Row:
    """Say after how many seconds of half load the p99 of a second is normal, and stays so."""
    start = ledger.entries[0].due
    calm = 0
    for second in range(int(ledger.entries[-1].due - start) + 1):
        window = [entry for entry in ledger.entries if second <= entry.due - start < second + 1]
        if any(entry.status != 200 for entry in window) or percentile(window, 99) > normal:
            calm = second + 1
    bar = f"<= {CALM_SECONDS} s"
    what = f"at half load after it: p99 <= {normal:.0f} ms after"
    return Row(what, f"{calm} s", bar, calm <= CALM_SECONDS, timed=True)
