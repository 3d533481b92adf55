"""What runs on this machine, and waiting until it does what it should."""

import time
from collections.abc import Callable
from pathlib import Path


def until(holds: Callable[[], object], seconds: float = 60) -> None:
    """Return when something holds that another process or thread brings about; an AssertionError where it
    does not in time. It is looked at a hundred times a second: no event tells of it.
    """
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends, "it did not come to hold"
        time.sleep(0.01)


def children(pid: int) -> list[int]:
    """Return the processes that a process has started and that still run."""
    # Each thread has its own list.
    lists = [thread.read_text().split() for thread in Path(f"/proc/{pid}/task").glob("*/children")]
    return sorted(int(number) for numbers in lists for number in numbers if runs(int(number)))


def runs(pid: int) -> bool:
    """Return whether a process is there and no zombie, which waits for its parent to look at it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
