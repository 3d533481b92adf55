"""Several workers as one service: who accepts connections, who is replaced, and how all of them end.

uvicorn's own supervisor has no word for "alive, but not ready": its workers accept connections while their
models are still being loaded, those that wait in the queue are reset when all end, and a worker lives on when
it is gone. Here the sockets belong to the supervisor. Those workers accept whose models are best: all live;
else loaded; else, while nobody has loaded any, the first one, which answers the probes.
"""

import logging
import selectors
import signal
import socket
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from uvicorn.config import STARTUP_FAILURE

from service.configuration.settings import Settings
from service.processes import listeners
from service.processes.crew import Crew
from service.processes.member import DRAIN, Worker

log = logging.getLogger("service")

TICK_SECONDS = 0.1
"""How often it looks at all, when nothing happens."""

LONGEST_WAIT = 30.0
"""Seconds before a worker is started again that keeps ending before it has loaded its models."""

DOUBT_SECONDS = 10.0
"""How long the successor of a worker may take to become as ready as that one was, once it has loaded."""


@dataclass
class _Stop:
    """How far a stop has come."""

    status: int
    drained: float
    closing: listeners.Closing | None = None
    ends: float = field(default=float("inf"))


class Supervisor:
    """Runs `settings.workers` processes on these sockets, until SIGTERM or SIGINT."""

    def __init__(self, settings: Settings, options: dict[str, Any], sockets: list[socket.socket]) -> None:
        self._settings = settings
        self._sockets = sockets
        self._selector = selectors.DefaultSelector()
        self._crew = Crew(settings, options, sockets, self._selector, self._note_loaded)
        self._signals: list[int] = []
        self._stop: _Stop | None = None
        self._to_replace: list[Worker] = []
        self._failures, self._not_before = 0, 0.0
        self._ever_loaded = False
        self._looked = time.monotonic()

    def run(self) -> int:
        """Serve; return the exit status."""
        woken, wakes = socket.socketpair()
        with woken, wakes:
            woken.setblocking(False)
            wakes.setblocking(False)
            signal.set_wakeup_fd(wakes.fileno())
            self._selector.register(woken, selectors.EVENT_READ)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, lambda number, _: self._signals.append(number))
            listeners.listen(self._sockets)
            try:
                while not self._ended():
                    self._turn()
            finally:
                signal.set_wakeup_fd(-1)
                self._crew.kill_all()
        assert self._stop is not None
        return self._stop.status

    def _ended(self) -> bool:
        return self._stop is not None and not self._crew.workers

    def _turn(self) -> None:
        self._hear()
        now = time.monotonic()
        if now - self._looked > max(TICK_SECONDS * 10, 2.0):
            # It was stopped itself, and so may have been the others.
            for worker in self._crew.workers:
                worker.beat = now
        self._looked = now
        while self._signals:
            self._take(self._signals.pop(0))
        self._bury()
        if self._stop is not None:
            self._go_on_stopping(self._stop, now)
            return
        self._crew.end_the_stuck(now)
        self._fill_up(now)
        self._go_on_replacing(now)
        self._crew.choose()

    # What is heard

    def _hear(self) -> None:
        for key, _ in self._selector.select(TICK_SECONDS):
            if key.data is None:
                with suppress(BlockingIOError):
                    key.fileobj.recv(64)  # type: ignore[union-attr]
            else:
                key.data()

    def _note_loaded(self) -> None:
        self._ever_loaded = True
        self._failures = 0

    def _take(self, number: int) -> None:
        if number == signal.SIGHUP:
            if self._stop is None and not self._to_replace:
                log.info("SIGHUP: all workers are replaced, one after the other")
                self._to_replace = [worker for worker in self._crew.workers if not worker.leaving]
            return
        if self._stop is not None:
            self._stop.status = 128 + number
            self._crew.kill_all()
            return
        status = 128 + number if number == signal.SIGINT else 0
        self._begin_to_stop(status, self._settings.drain_seconds)

    # Who works

    def _fill_up(self, now: float) -> None:
        if now >= self._not_before:
            for _ in range(self._crew.missing):
                self._crew.start()

    def _go_on_replacing(self, now: float) -> None:
        """Bring the successor of one worker to life; then that one leaves, and the next has its turn."""
        self._to_replace = [worker for worker in self._to_replace if worker in self._crew.workers]
        if not self._to_replace:
            return
        old = self._to_replace[0]
        new = next((worker for worker in self._crew.workers if worker.replaces is old), None)
        if new is None:
            self._crew.start(replaces=old)
        elif new.accepts:
            new.replaces = None
            self._crew.retire(old)
            self._to_replace.pop(0)
        elif new.state and now - new.loaded > DOUBT_SECONDS:
            log.error("not all models came to life in a new worker: the old ones stay")
            self._crew.retire(new)
            self._to_replace.clear()

    def _bury(self) -> None:
        for worker in self._crew.bury():
            if worker.leaving or self._stop is not None:
                continue
            if worker.replaces is not None:
                log.error("a new worker %s: the old ones stay", worker.end)
                self._to_replace.clear()
                continue
            self._lost(worker)

    def _lost(self, worker: Worker) -> None:
        log.error("worker %s %s; another takes its place", worker.process.pid, worker.end)
        if worker.state:
            return
        if worker.process.exitcode == STARTUP_FAILURE and not self._ever_loaded:
            self._begin_to_stop(STARTUP_FAILURE, 0)
            return
        self._failures += 1
        wait = min(2.0 ** (self._failures - 1), LONGEST_WAIT)
        self._not_before = time.monotonic() + wait

    # The end

    def _begin_to_stop(self, status: int, drain_seconds: float) -> None:
        self._stop = _Stop(status, time.monotonic() + drain_seconds)
        for worker in self._crew.workers:
            worker.tell(DRAIN)

    def _go_on_stopping(self, stop: _Stop, now: float) -> None:
        if now < stop.drained:
            return
        if stop.closing is None:
            stop.closing = listeners.Closing(self._sockets)
        if stop.ends == float("inf"):
            # Whoever waits in the queue is accepted before the workers leave.
            if stop.closing.done() or not any(worker.accepts for worker in self._crew.workers):
                stop.ends = now + self._settings.stop_seconds + 1
                listeners.close(self._sockets)
                for worker in self._crew.workers:
                    worker.kill(signal.SIGTERM)
        elif now >= stop.ends:
            log.error("not ended within %g s: killed", self._settings.stop_seconds)
            self._crew.kill_all()
