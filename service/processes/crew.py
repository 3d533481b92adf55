"""The workers of a supervisor: started, heard, told who accepts connections, retired, buried."""

import logging
import multiprocessing
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import resource_tracker
from typing import Any

from service.configuration.settings import Settings
from service.processes.member import ACCEPT, NOT_READY, PAUSE, READY, Worker
from service.processes.worker import Job, work
from service.telemetry.tally import Tally

log = logging.getLogger("service")

_RANKS = {b"": 0, NOT_READY: 1, READY: 2}


class Crew:
    """The processes that live, in the order of their start; `workers` is all of its state that changes.

    `selector` calls what hears each of them; `loaded` is called when one has loaded its models.
    """

    def __init__(
        self,
        settings: Settings,
        options: dict[str, Any],
        sockets: list[socket.socket],
        selector: selectors.BaseSelector,
        loaded: Callable[[], None],
    ) -> None:
        self.workers: list[Worker] = []
        self._settings = settings
        self._options = options
        self._sockets = sockets
        self._selector = selector
        self._loaded = loaded
        self._context = multiprocessing.get_context("spawn")
        # Twice as many as work at a time: each may be draining while its successor works already.
        self._regions = 2 * settings.workers
        self._tally = _shared_counts(self._regions)

    def __repr__(self) -> str:
        return f"Crew({self.workers})"

    @property
    def missing(self) -> int:
        """How many there are too few, those not counted that leave or are to replace another."""
        working = sum(not worker.leaving and worker.replaces is None for worker in self.workers)
        return self._settings.workers - working

    def start(self, replaces: Worker | None = None) -> None:
        """Start one, unless so many still drain that there is no region of counts for it."""
        used = {worker.region for worker in self.workers}
        region = next((number for number in range(self._regions) if number not in used), None)
        if region is None:
            return
        if self._tally is not None:
            self._tally.begin(region)
        mine, its = socket.socketpair()
        job = Job(self._settings, self._options, self._sockets, its, self._tally, region)
        process = self._context.Process(target=work, args=(job,), name="worker")
        with its:
            # It is born with Ctrl-C held back, until it knows what to do with it. The tracker, if started
            # together with the first one, would let go of it too early.
            resource_tracker.ensure_running()
            held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                process.start()
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, held)
        mine.setblocking(False)
        worker = Worker(process, mine, region, time.monotonic(), replaces=replaces)
        self._selector.register(mine, selectors.EVENT_READ, self._listener(worker))
        self.workers.append(worker)

    def _listener(self, worker: Worker) -> Callable[[], None]:
        def hear() -> None:
            try:
                words = worker.channel.recv(64)
            except OSError:
                words = b""
            if not words:
                self._selector.unregister(worker.channel)
                return
            worker.beat = time.monotonic()
            for word in (words[at : at + 1] for at in range(len(words))):
                if word in (READY, NOT_READY):
                    self._note(worker, word)

        return hear

    def _note(self, worker: Worker, state: bytes) -> None:
        if not worker.state:
            worker.loaded = worker.beat
            self._loaded()
        worker.state = state

    def choose(self) -> None:
        """Have those accept connections whose models are best: all live; else loaded; else the first one."""
        staying = [worker for worker in self.workers if not worker.leaving]
        best = max((_RANKS[worker.state] for worker in staying), default=0)
        chosen = [worker for worker in staying if _RANKS[worker.state] == best]
        for worker in staying:
            accepts = worker in (chosen if best else chosen[:1])
            if accepts != worker.accepts:
                worker.accepts = accepts
                worker.tell(ACCEPT if accepts else PAUSE)

    def retire(self, worker: Worker) -> None:
        """Have a worker finish what it has and end."""
        worker.leaving, worker.accepts, worker.replaces = True, False, None
        worker.kill(signal.SIGTERM)

    def bury(self) -> list[Worker]:
        """Let go of those that have ended, and return them."""
        ended = [worker for worker in self.workers if worker.process.exitcode is not None]
        for worker in ended:
            self.workers.remove(worker)
            with suppress(KeyError):
                self._selector.unregister(worker.channel)
            worker.channel.close()
            if self._tally is not None:
                self._tally.end(worker.region)
            for other in self.workers:
                if other.replaces is worker:
                    other.replaces = None
        return ended

    def end_the_stuck(self, now: float) -> None:
        """Kill those that have not been heard of for too long."""
        patience = self._settings.stuck_seconds
        for worker in self.workers:
            limit = patience if worker.state else patience + self._settings.load_timeout_seconds
            if not worker.leaving and now - worker.beat > limit:
                log.error("worker %s has not been heard of for %g s", worker.process.pid, limit)
                worker.kill(signal.SIGKILL)
                worker.beat = now

    def kill_all(self) -> None:
        """End all at once."""
        for worker in self.workers:
            worker.kill(signal.SIGKILL)
            worker.process.join()
        self.bury()


def _shared_counts(regions: int) -> Tally | None:
    if sys.platform != "linux":
        return None
    try:
        return Tally(regions)
    except OSError as error:
        log.warning("each worker counts for itself, as /metrics says: %s", error.strerror or error)
        return None
