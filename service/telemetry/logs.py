"""Log lines to stderr, by a thread of their own: a reader that has stopped must not stop the service."""

import logging
import queue
import sys
import threading
import time

LINES = 10_000
"""Lines that wait for the reader at most; more are dropped, and counted."""

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class Outlet(logging.Handler):
    """Formats each record where it is made and hands the line to a thread that writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter(_FORMAT))
        self._lines: queue.Queue[str] = queue.Queue(LINES)
        self._dropped = 0
        threading.Thread(target=self._write, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue one line, or drop it where too many wait."""
        try:
            self._lines.put_nowait(self.format(record))
        except queue.Full:
            self._dropped += 1
        except Exception:  # noqa: BLE001 - as logging's own handlers do
            self.handleError(record)

    def settle(self, seconds: float) -> None:
        """Wait until all lines are written, no longer than `seconds`."""
        end = time.monotonic() + seconds
        with self._lines.all_tasks_done:
            while self._lines.unfinished_tasks and (left := end - time.monotonic()) > 0:
                self._lines.all_tasks_done.wait(left)

    def _write(self) -> None:
        while True:
            line = self._lines.get()
            if self._dropped:
                line, self._dropped = f"{line}\n({self._dropped} lines were dropped here)", 0
            try:
                sys.stderr.write(line + "\n")
                sys.stderr.flush()
            except (OSError, ValueError):
                # Nobody reads any more; there is nowhere to say so.
                self._dropped += 1
            finally:
                self._lines.task_done()


def configure(level: str) -> None:
    """Send everything of at least this level to stderr.

    Libraries' debug messages hold what they read, Pillow's the texts in a photo: they are never logged.
    """
    root = logging.getLogger()
    for handler in root.handlers[:]:
        root.removeHandler(handler)
    root.addHandler(Outlet())
    number = logging.getLevelNamesMapping()[level.upper()]
    root.setLevel(max(number, logging.INFO))
    logging.getLogger("service").setLevel(number)


def settle(seconds: float = 1.0) -> None:
    """Give the last lines time to be written, before the process ends."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, Outlet):
            handler.settle(seconds)
