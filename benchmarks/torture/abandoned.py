"""Rows F4, F5, F15: callers who post large images and leave before they are decoded, and their neighbour."""

import json
import math
import threading
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle

import numpy as np

from benchmarks.torture import pictures, wire
from benchmarks.torture.ledger import Ledger
from benchmarks.torture.neighbour import Neighbour
from benchmarks.torture.subject import ROOM_MEGABYTES, Subject, serving
from benchmarks.torture.trial import Row, Scale, setting
from benchmarks.torture.wire import Client
from benchmarks.workloads import workloads

CALLERS = 28
TIMEOUT = "X-Request-Timeout-Ms: 50"
RATE = 7.0
"""Requests of the neighbour per second: left alone, each is answered long before the next."""

SHARE = 0.9
"""Of the answers that the neighbour gets where nothing is decoded, at least."""
AVAILABLE_MS = 1000.0

_ROUTES = {"classification": "classify", "localization": "localize", "segmentation": "segment"}


@dataclass
class _Peak:
    """The most memory that the service's processes held together, looked at every few hundredths of a second.

    Decoders come and go: what each held at most, asked at the end, would leave out those that are gone.
    """

    subject: Subject
    megabytes: float = 0.0
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch for the length of the block."""
        watcher = threading.Thread(target=self._watch)
        watcher.start()
        try:
            yield
        finally:
            self._stop.set()
            watcher.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.04):
            self.megabytes = max(self.megabytes, self.subject.megabytes())


def abandoned(scale: Scale) -> Iterator[Row]:
    """Have 28 callers post large PNGs to every model, with 50 ms to answer and with all of it."""
    for isolation in ("thread", "process"):
        for timeout in scale.of((TIMEOUT, ""), (TIMEOUT,)):
            with serving(scale.models, decode_isolation=isolation) as subject:
                yield from _besiege(subject, scale, f"{isolation}, {timeout[-2:] or 'all'} ms", timeout)


def large_png(side: int) -> bytes:
    """Return a PNG of 690 kB and 16.7 megapixels: noise above, black below; its head says `side` for both."""
    rows = np.zeros((4096, 1 + 4096 * 3), np.uint8)
    rows[:56, 1:] = np.random.default_rng(0).integers(256, size=(56, 4096 * 3), dtype=np.uint8)
    return pictures.png(side, side, 8, 2, rows.tobytes())


def _besiege(subject: Subject, scale: Scale, name: str, timeout: str) -> Iterator[Row]:
    targets = _targets(subject)
    small = workloads()["photo to classes"].images[0]
    visits = [("POST", target, "image/jpeg", small) for target in targets]
    headers = (timeout,) if timeout else ()
    large, refused = (
        [wire.post(target, large_png(side), "image/png", *headers) for target in targets]
        for side in (4096, 20_000)
    )
    seconds = scale.of(15.0, 1.5)
    # One decode of each kind first: what allocators and decoders then keep is no part of the siege.
    wire.run(_press(subject, [large[0], wire.post(targets[0], small, "image/jpeg")], 1, math.inf))
    idle = subject.megabytes()
    # The same bytes, refused by their head: what these cost everybody is not the decodes'.
    with Neighbour(subject.url, visits, RATE) as flooded:
        wire.run(_press(subject, cycle(refused), CALLERS, seconds))
    peak = _Peak(subject)
    with Neighbour(subject.url, visits, RATE) as beside, peak.watched():
        ledger = wire.run(_press(subject, cycle(large), CALLERS, seconds))
    known = len(ledger.statuses(200, 503, 504))
    passed = known == len(ledger.entries) and not ledger.uneven
    yield Row(f"{name}: how requests ended", ledger.summary(), "200, 503 or 504, each once", passed)
    allowed = idle + setting("decode_budget_bytes", 512 * 2**20) / 2**20 + ROOM_MEGABYTES
    figure = f"{peak.megabytes:,.0f} MB, {peak.megabytes - idle:+,.0f}"
    bar = f"<= {allowed:,.0f} MB ({idle:,.0f} idle + budget)"
    yield Row(f"{name}: memory at its highest", figure, bar, peak.megabytes <= allowed)
    yield from _neighbours(name, flooded, beside)
    yield Row(f"{name}: tracebacks logged", str(subject.tracebacks), "0", not subject.tracebacks)


def _neighbours(name: str, flooded: Neighbour, beside: Neighbour) -> Iterator[Row]:
    yield Row(f"{name}: neighbour not answered", str(beside.failures), "0", not beside.failures)
    answers, usual = (each.answers for each in (beside, flooded))
    figure = f"{answers}, beside the same bytes refused {usual}"
    bar = f">= {SHARE:.0%}"
    yield Row(f"{name}: neighbour's answers", figure, bar, answers >= SHARE * usual, timed=True)
    worst, usual_ms = (each.percentile(99) for each in (beside, flooded))
    allowed = max(AVAILABLE_MS, usual_ms)
    figure = f"{worst:.0f} ms, beside those {usual_ms:.0f} ms"
    yield Row(f"{name}: neighbour's p99", figure, f"<= {allowed:.0f} ms", worst <= allowed, timed=True)


def _targets(subject: Subject) -> list[str]:
    """Return where each model is asked."""
    with urllib.request.urlopen(f"{subject.url}/summary") as answer:
        models = json.load(answer)["models"]
    return [f"/{_ROUTES[model['task']]}?model={model['name']}" for model in models]


async def _press(subject: Subject, requests: Iterable[bytes], callers: int, seconds: float) -> Ledger:
    ledger = Ledger()
    async with Client(subject.url, ledger) as client:
        await wire.closed_loop(client, requests, callers, seconds)
    return ledger
