"""Loads at the start, where no version holds up the good ones, of other models or of its own.

A version is tried in a process of its own before it is loaded, but here: another import of the engine would
take longer than loading all models does. Instead a version whose graph could compute for ever is put off
until all others are live, and then tried like any later one; what takes long goes on beside the others.
"""

import logging
import threading
import time
from concurrent.futures import Future
from functools import partial
from pathlib import Path

from service.errors import VersionRefused
from service.versions import endless
from service.versions.loader import Loader
from service.versions.repository import Live

log = logging.getLogger("service")

PATIENCE_SECONDS = 10.0
"""How long a load holds up the next one."""


class PutOff(Exception):
    """The version is put off: others first."""


class FirstLoads:
    """The loads at the start. Used by one thread. True while some are not done."""

    def __init__(self, most_seconds: float) -> None:
        self._most_seconds = most_seconds
        self._loading: dict[tuple[str, int], _Loading] = {}

    def __contains__(self, key: tuple[str, int]) -> bool:
        return key in self._loading

    def __bool__(self) -> bool:
        return bool(self._loading)

    def begin(self, loader: Loader, name: str, version: int, folder: Path) -> Live:
        """Load a version. PutOff where it may take for ever, or takes long: `go_on` then asks again."""
        if endless.may_be(folder):
            log.info("%s/%d has a loop: it is tried when the others are live", name, version)
            raise PutOff
        loading = _Loading(loader, name, version, folder)
        try:
            return loading.result(PATIENCE_SECONDS)
        except TimeoutError:
            log.warning("%s/%d takes long to load: it goes on beside the others", name, version)
            self._loading[name, version] = loading
            raise PutOff from None

    def go_on(self, name: str, version: int) -> Live:
        """Return a version whose load has ended; PutOff where it has not, at last VersionRefused."""
        loading = self._loading.pop((name, version))
        late = loading.seconds > self._most_seconds
        try:
            return loading.result(0)
        except TimeoutError:
            if late:
                # It cannot be ended; it goes on behind everything that has a higher priority.
                raise VersionRefused(f"Loading it takes longer than {self._most_seconds:g} s.") from None
            self._loading[name, version] = loading
            raise PutOff from None


class _Loading:
    """One load, in a thread of its own, which cannot be ended from outside; a daemon holds no end up."""

    def __init__(self, loader: Loader, name: str, version: int, folder: Path) -> None:
        self._future: Future[Live] = Future()
        self._work = partial(loader.bring_to_life, name, version, folder)
        self._began = time.monotonic()
        threading.Thread(target=self._run, name="loading", daemon=True).start()

    def _run(self) -> None:
        try:
            self._future.set_result(self._work())
        except BaseException as error:  # noqa: BLE001 - raised where the result is asked for
            self._future.set_exception(error)

    def result(self, seconds: float) -> Live:
        """Return the version, or raise what its loading did; TimeoutError where it takes longer."""
        return self._future.result(seconds)

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return time.monotonic() - self._began
