"""The folder `models/`, watched: new versions are checked and loaded here, away from requests.

The folder is looked at by names and times alone. One version is loaded at a time, the newest of a model
first, and everything is looked at anew after each.

The service is ready once it has looked at every model and as long as some model is sound: the folder holds a
version of it that passes its checks, and that its policy allows. Thus a start with the same folder would say
the same. A model without such a version takes no other down; what it has in memory goes on answering.
"""

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from service import engines, memory
from service.configuration.settings import Settings
from service.decoding.pool import Hands
from service.engines import Precision
from service.errors import VersionRefused
from service.telemetry.metrics import Metrics
from service.versions import integrity
from service.versions.firstload import FirstLoads, PutOff
from service.versions.listing import Listing
from service.versions.loader import Loader
from service.versions.plan import Plan, View, decide
from service.versions.policy import Policies, Policy
from service.versions.quarantine import Quarantine
from service.versions.repository import Live, Repository, Slot
from service.versions.trial import Trials

log = logging.getLogger("service")


class Watcher:
    """Fills a repository from the folder of models, in a thread of its own."""

    def __init__(self, settings: Settings, repository: Repository, hands: Hands, metrics: Metrics) -> None:
        self._settings = settings
        self._repository = repository
        self._hands = hands
        self._metrics = metrics
        self._listing = Listing(settings.models_dir)
        self._quarantine = Quarantine(settings)
        self._trials = Trials(settings)
        self._loader: Loader | None = None
        self._fresh: dict[str, dict[int, Live]] = {}
        self._files: dict[tuple[str, int], integrity.Fingerprint] = {}
        # Versions that are not to be loaded in this round.
        self._put_off: set[tuple[str, int]] = set()
        self._first = FirstLoads(settings.load_timeout_seconds)
        self._policies = Policies(settings.models_dir)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stopped = False

    def start(self, settle: Callable[[], None]) -> None:
        """Start watching, on the event loop. The thread runs `settle` after the first loading."""
        self._loop = asyncio.get_running_loop()
        # A load cannot be ended from outside; a daemon does not hold the process up.
        self._thread = threading.Thread(target=self._watch, args=(settle,), name="watcher", daemon=True)
        self._thread.start()

    async def stop(self, grace: float = 2.0) -> None:
        """Stop watching. A load in progress is waited for so many seconds; a trial is ended at once."""
        self._stopped = True
        self._trials.stop()
        self._repository.wake.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, grace)
            if self._thread.is_alive():
                log.warning("stopping while a version is still being loaded")

    def _watch(self, settle: Callable[[], None]) -> None:
        self.load()
        settle()
        wake = self._repository.wake
        while not self._stopped:
            if not self._put_off:
                wake.wait(self._settings.models_poll_seconds or None)
            elif self._first:
                wake.wait(1.0)
            wake.clear()
            try:
                self._tidy()
                self._sweep()
            except Exception:
                # Watching must go on, or nothing would ever be loaded again.
                self._metrics.poll_ok.set(0)
                if not self._stopped:
                    log.exception("a bug while looking at the folder of models")

    def load(self) -> None:
        """Bring the best version of each model to life, for the first time."""
        repository = self._repository
        try:
            self._loader = Loader(self._settings, self._hands, self._metrics)
            self._sweep()
            repository.complaint = self._complaint()
        except engines.EngineUnavailable as error:
            repository.complaint = str(error)
        finally:
            repository.loading = False
        if self._stopped:
            log.info("stopped before all models were loaded")
        elif repository.complaint:
            log.error("not ready: %s", repository.complaint)
        else:
            log.info("ready: %d models live", len(repository.slots))

    def _tidy(self) -> None:
        if self._repository.closed:
            self._repository.closed = False
            started = time.perf_counter()
            memory.give_back()
            log.debug("gave memory back in %.1f ms", (time.perf_counter() - started) * 1000)

    def _sweep(self) -> None:
        """Look at everything, and load what is to be loaded, until there is nothing left to do."""
        repository = self._repository
        if self._loader is None:
            return
        self._put_off.clear()
        try:
            while not self._stopped and self._step(self._loader):
                # The ways of computing that were tried and dropped leave tens of megabytes a model.
                memory.give_back()
            unread = "" if self._listing.complete else "The folder of some model cannot be read."
        except OSError as error:
            # Whatever is in memory serves on.
            unread = f"The folder of models cannot be read: {os.strerror(error.errno or 0)}."
        if unread and unread != repository.unread:
            log.error("%s", unread)
        repository.unread = unread
        self._metrics.poll_ok.set(0 if unread else 1)
        if not repository.loading:
            was, repository.complaint = repository.complaint, self._complaint()
            if was and not repository.complaint:
                log.info("ready: %d models live", len(repository.slots))

    def _complaint(self) -> str:
        slots = self._repository.slots
        if any(slot.sound for slot in slots.values()):
            return ""
        if trying := sorted({name for name, _ in self._put_off}):
            return f"Still being tried: {', '.join(trying)}."
        dead = {name: slot.complaint for name, slot in sorted(slots.items()) if slot.on_disk}
        if dead:
            policies = "".join(f" {name}: {complaint}" for name, complaint in dead.items() if complaint)
            return f"No version passes its checks and may serve: {', '.join(dead)}.{policies}"
        return "There are no models in STRIATE_MODELS_DIR: expected <name>/<version>/ folders there."

    def _step(self, loader: Loader) -> bool:
        """Look at each model; load one version where there is one to load, and tell whether there was."""
        found = self._listing.scan()
        slots = self._repository.slots
        for name in slots.keys() - found.keys():
            slots[name].on_disk, slots[name].sound = (), False
            if slots[name].live is None:
                del slots[name]
        for name, versions in found.items():
            slot = slots.setdefault(name, Slot())
            slot.on_disk = tuple(sorted(versions))
            wanted, slot.complaint = self._policies.of(name)
            loaded = slot.loaded | self._fresh.pop(name, {})
            plan = self._plan(name, slot, versions, loaded, wanted)
            self._arrange(name, slot, loaded, plan, wanted)
            if plan.load is not None:
                self._bring(loader, name, plan.load, versions[plan.load])
                return True
        return False

    def _plan(
        self, name: str, slot: Slot, versions: dict[int, Path], loaded: dict[int, Live], wanted: Policy
    ) -> Plan:
        barred = self._barred(name, slot, versions)
        current = {
            version
            for version, live in loaded.items()
            if version not in versions or version in barred or self._is_current(live, versions[version])
        }
        view = View(
            usable=frozenset(versions.keys() - barred),
            loaded=frozenset(current),
            live=slot.live.version if slot.live else None,
            previous=slot.previous,
            policy=wanted,
        )
        plan = decide(view, keep_previous=self._settings.keep_previous)
        if plan.load is None:
            # Until then it is as it was: what is about to be loaded may be sound or not.
            slot.sound = bool(view.usable if wanted.stable is None else {wanted.stable} & view.usable)
        missing = {wanted.stable, *wanted.labels.values()} - {None, plan.load} - current - view.usable
        if missing and not slot.complaint:
            numbers = ", ".join(sorted(map(str, missing)))
            slot.complaint = f"policy.json asks for versions that are refused or not there: {numbers}."
        return plan

    def _is_current(self, live: Live, folder: Path) -> bool:
        """Tell whether a version in memory is the one on disk; where that is deleted, it counts as such."""
        manifest = live.predictor.manifest
        key = (manifest.name, live.version)
        try:
            files = integrity.fingerprint(folder)
            if not files or files == self._files.get(key):
                return True
            if integrity.examine(manifest.name, live.version, folder) != manifest:
                return False
        except VersionRefused:
            return False
        self._files[key] = files
        return True

    def _barred(self, name: str, slot: Slot, versions: dict[int, Path]) -> set[int]:
        """Return the versions that failed and are not to be tried now, and say so to operators."""
        quarantine = self._quarantine
        patient = not self._repository.loading
        barred = {
            version
            for version, folder in versions.items()
            if quarantine.bars(name, version, folder, patient=patient) or (name, version) in self._put_off
        }
        failures = quarantine.of(name)
        quarantine.forget(name, failures.keys() - versions.keys())
        refused = {version: each.error.detail for version, each in quarantine.of(name).items() if each.final}
        new = sorted(refused.keys() - slot.refused.keys())
        slot.refused = refused
        slot.waiting = {
            version: each.error.detail for version, each in quarantine.of(name).items() if not each.final
        }
        self._metrics.refused_versions.labels(name).set(len(refused))
        for version in new:
            if failures[version].error.kind == "incomplete":
                self._metrics.load_failures.labels(name).inc()
            log.error("refused %s/%d: %s", name, version, refused[version])
        return barred

    def _bring(self, loader: Loader, name: str, version: int, folder: Path) -> None:
        """Load a version; where it fails, it goes into quarantine."""
        slot = self._repository.slots[name]
        slot.loading = version
        files: integrity.Fingerprint = ()
        try:
            files = integrity.fingerprint(folder)
            live = self._load(loader, name, version, folder)
        except PutOff:
            self._put_off.add((name, version))
            return
        except VersionRefused as error:
            failure = self._quarantine.add(name, version, files, error)
            if error.kind != "incomplete":
                self._metrics.load_failures.labels(name).inc()
            if not failure.final:
                log.warning("not loaded %s/%d yet: %s", name, version, error.detail)
            return
        finally:
            slot.loading = None
        self._files[name, version] = files
        self._quarantine.forget(name, {version})
        self._fresh.setdefault(name, {})[version] = live

    def _load(self, loader: Loader, name: str, version: int, folder: Path) -> Live:
        integrity.examine(name, version, folder)
        busy = bool(self._repository.live())
        size = sum(size for _, size, _, _ in integrity.fingerprint(folder))
        if busy and not memory.suffices(size):
            raise VersionRefused("There is not enough memory to load it beside what is live.", "passing")
        if (name, version) in self._first:
            return self._first.go_on(name, version)
        precisions: list[Precision] | None = None
        trial = self._settings.trial_load
        if trial == "auto" and self._repository.loading:
            return self._first.begin(loader, name, version, folder)
        if trial != "never":
            precisions = self._trials.run(name, version, folder)
        return loader.bring_to_life(name, version, folder, precisions)

    def _arrange(self, name: str, slot: Slot, loaded: dict[int, Live], plan: Plan, wanted: Policy) -> None:
        """Have the event loop switch, where there is anything to switch."""
        live = slot.live.version if slot.live else None
        canary = slot.canary.version if slot.canary else None
        same = loaded is slot.loaded or loaded == slot.loaded
        if (
            same
            and (plan.live, plan.canary, wanted) == (live, canary, slot.policy)
            and plan.keep == loaded.keys()
        ):
            return
        change = self._repository.arrange(name, loaded, plan, wanted)
        if self._loop is None:
            asyncio.run(change)
        else:
            asyncio.run_coroutine_threadsafe(change, self._loop).result()
