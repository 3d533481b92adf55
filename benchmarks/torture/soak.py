"""Row H16: hours in minutes. Memory, threads and files under steady load, and a leak that must be found."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle

import numpy as np

from benchmarks.torture import mixture, wire
from benchmarks.torture.ledger import Ledger
from benchmarks.torture.planted import LEAK_BYTES
from benchmarks.torture.subject import Subject, serving
from benchmarks.torture.trial import Row, Scale
from benchmarks.torture.wire import Client
from benchmarks.workloads import workloads

SHARE = 0.6
"""Of what it can answer."""
PER_HOUR = 1.0
"""Megabytes: the bar of the long form."""
PER_100_000 = 5.0
"""Megabytes per 100,000 requests: the bar of the short form, in which an hour cannot be told."""
LEAKED = LEAK_BYTES * 1e5 / 2**20
"""What the planted leak loses in 100,000 requests."""


@dataclass(frozen=True)
class Sample:
    """The service at one moment."""

    seconds: float
    requests: int
    megabytes: float
    threads: int


def soak(scale: Scale) -> Iterator[Row]:
    """Load it for a while and fit a line to its memory; then the same with the leak in it."""
    seconds = 1800.0 if scale.soak else scale.of(60.0, 3.0)
    with serving(scale.models) as subject:
        wire.run(_load(subject, 0.5, warm=0.5))
        before = _at_rest(subject, 0)
        samples, ledger = wire.run(_load(subject, seconds, warm=scale.of(20.0, 1.0)))
        after = _at_rest(subject, before)
    name = f"{seconds / 60:.1f} min at {SHARE:.0%}, {ledger.opened:,} requests"
    bad = ledger.opened - ledger.good + ledger.uneven
    yield Row(f"{name}: not 200", str(bad), "0", not bad, timed=scale.quick)
    if scale.soak:
        grown = slope([each.seconds for each in samples], samples) * 3600
        yield Row("memory over time", f"{grown:+.2f} MB/h", f"< {PER_HOUR:.0f} MB/h", grown < PER_HOUR)
    grown = _per_100_000(samples)
    allowed = scale.of(PER_100_000, LEAKED / 2)
    bar = f"< {allowed:.0f} MB per 100,000"
    yield Row("memory by requests", f"{grown:+.1f} MB per 100,000", bar, grown < allowed, timed=scale.quick)
    half = len(samples) // 2
    first, last = (max(each.threads for each in part) for part in (samples[:half], samples[half:]))
    yield Row("most threads, by halves", f"{first}, {last}", "no more in the second", last <= first)
    yield Row("descriptors before and after", f"{before}, {after}", "no more after", after <= before)
    with serving(scale.models, "leak") as subject:
        samples, ledger = wire.run(_load(subject, scale.of(20.0, 3.0), warm=scale.of(10.0, 1.0)))
    grown = _per_100_000(samples)
    figure = f"{grown:+.1f} of {LEAKED:.0f} MB per 100,000"
    yield Row("planted leak of 1 kB a request", figure, f">= {allowed:.0f}: found", grown >= allowed)


def _per_100_000(samples: list[Sample]) -> float:
    return slope([each.requests for each in samples], samples) * 1e5


def slope(over: list[float] | list[int], samples: list[Sample]) -> float:
    """Return megabytes per unit of `over`: the median of all pairs' slopes (Theil, 1950; Sen, 1968).

    One step of an allocator does not move it, as it would move a least squares line.
    """
    x = np.asarray(over, np.float64)
    y = np.asarray([each.megabytes for each in samples])
    left, right = np.triu_indices(len(x), 1)
    # Where nothing was answered between two looks, there is nothing to divide by.
    apart = x[right] > x[left]
    return float(np.median((y[right] - y[left])[apart] / (x[right] - x[left])[apart]))


def _at_rest(subject: Subject, expected: int) -> int:
    """Return its open files when the clients have gone, and it has had seconds to notice."""
    stop = time.perf_counter() + 3
    while (found := subject.descriptors()) > expected and time.perf_counter() < stop:
        time.sleep(0.1)
    return found


async def _load(subject: Subject, seconds: float, warm: float) -> tuple[list[Sample], Ledger]:
    """Find out what it can answer, warm up, then load it with a share of that and look at it."""
    found = workloads()
    digit, photo = found["digit"], found["photo to mask"]
    raw, form = (wire.post(digit.query, *digit.body(kind)) for kind in ("raw", "multipart"))
    others = [mixture.request(digit.images[0], number) for number in range(len(mixture.WAYS))]
    requests = [raw] * 36 + [form] * 9 + others + [wire.post(photo.query, *photo.body("raw"))]
    async with Client(subject.url, Ledger()) as client:
        rate = SHARE * await wire.closed_loop(client, cycle(requests), 32, warm / 2)
        await wire.open_loop(client, requests, rate, warm / 2)
    ledger = Ledger(keep=False)
    samples: list[Sample] = []
    start = time.perf_counter()
    async with Client(subject.url, ledger) as client:
        load = asyncio.create_task(wire.open_loop(client, requests, rate, seconds))
        pause = max(0.1, seconds / 600)
        while not load.done():
            await asyncio.wait([load], timeout=pause)
            now = time.perf_counter() - start
            samples.append(Sample(now, ledger.opened, subject.megabytes(), subject.threads()))
    # The last ones may have been taken while the load ran out.
    return samples[:-2], ledger
