"""Threads that work step back behind the event loop."""

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.priority import step_back


def niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a priority per thread")
def test_only_the_thread_itself_steps_back() -> None:
    """A worker's niceness is the set one, or more where it was more; that of its maker stays."""
    before = niceness()
    with ThreadPoolExecutor(1, initializer=step_back, initargs=(7,)) as pool:
        worker = pool.submit(niceness).result()
    assert worker == max(before, 7)
    assert niceness() == before
