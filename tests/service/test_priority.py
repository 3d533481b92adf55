"""Threads that work step back behind the event loop."""

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.priority import step_back
from tests.processes import until
from tests.worlds import Server

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a priority per thread")


def niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@linux
def test_only_the_thread_itself_steps_back() -> None:
    """A worker's niceness is the set one, or more where it was more; that of its maker stays."""
    before = niceness()
    with ThreadPoolExecutor(1, initializer=step_back, initargs=(7,)) as pool:
        worker = pool.submit(niceness).result()
    assert worker == max(before, 7)
    assert niceness() == before


@linux
def test_engines_step_back_when_they_are_loaded(openvino_server: Server) -> None:
    """Of a server that is ready, the event loop's thread is as it was started, and those that compute are
    behind it.
    """
    pid = openvino_server.process.pid
    threads = Path(f"/proc/{pid}/task")
    # "ready" is said before.
    until(lambda: any(os.getpriority(os.PRIO_PROCESS, int(each.name)) == 19 for each in threads.iterdir()))
    assert os.getpriority(os.PRIO_PROCESS, pid) == os.getpriority(os.PRIO_PROCESS, 0)
