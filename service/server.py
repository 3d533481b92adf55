"""uvicorn, with an order of leaving: say so, wait, then take no more and finish what was taken on."""

import threading
from collections.abc import Callable
from types import FrameType

import uvicorn


class Server(uvicorn.Server):
    """Stops in this order at SIGTERM or SIGINT: `on_stop` is called, so that /readyz turns to 503; for
    `drain_seconds` all goes on; then no connection is taken any more, and what was begun is finished. A
    second signal ends it at once.
    """

    def __init__(self, config: uvicorn.Config, on_stop: Callable[[], None], drain_seconds: float) -> None:
        super().__init__(config)
        self._on_stop = on_stop
        self._drain_seconds = drain_seconds
        self._stopping = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal, as uvicorn calls it."""
        if self._stopping:
            self.force_exit = True
            super().handle_exit(sig, frame)
            return
        self._stopping = True
        self._on_stop()
        if not self._drain_seconds:
            super().handle_exit(sig, frame)
            return
        leave = threading.Timer(self._drain_seconds, super().handle_exit, (sig, frame))
        leave.daemon = True
        leave.start()
