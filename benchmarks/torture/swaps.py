"""Rows G1, G2, G13: new versions, good and bad, under load. Two sets of weights take turns, so that an answer
tells by its scores which version made it, whatever it says itself.
"""

import asyncio
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import orjson

from benchmarks.torture import wire
from benchmarks.torture.ledger import Entry, Ledger
from benchmarks.torture.subject import Subject, serving
from benchmarks.torture.trial import Row, Scale
from benchmarks.torture.wire import Client, Reply
from benchmarks.workloads import workloads
from service.configuration.settings import Settings

NAME = "digits"
OTHER = "fashion"
"""Another model of the same input size; its versions take turns with those of the first."""
CALLERS = 4
PATIENCE_SECONDS = (15.0, 60.0)
"""How long a version may take to live. The quick form waits longer: what loads steps back behind all others,
so that a machine that is busy with other things too delays it.
"""


@dataclass
class Swaps:
    """What has been put there and what was answered."""

    live: list[tuple[float, int]] = field(default_factory=list)
    """When which version was seen to be live."""
    bad: list[int] = field(default_factory=list)
    missed: list[int] = field(default_factory=list)
    """Good versions that did not come to life in time."""
    wrong: int = 0
    """Answers whose scores are not those of the version that they name, or that name a bad version."""
    megabytes: list[float] = field(default_factory=list)
    """What the service held after each version that was put there."""

    def megabytes_before_and_after(self) -> tuple[float, float]:
        """Return the medians of a tenth of the versions, after a quarter of them and at the end.

        One value says little: the two sets of weights differ in size, and so do the two that are held.
        """
        tenth = max(1, len(self.megabytes) // 10)
        quarter = len(self.megabytes) // 4
        return median(self.megabytes[quarter : quarter + tenth]), median(self.megabytes[-tenth:])


def swaps(scale: Scale) -> Iterator[Row]:
    """Put a hundred good versions there and twenty bad ones."""
    good, bad = scale.of((100, 20), (2, 1))
    patience = scale.of(*PATIENCE_SECONDS)
    name = f"{good} swaps, {bad} bad versions"
    if "models_poll_seconds" not in Settings.model_fields:
        yield Row(name, "no setting models_poll_seconds", "-", None)
        return
    with tempfile.TemporaryDirectory(prefix="torture-models-") as folder:
        models = Path(folder)
        place(scale.models, models, 1)
        with serving(models, models_poll_seconds=0.2, models_settle_seconds=0.5) as subject:
            ledger, found = wire.run(_swap(subject, scale, models, good, bad))
    failed = [entry for entry in ledger.entries if entry.status != 200]
    yield Row(f"{name}: failed requests", f"{len(failed)} of {len(ledger.entries):,}", "0", not failed)
    yield Row(f"{name}: not live within {patience:.0f} s", str(found.missed or 0), "0", not found.missed)
    yield Row(f"{name}: not of the version it names", str(found.wrong), "0", not found.wrong)
    first, last = found.megabytes_before_and_after()
    growth = last / first - 1
    figure = f"{growth:+.1%} ({first:.0f} to {last:.0f} MB)"
    yield Row(f"{name}: memory growth", figure, "<= 5 %", growth <= 0.05, timed=scale.quick)


def place(source: Path, models: Path, version: int, *, bad: bool = False) -> None:
    """Put a version into the folder as an export does: a hidden sibling, renamed when it is whole."""
    home = models / NAME
    weights = max((source / (NAME if version % 2 else OTHER)).iterdir(), key=lambda path: int(path.name))
    hidden = home / f".{version}"
    shutil.copytree(weights, hidden)
    manifest = hidden / "assets.extra" / "manifest.json"
    fields = json.loads(manifest.read_text()) | {"name": NAME, "version": version}
    manifest.write_text(json.dumps(fields))
    if bad:
        graph = hidden / "saved_model.pb"
        data = bytearray(graph.read_bytes())
        data[len(data) // 2] ^= 1
        graph.write_bytes(data if version % 3 else data[: len(data) // 2])
    hidden.rename(home / str(version))


async def _swap(subject: Subject, scale: Scale, models: Path, good: int, bad: int) -> tuple[Ledger, Swaps]:
    image = workloads()["digit"].images[0]
    patience = scale.of(*PATIENCE_SECONDS)
    request = wire.post(f"/classify?model={NAME}", image, "image/png")
    ledger, found = Ledger(), Swaps([(time.perf_counter(), 1)])
    answers: dict[int, dict[str, float]] = {}
    async with Client(subject.url, ledger) as client, httpx.AsyncClient(base_url=subject.url) as eyes:

        def check(number: int, entry: Entry, reply: Reply | None) -> None:
            if entry.status == 200 and reply:
                found.wrong += not _holds(orjson.loads(bytes(reply.body)), answers, found.bad)

        load = asyncio.create_task(wire.closed_loop(client, cycle([request]), CALLERS, 3600, check))
        version = 1
        total = good + bad
        for number in range(total):
            version += 1
            is_bad = number % (total // bad) == total // bad - 1 and len(found.bad) < bad
            if is_bad:
                found.bad.append(version)
            place(scale.models, models, version, bad=is_bad)
            if not await _seen(eyes, version, is_bad, patience) and not is_bad:
                found.missed.append(version)
            shutil.rmtree(models / NAME / str(version - 4), ignore_errors=True)
            # What tried the version may still be on its way out.
            await asyncio.sleep(0.2)
            found.megabytes.append(subject.megabytes())
        load.cancel()
        await asyncio.gather(load, return_exceptions=True)
    ledger.entries = [entry for entry in ledger.entries if entry.outcome != "open"]
    return ledger, found


async def _seen(eyes: httpx.AsyncClient, version: int, is_bad: bool, patience: float) -> bool:
    """Wait until a version is live, or a bad one refused; False where that does not happen in time."""
    stop = time.perf_counter() + (2.0 if is_bad else patience)
    while time.perf_counter() < stop:
        report = (await eyes.get("/readyz")).json()["models"][NAME]
        if str(version) in report["refused"] if is_bad else report["live"] == version:
            return True
        await asyncio.sleep(0.02)
    return False


def _holds(answer: dict[str, Any], answers: dict[int, dict[str, float]], bad: list[int]) -> bool:
    """Say whether the scores are those that the weights of the named version have given before."""
    version = answer["model"]["version"]
    scores = {entry["label"]: entry["score"] for entry in answer["results"][0]["top"]}
    expected = answers.setdefault(version % 2, scores)
    same = scores.keys() == expected.keys() and all(
        abs(score - expected[label]) < 0.01 for label, score in scores.items()
    )
    return same and version not in bad
