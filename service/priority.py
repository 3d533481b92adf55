"""Who goes first when there are more threads than cores: the event loop."""

import contextlib
import os
import threading

NICENESS = 5


def yield_to_the_loop() -> None:
    """Have this thread, and those that it starts, step back behind the event loop.

    Decoding and computing take milliseconds at a time, the loop microseconds: with equal rights a request
    that needs neither would wait for both. Linux has a priority per thread; elsewhere nothing happens.
    """
    with contextlib.suppress(AttributeError, OSError):
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, max(NICENESS, os.getpriority(os.PRIO_PROCESS, thread)))
