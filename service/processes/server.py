"""uvicorn, with an order of leaving: say so, wait, let nobody in, finish what was taken on, end in time."""

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

import uvicorn

from service.processes import listeners
from service.telemetry import logs

log = logging.getLogger("service")

LAST_SECONDS = 5.0
"""How much of a stop's time is left for closing the models, after the last request."""


class Server(uvicorn.Server):
    """Stops in this order at SIGTERM or SIGINT: `on_stop` is called, so that /readyz turns to 503; for
    `drain_seconds` all goes on; then no connection is let in any more, those that wait are accepted, and what
    was begun is finished. `stop_seconds` after the drain the process ends, whatever still holds it up. A
    second signal ends it at once. SIGHUP is passed over, unless the terminal is gone: nothing could
    take over.
    """

    def __init__(
        self, config: uvicorn.Config, on_stop: Callable[[], None], drain_seconds: float, stop_seconds: float
    ) -> None:
        super().__init__(config)
        config.timeout_graceful_shutdown = graceful_seconds(stop_seconds)  # type: ignore[assignment]
        self._on_stop = on_stop
        self._drain_seconds = drain_seconds
        self._stop_seconds = stop_seconds
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the app, then listen."""
        self._loop = asyncio.get_running_loop()
        signal.signal(signal.SIGHUP, self._hang_up)
        await super().startup(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal, as uvicorn calls it."""
        if self._stopping:
            self.force_exit = True
            super().handle_exit(sig, frame)
            return
        self._stopping = True
        self._on_stop()
        if not self._drain_seconds:
            self._leave(sig, frame)
            return
        leave = threading.Timer(self._drain_seconds, self._leave, (sig, frame))
        leave.daemon = True
        leave.start()

    def _leave(self, sig: int, frame: FrameType | None) -> None:
        end_within(self._stop_seconds, 128 + sig)
        super().handle_exit(sig, frame)

    def _hang_up(self, sig: int, frame: FrameType | None) -> None:
        if self._loop is None:
            return
        if sys.stderr.isatty():
            # Its terminal is gone, and with it whoever could end it.
            self.handle_exit(signal.SIGTERM, frame)
        else:
            # Not here: a signal may come while this thread is logging.
            self._loop.call_soon_threadsafe(_pass_over)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let nobody more in, accept who waits, then stop as uvicorn does."""
        await self.empty(sockets or [])
        # For connections that come to life after those there are have been told.
        self.server_state.stopping = True  # type: ignore[attr-defined]
        await super().shutdown(sockets)

    async def empty(self, sockets: list[socket.socket]) -> None:
        """Return when nobody waits to be accepted, and nobody can any more."""
        closing = listeners.Closing(sockets)
        while not closing.done() and not self.force_exit:  # noqa: ASYNC110 - the kernel tells nobody
            await asyncio.sleep(0.01)


def graceful_seconds(stop_seconds: float) -> float:
    """Return how much of a stop's time is for requests."""
    return max(stop_seconds - LAST_SECONDS, stop_seconds / 2)


def end_within(seconds: float, status: int) -> None:
    """End this process after so many seconds, whatever holds it up: an engine's call cannot be ended, say."""

    def end() -> None:
        time.sleep(seconds)
        log.error("not ended within %g s: what still ran is cut off", seconds)
        logs.settle(0.2)
        os._exit(status)

    threading.Thread(target=end, name="end", daemon=True).start()


def _pass_over() -> None:
    log.warning(
        "SIGHUP is passed over: one worker cannot be replaced without a gap; new models come by themselves"
    )
