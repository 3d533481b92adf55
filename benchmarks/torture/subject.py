"""The service under torture: started as a user would, and what it costs the machine."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import servers
from benchmarks.torture.trial import known, setting

ROOM_MEGABYTES = 256
"""What connections and allocators may add to the budgets of bodies and decoders."""


@dataclass(frozen=True)
class Subject:
    """A running service. `log` is what it has written to stderr so far."""

    server: servers.Server
    log_file: Path
    temporary: Path
    """The only folder that it takes for temporary files."""

    @property
    def url(self) -> str:
        """Its address."""
        return self.server.url

    @property
    def tracebacks(self) -> int:
        """How many exceptions nobody expected it has logged."""
        return self.log_file.read_text(errors="replace").count("Traceback (most recent call last)")

    def family(self) -> list[int]:
        """Return the process and its children, those that live."""
        return servers.family(self.server.pid)

    def alive(self) -> bool:
        """Whether the process that was started still runs."""
        return self.server.process.poll() is None

    def stop(self, number: signal.Signals, timeout: float) -> int | None:
        """Send a signal and wait for the end; the exit status, or None where it does not end."""
        self.server.process.send_signal(number)
        try:
            return self.server.process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def forget_peak(self) -> None:
        """Have `peak_megabytes` count from now."""
        for pid in self.family():
            Path(f"/proc/{pid}/clear_refs").write_text("5")

    def peak_megabytes(self) -> float:
        """Return the most memory that its processes held, each at its own time: VmHWM."""
        return self._status("VmHWM:") / 1024

    def megabytes(self) -> float:
        """Return the memory that its processes hold: VmRSS."""
        return self._status("VmRSS:") / 1024

    def threads(self) -> int:
        """Return how many threads it has."""
        return self._status("Threads:")

    def descriptors(self) -> int:
        """Return how many files and sockets it has open."""
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in self.family())  # noqa: PTH208

    def _status(self, field: str) -> int:
        total = 0
        for pid in self.family():
            try:
                lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            except OSError:  # it has ended meanwhile
                continue
            total += sum(int(line.split()[1]) for line in lines if line.startswith(field))
        return total


def budget_megabytes() -> float:
    """Return how much more than idle the service may hold, whatever is sent."""
    budgets = setting("decode_budget_bytes", 512 * 2**20) + setting("max_held_bytes", 256 * 2**20)
    return budgets / 2**20 + ROOM_MEGABYTES


@contextmanager
def serving(models: Path, *plants: str, **settings: object) -> Iterator[Subject]:
    """Start the service with its models and wait until it is ready; with `plants`, with faults in it.

    Settings that this version of the service does not have are left out.
    """
    command = servers.striate(models)
    if plants:
        command = ["benchmarks.torture.planted", *plants, "--", *command[1:]]
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        log_file, temporary = Path(folder) / "log", Path(folder) / "tmp"
        temporary.mkdir()
        words = {"TMPDIR": str(temporary), **known(**settings)}
        with (
            log_file.open("wb") as log,
            servers.running("striate", command, "/readyz", log, **words) as server,
        ):
            yield Subject(server, log_file, temporary)
