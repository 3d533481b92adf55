"""A worker as its supervisor sees it, and the words between the two.

They speak in single bytes, over a pair of sockets: so neither ever waits for the other, and whoever is left
reads the end when the other is gone.
"""

import os
import signal
import socket
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.process import BaseProcess

READY, NOT_READY, ALIVE = b"r", b"n", b"."
"""What a worker says: that its models are loaded, and all live or not; that its loop goes round."""

ACCEPT, PAUSE, DRAIN = b"a", b"p", b"d"
"""What it is told: to accept connections, to leave them to others, to say that it is stopping."""


@dataclass(eq=False)
class Worker:
    """One process."""

    process: BaseProcess
    channel: socket.socket
    region: int
    beat: float
    """When it was last heard of."""
    state: bytes = b""
    """READY or NOT_READY, once its models are loaded."""
    loaded: float = 0.0
    accepts: bool = False
    leaving: bool = False
    replaces: "Worker | None" = None

    def tell(self, word: bytes) -> None:
        """Send it a word."""
        with suppress(OSError):
            self.channel.send(word, socket.MSG_DONTWAIT)

    @property
    def end(self) -> str:
        """How it ended, in words."""
        code = self.process.exitcode or 0
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"

    def kill(self, number: signal.Signals) -> None:
        """Send it a signal."""
        if self.process.pid is not None and self.process.exitcode is None:
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, number)
