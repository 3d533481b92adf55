"""How much memory there is, and giving back what is no longer used."""

import contextlib
import ctypes
import gc
from pathlib import Path

MARGIN = 64 * 2**20
"""Left free beside a version that is loaded, in bytes."""

FACTOR = 6
"""A loaded version needs about this many times its files: weights are kept in several layouts."""


def available() -> int | None:
    """Return the bytes that this process may still take, by the host and by its cgroup; None where untold."""
    found = []
    with contextlib.suppress(OSError, ValueError):
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        found += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    with contextlib.suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        limit = int((group / "memory.max").read_text("ascii"))
        found.append(limit - int((group / "memory.current").read_text("ascii")))
    return min(found, default=None)


def suffices(size: int) -> bool:
    """Tell whether a version of so many bytes on disk can be loaded beside what is there."""
    free = available()
    return free is None or size * FACTOR + MARGIN <= free


def give_back() -> None:
    """Return to the system what a closed engine held.

    An engine of OpenVINO is gone with its last reference; what TensorFlow loads refers to itself in circles.
    A collection holds all threads up, but it passes over all that was frozen after the start.
    """
    gc.collect()
    with contextlib.suppress(AttributeError, OSError):
        # glibc keeps freed memory for itself otherwise.
        ctypes.CDLL(None).malloc_trim(0)
