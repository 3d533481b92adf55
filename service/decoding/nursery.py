"""The server's end of the process that decoders are forked from: see `worker`."""

import os
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from service.decoding.worker import BIRTH, BORN

IMPORT_SECONDS = 20
"""How long the first decoder may take to come, with all the imports."""
BIRTH_SECONDS = 2
"""How long any other may: it takes some 10 ms. What does not answer by then was stopped, or hangs."""
KEPT_BYTES = str(2**24)
"""Free memory that a decoder keeps, at most."""

_KEPT = ("PATH", "LD_", "LANG", "LC_", "PYTHON", "MALLOC_", "TMPDIR")
"""What a decoder gets of the environment: nothing that could be a secret."""


class Barren(Exception):
    """No decoder could be had."""


@dataclass(frozen=True)
class Born:
    """A new decoder: the server's end of its socket, its number and a handle on it (a pidfd)."""

    peer: socket.socket
    pid: int
    handle: int


class Nursery:
    """Brings decoders into being, which may take `memory` bytes above what they start with. Thread-safe."""

    def __init__(self, module: str, memory: int, niceness: int) -> None:
        self._module = module
        self._birth = BIRTH.pack(memory, niceness)
        self._lock = threading.Lock()
        self.process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        # The process is to end with the server. Linux has it end with the thread that started it, so that is
        # one that stays: who asks for a decoder may be a thread of a model that is replaced.
        self._starter = ThreadPoolExecutor(1, "nursery")

    def start(self) -> None:
        """Start the process, so that the first image need not wait for its imports."""
        with self._lock:
            if not self.process:
                self._open()

    def bear(self) -> Born:
        """Return a new decoder; Barren where there can be none."""
        with self._lock:
            for _ in range(2):
                mine, its = socket.socketpair()
                with its, suppress(OSError, EOFError):
                    if not self._control:
                        self._open()
                    assert self._control
                    socket.send_fds(self._control, [self._birth], [its.fileno()])
                    message, handles, _, _ = socket.recv_fds(self._control, BORN.size, 1)
                    if message:
                        self._control.settimeout(BIRTH_SECONDS)
                        (pid,) = BORN.unpack(message)
                        return Born(mine, pid, handles[0])
                mine.close()
                self._close()
        raise Barren

    def _open(self) -> None:
        self._control, its = socket.socketpair()
        self._control.settimeout(IMPORT_SECONDS)
        with its:
            self.process = self._starter.submit(self._start, its.fileno()).result()

    def _start(self, control: int) -> "subprocess.Popen[bytes]":
        environment = {name: value for name, value in os.environ.items() if name.startswith(_KEPT)}
        # As many threads as decoders would otherwise stand by in each of them; a fork takes none along.
        environment |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        # What usual images take stays with the decoder: to get it anew page by page takes a third of a WebP's
        # time. What large ones take goes back.
        environment |= {"MALLOC_TRIM_THRESHOLD_": KEPT_BYTES, "MALLOC_MMAP_THRESHOLD_": KEPT_BYTES}
        environment["PYTHONPATH"] = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
        return subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", self._module, str(control)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[control],
            start_new_session=True,
        )

    def _close(self) -> None:
        if self._control:
            self._control.close()
        if self.process:
            # All decoders end with it. It does so though it may be stopped.
            self.process.kill()
            self.process.wait()
        self._control = self.process = None

    def close(self) -> None:
        """End the process. Nobody may ask any more."""
        with self._lock:
            self._close()
        self._starter.shutdown()
