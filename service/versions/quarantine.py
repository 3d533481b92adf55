"""Versions that failed: why, and when to try them again.

What fails for good is not tried until its files change. What may pass is tried a few times, with longer and
longer waits. What is incomplete counts as failed once nothing has changed in it for a while.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from service.configuration.settings import Settings
from service.errors import VersionRefused
from service.versions import integrity
from service.versions.integrity import Fingerprint

TRIES = 5
"""How often a version is tried whose failure may pass."""

LONGEST_WAIT = 60.0
"""Seconds between two tries, at most."""


@dataclass
class Failure:
    """One version's."""

    error: VersionRefused
    files: Fingerprint
    since: float
    """By the monotonic clock: when its files were first seen so, or the last try."""
    tries: int
    final: bool
    """Whether it is refused; otherwise it is still waited for."""


class Quarantine:
    """The failures by model and version. Used by one thread."""

    def __init__(self, settings: Settings) -> None:
        self._retry_seconds = settings.load_retry_seconds
        self._settle_seconds = settings.models_settle_seconds
        self._failures: dict[tuple[str, int], Failure] = {}

    def add(self, name: str, version: int, files: Fingerprint, error: VersionRefused) -> Failure:
        """Note that a version failed while its files were these."""
        former = self._failures.get((name, version))
        tries = 1 + (former.tries if former and former.files == files else 0)
        final = error.kind == "lasting" or (error.kind == "passing" and tries >= TRIES)
        failure = Failure(error, files, time.monotonic(), tries, final)
        self._failures[name, version] = failure
        return failure

    def bars(self, name: str, version: int, folder: Path, *, patient: bool) -> bool:
        """Tell whether a version is not to be tried now. Without patience, what is incomplete is refused."""
        failure = self._failures.get((name, version))
        if failure is None:
            return False
        if _files(folder) != failure.files:
            del self._failures[name, version]
            return False
        waited = time.monotonic() - failure.since
        if failure.error.kind == "passing":
            wait = min(self._retry_seconds * 2 ** (failure.tries - 1), LONGEST_WAIT)
            return failure.final or waited < wait
        if waited >= self._settle_seconds or not patient:
            failure.final = True
        return True

    def forget(self, name: str, versions: set[int]) -> None:
        """Forget the failures of these versions of a model."""
        for version in versions:
            self._failures.pop((name, version), None)

    def of(self, name: str) -> dict[int, Failure]:
        """Return a model's failures by version."""
        return {version: failure for (owner, version), failure in self._failures.items() if owner == name}


def _files(folder: Path) -> Fingerprint:
    try:
        return integrity.fingerprint(folder)
    except VersionRefused:
        return ()
