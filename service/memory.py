"""How much memory there is, and giving back what is no longer used."""

import contextlib
import ctypes
import gc
import threading
from collections.abc import Iterator
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


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's mallopt(3): <malloc.h>."""

_IN_BLOCKS = 2**17
_MOST_IN_HEAPS = 32 * 2**20
"""Where glibc's own threshold for mmap stays after it was raised by what a busy process frees; twice as much
may lie free at a heap's end."""


class _Loads:
    """How many loads are under way, which may overlap."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0

    def begin(self) -> None:
        with self._lock:
            self._count += 1
            _set(_MMAP_THRESHOLD, _IN_BLOCKS)

    def end(self) -> None:
        with self._lock:
            self._count -= 1
            if not self._count:
                _set(_MMAP_THRESHOLD, _MOST_IN_HEAPS)
                _set(_TRIM_THRESHOLD, 2 * _MOST_IN_HEAPS)


_loads = _Loads()


@contextlib.contextmanager
def in_blocks() -> Iterator[None]:
    """Meanwhile have every block of 128 KiB or more from the system itself: freed, it is back there.

    What a model is loaded with and what stays lie between one another otherwise, and the heaps never shrink.
    Only while a model is loaded: decoding would lose by it, for it wants its blocks again and again.
    """
    _loads.begin()
    try:
        yield
    finally:
        _loads.end()


def _set(parameter: int, value: int) -> None:
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(parameter, value)


def give_back() -> None:
    """Return to the system what a closed engine held.

    An engine of OpenVINO is gone with its last reference; what TensorFlow loads refers to itself in circles.
    A collection holds all threads up, but it passes over all that was frozen after the start.
    """
    gc.collect()
    with contextlib.suppress(AttributeError, OSError):
        # glibc keeps freed memory for itself otherwise.
        ctypes.CDLL(None).malloc_trim(0)
