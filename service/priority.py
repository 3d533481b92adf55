"""Who goes first when there are more threads than cores: the event loop, then what holds the interpreter."""

import contextlib
import os
import threading

HANDS = 5
"""The niceness of threads that decode and encode."""


def step_back(niceness: int) -> None:
    """Have this thread, and those that it starts, step back behind those of less niceness (0 to 19).

    Computing takes milliseconds at a time, the loop microseconds: with equal rights a request that needs
    neither much would wait for both. A thread that decodes or encodes holds the interpreter at times; if a
    computing thread pushes it aside then, the loop waits for both. Linux has a priority per thread;
    elsewhere nothing happens.
    """
    with contextlib.suppress(AttributeError, OSError):
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, max(niceness, os.getpriority(os.PRIO_PROCESS, thread)))
