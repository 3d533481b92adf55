"""Processes under measurement: started as a user would, their memory and their processor time."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import httpx

_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Server:
    """A running server."""

    name: str
    url: str
    process: subprocess.Popen[bytes]
    seconds_to_ready: float

    @property
    def pid(self) -> int:
        """The process that was started."""
        return self.process.pid

    def cpu_seconds(self) -> float:
        """Return the processor time of the process and its children so far."""
        return sum(_cpu(pid) for pid in family(self.pid))

    def pss_megabytes(self) -> float:
        """Return the proportional set size of the process and its children."""
        total = 0
        for pid in family(self.pid):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
        return total / 1024


def family(pid: int) -> list[int]:
    """Return the process and its children, and theirs: those that still live."""
    children: list[str] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children += task.read_text().split()
        except OSError:
            continue
    return [pid, *(member for child in children for member in family(int(child)))]


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


@contextmanager
def running(
    name: str,
    command: list[str],
    probe: str,
    stderr: int | IO[bytes] = subprocess.DEVNULL,
    cwd: Path | None = None,
    /,
    **environment: str,
) -> Iterator[Server]:
    """Start a Python module on a free port (`{port}` in the command) and wait until `probe` answers 200.

    With `cwd`, the module is the one in that folder.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", *(word.format(port=port) for word in command)]
    started = time.perf_counter()
    process = subprocess.Popen(words, env=os.environ | environment, stderr=stderr, cwd=cwd)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(process, url + probe)
        yield Server(name, url, process, time.perf_counter() - started)
    finally:
        process.terminate()
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


def _wait(process: subprocess.Popen[bytes], url: str) -> None:
    end = time.perf_counter() + 120
    # A client of its own each time would cost a third of a core, which is then missing for the start.
    with httpx.Client() as client:
        while time.perf_counter() < end:
            if process.poll() is not None:
                raise RuntimeError(f"The server ended with {process.returncode} before it was ready.")
            try:
                if client.get(url).status_code < 400:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.01)
    raise RuntimeError("The server was not ready within two minutes.")


def striate(models: Path, **settings: str) -> list[str]:
    """Return the command of the service itself."""
    options = {"models-dir": str(models), "port": "{port}", "log-level": "warning", **settings}
    return ["service", *(f"--{name}={value}" for name, value in options.items())]


def uvicorn(app: str, *options: str) -> list[str]:
    """Return the command of another ASGI app, with the same parser and loop as the service has."""
    words = ["uvicorn", app, "--port", "{port}", "--http", "httptools", "--loop", "uvloop"]
    return [*words, "--no-access-log", "--log-level", "warning", *options]
