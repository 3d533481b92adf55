"""Rows D1 to D24, D29: hostile and mutated images. 2xx or 4xx, in two seconds and the memory's budget."""

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from benchmarks.torture import pictures, wire
from benchmarks.torture.ledger import Entry, Ledger, percentile
from benchmarks.torture.subject import Subject, budget_megabytes, serving
from benchmarks.torture.trial import Row, Scale
from benchmarks.torture.wire import Client, Reply

SECONDS = 2.0
CALLERS = 4
_TARGETS = ("/classify?model=digits&top_k=10", "/classify?model=digits", "/segment?model=nuclei&mask=rle")


def hostile(scale: Scale) -> Iterator[Row]:
    """Post fifty thousand of them, and the bombs, one upon the other, at the end."""
    count = scale.of(50_000, 300)
    bombs = list(pictures.bombs().values()) * scale.of(4, 1)
    sources = [image for seed in range(scale.of(4, 1)) for image in pictures.seeds(seed)]
    with serving(scale.models) as subject:
        good = [_request(number, image) for number, image in enumerate(sources[:30])]
        wire.run(_post(subject, good, []))
        idle = subject.megabytes()
        subject.forget_peak()
        wrong: list[str] = []
        # Before a caller asks for it, an image is not made: fifty thousand would not fit.
        mutated = (
            _request(number, image)
            for number, image in enumerate(pictures.mutations(sources, count - len(bombs), seed=5))
        )
        posted = itertools.chain(mutated, [_request(number, bomb) for number, bomb in enumerate(bombs)])
        ledger = wire.run(_post(subject, posted, wrong))
        yield from _rows(ledger, wrong, subject, idle)


def _request(number: int, image: bytes) -> bytes:
    return wire.post(_TARGETS[number % len(_TARGETS)], image, "application/octet-stream")


async def _post(subject: Subject, requests: Iterable[bytes], wrong: list[str]) -> Ledger:
    ledger = Ledger()

    def check(number: int, entry: Entry, reply: Reply | None) -> None:
        if reply and entry.status == 200 and not _finite(orjson.loads(bytes(reply.body))):
            wrong.append(f"request {number}")

    async with Client(subject.url, ledger) as client:
        await wire.closed_loop(client, requests, CALLERS, math.inf, check)
    return ledger


def _finite(value: Any) -> bool:
    """Say whether there is no null where a number should be: JSON has no other way to say NaN."""
    if isinstance(value, dict):
        return all(_finite(each) and (each is not None or key != "score") for key, each in value.items())
    if isinstance(value, list):
        return all(map(_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def _rows(ledger: Ledger, wrong: list[str], subject: Subject, idle: float) -> Iterator[Row]:
    name = f"{len(ledger.entries):,} images"
    bad = [e for e in ledger.entries if e.outcome != "answered" or not 200 <= e.status < 500]
    kinds = Counter(entry.status or entry.outcome for entry in ledger.entries)
    figure = " ".join(f"{kind}:{number}" for kind, number in sorted(kinds.items(), key=str))
    yield Row(f"{name}: answers", figure, "only 2xx and 4xx", not bad and not ledger.uneven)
    yield Row(f"{name}: answers not finite", str(len(wrong)), "0", not wrong)
    yield Row(f"{name}: server", "alive" if subject.alive() else "dead", "alive", subject.alive())
    yield Row(f"{name}: tracebacks logged", str(subject.tracebacks), "0", not subject.tracebacks)
    worst = percentile(ledger.entries, 100) / 1000
    yield Row(f"{name}: slowest", f"{worst:.2f} s", f"<= {SECONDS:.0f} s", worst <= SECONDS, timed=True)
    allowed, held = idle + budget_megabytes(), subject.peak_megabytes()
    bar = f"<= {allowed:,.0f} MB ({idle:,.0f} idle + budget)"
    yield Row(f"{name}: memory at its highest", f"{held:,.0f} MB", bar, held <= allowed)
