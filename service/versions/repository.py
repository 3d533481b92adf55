"""The live models: which version of each answers, and the change from one to another.

Versions come in and go out through `arrange`, on the event loop, so that a request that has found a predictor
holds it before anything else happens. A version that is replaced drains: who holds it is answered by it.
"""

import asyncio
import logging
import random
import threading
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from service.errors import ModelNotFound, NotReady, VersionNotFound, WrongTask
from service.inference.predictor import Predictor
from service.manifest import Task
from service.telemetry.metrics import Metrics
from service.versions.golden import Deviation
from service.versions.plan import Plan
from service.versions.policy import Policy

log = logging.getLogger("service")

CLOSE_SECONDS = 2
"""How long the end waits for those who still hold a predictor, after the server has cancelled them."""


@dataclass(frozen=True)
class Live:
    """A live version: its predictor, how close its golden answers came, and the seconds it took to load."""

    predictor: Predictor
    deviations: list[Deviation]
    seconds: float = 0.0
    folder: Path = Path()
    """Where it was loaded from; the folder may have gone since."""

    @property
    def version(self) -> int:
        """The version's number."""
        return self.predictor.manifest.version


@dataclass
class Slot:
    """What is known of one model: the live version, and why others are not."""

    live: Live | None = None
    """The version that answers requests that ask for none."""
    refused: dict[int, str] = field(default_factory=dict)
    loaded: dict[int, Live] = field(default_factory=dict)
    """All versions in memory: the live one, those with labels, and the one before."""
    canary: Live | None = None
    """Answers `policy.canary_share` of the requests that ask for none."""
    previous: int | None = None
    policy: Policy = field(default_factory=Policy)
    complaint: str = ""
    """What is wrong with the policy."""
    sound: bool = False
    """Whether a start with the folder as it is would bring a version of it to life."""
    on_disk: tuple[int, ...] = ()
    loading: int | None = None
    waiting: dict[int, str] = field(default_factory=dict)
    """Versions whose files may still be on their way, or that are tried again."""
    draining: list[int] = field(default_factory=list)


class Repository:
    """The live models. A watcher fills it, through `arrange`; everything else only reads."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.slots: dict[str, Slot] = {}
        self.loading = True
        self.complaint = "The models are still being loaded."
        """Why the service is not ready; empty when it is."""
        self.unread = ""
        """Why the folder of models could not be read the last time; empty where it could."""
        self.wake = threading.Event()
        """Set to have the folder looked at now."""
        self.closed = False
        """Whether a version has been closed, whose memory is to be given back."""
        self._draining: set[asyncio.Task[None]] = set()

    @property
    def ready(self) -> bool:
        """Whether all models have been looked at, and one is sound."""
        return not self.complaint

    def live(self) -> list[Live]:
        """Return the live versions, by name: of each model the one that answers where none is asked for."""
        return [slot.live for _, slot in sorted(self.slots.items()) if slot.live]

    def live_of(self, predictor: Predictor) -> Live:
        """Return what belongs to a predictor that was found."""
        slot = self.slots[predictor.manifest.name]
        return next(
            each for each in (slot.live, *slot.loaded.values()) if each and each.predictor is predictor
        )

    def find(
        self, name: str, version: int | None, tasks: Collection[Task] | None, label: str | None = None
    ) -> Predictor:
        """Return the live predictor of that name, which does one of the tasks.

        ModelNotFound, VersionNotFound, WrongTask or NotReady.
        """
        live = self.found(name, version, label)
        slot = self.slots[name]
        if version is None and label is None and (canary := slot.canary) is not None:
            live = canary if random.random() < slot.policy.canary_share else live  # noqa: S311
        predictor = live.predictor
        if tasks is not None and predictor.manifest.task not in tasks:
            raise self._wrong_task(predictor, tasks)
        return predictor

    def found(self, name: str, version: int | None, label: str | None = None) -> Live:
        """Return the live version of that name and number or label, and never by chance another: what is told
        of a model should not change from one question to the next.

        ModelNotFound, VersionNotFound or NotReady.
        """
        slot = self.slots.get(name)
        if slot is None or slot.live is None:
            raise self._not_found()
        if version is None and label is None:
            return slot.live
        return _chosen(slot, slot.live, version, label)

    def _not_found(self) -> ModelNotFound | NotReady:
        if self.loading or not self.live():
            return NotReady(self.complaint)
        names = ", ".join(live.predictor.manifest.name for live in self.live())
        return ModelNotFound(f"There is no live model of that name. There are: {names}.")

    def _wrong_task(self, predictor: Predictor, tasks: Collection[Task]) -> WrongTask:
        able = [live.predictor.manifest.name for live in self.live() if live.predictor.manifest.task in tasks]
        manifest = predictor.manifest
        return WrongTask(
            f"The model {manifest.name} does {manifest.task}. Models for {' or '.join(tasks)}: "
            f"{', '.join(able) or 'none'}."
        )

    async def arrange(self, name: str, loaded: dict[int, Live], plan: Plan, policy: Policy) -> None:
        """Have these versions of a model in memory and answer as planned. What is no longer kept drains."""
        slot = self.slots[name]
        former = list(slot.loaded.values())
        was = slot.live
        kept = {version: live for version, live in loaded.items() if version in plan.keep}
        slot.loaded, slot.policy = kept, policy
        slot.live = kept.get(plan.live, was) if plan.live is not None else was
        slot.canary = kept.get(plan.canary) if plan.canary is not None else None
        for live in kept.values():
            if all(live is not each for each in former):
                _tell(live)
        if slot.live is not was:
            self._announce(name, was, slot)
        staying = {id(live) for live in (*kept.values(), slot.live)}
        leaving = [live for live in (*former, *loaded.values()) if id(live) not in staying]
        for live in {id(live): live for live in leaving}.values():
            slot.draining.append(live.version)
            task = asyncio.create_task(self._drain(slot, live))
            self._draining.add(task)
            task.add_done_callback(self._draining.discard)

    def _announce(self, name: str, was: Live | None, slot: Slot) -> None:
        assert slot.live is not None
        engine = slot.live.predictor.engine
        if was is not None:
            former = was.predictor.engine
            if was.version != slot.live.version:
                slot.previous = was.version
            if (former.name, former.precision) != (engine.name, engine.precision):
                # No series can be taken back where several processes count together; no version is 0.
                self._metrics.live_version.labels(name, former.name, former.precision).set(0)
            log.info("switched %s from %d to %d", name, was.version, slot.live.version)
        self._metrics.live_version.labels(name, engine.name, engine.precision).set(slot.live.version)

    async def _drain(self, slot: Slot, live: Live) -> None:
        await live.predictor.close()
        slot.draining.remove(live.version)
        log.info("closed %s/%d", live.predictor.manifest.name, live.version)
        self.closed = True
        self.wake.set()

    async def close(self) -> None:
        """Drain and stop every predictor."""
        lives = (live for slot in self.slots.values() for live in (slot.live, *slot.loaded.values()) if live)
        every = {id(live): live for live in lives}
        closing = {asyncio.create_task(live.predictor.close()) for live in every.values()}
        if closing := closing | self._draining:
            await asyncio.wait(closing, timeout=CLOSE_SECONDS)


def _chosen(slot: Slot, live: Live, version: int | None, label: str | None) -> Live:
    """Return the version that is asked for; VersionNotFound tells which there are."""
    name = live.predictor.manifest.name
    if label is not None:
        labels = slot.policy.labels
        number = live.version if label == "stable" and "stable" not in labels else labels.get(label)
        if number is None or (version is not None and version != number):
            known = ", ".join(sorted({"stable", *labels}))
            raise VersionNotFound(f"{name} has no such label, or not for that version. There are: {known}.")
        version = number
    if version == live.version:
        return live
    found = slot.loaded.get(version) if version is not None else None
    if found is None:
        others = sorted({live.version, *slot.loaded})
        known = ", ".join(map(str, others))
        raise VersionNotFound(
            f"The live version of {name} is {known}." if len(others) == 1 else f"{name} has live: {known}."
        )
    return found


def _tell(live: Live) -> None:
    manifest, engine = live.predictor.manifest, live.predictor.engine
    log.info(
        "live %s/%d: %s, %s, %s (%s), in %.2f s; golden answers within %s",
        manifest.name,
        manifest.version,
        manifest.task,
        engine.name,
        engine.precision,
        engine.plan,
        live.seconds,
        ", ".join(f"{each.output} {each.difference:.4f}" for each in live.deviations),
    )
