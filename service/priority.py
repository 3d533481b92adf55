"""Who goes first when there are more threads than cores: the event loop, then what holds the interpreter."""

import contextlib
import os
import threading
from pathlib import Path

HANDS = 5
"""The niceness of threads that decode and encode."""


MEASURING = 15
"""The niceness of what measures a model: it takes what answers leave."""


def step_back(niceness: int) -> None:
    """Have this thread, and those that it starts, step back behind those of less niceness (0 to 19).

    Computing takes milliseconds at a time, the loop microseconds: with equal rights a request that needs
    neither much would wait for both. A thread that decodes or encodes holds the interpreter at times; if a
    computing thread pushes it aside then, the loop waits for both. Linux has a priority per thread;
    elsewhere nothing happens.
    """
    _step_back(threading.get_native_id(), niceness)


def step_back_natives(niceness: int) -> None:
    """Have the threads step back that libraries have started, and those that they start: all but Python's."""
    ours = {thread.native_id for thread in threading.enumerate()}
    with contextlib.suppress(OSError):
        for thread in [int(path.name) for path in Path("/proc/self/task").iterdir()]:
            if thread not in ours:
                _step_back(thread, niceness)


def _step_back(thread: int, niceness: int) -> None:
    with contextlib.suppress(AttributeError, OSError):
        os.setpriority(os.PRIO_PROCESS, thread, max(niceness, os.getpriority(os.PRIO_PROCESS, thread)))
