"""What one version has done since it came to life: counts and times, for clients that compare two looks."""

import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import Protocol


class _Measure(Protocol):
    def observe(self, amount: float) -> None: ...


@dataclass(slots=True)
class Total:
    """How often something was done, and the nanoseconds of all times together. Both only grow."""

    count: int = 0
    nanoseconds: int = 0

    def add(self, seconds: float) -> None:
        """Count it once more."""
        self.count += 1
        self.nanoseconds += int(seconds * 1e9)


class Stage:
    """Takes the seconds of one stage for the metrics, and adds them up here; from any thread."""

    __slots__ = ("_lock", "_measure", "seconds")

    def __init__(self, measure: _Measure, lock: threading.Lock) -> None:
        self._measure, self._lock = measure, lock
        self.seconds = 0.0

    def observe(self, amount: float) -> None:
        """Take the seconds that it took once."""
        self._measure.observe(amount)
        with self._lock:
            self.seconds += amount


class Statistics:
    """The counts of one version. Requests are counted on the event loop, calls where they run."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.success, self.failure = Total(), Total()
        self.images = 0
        """Answered images."""
        self.stages: dict[str, Stage] = {}
        self._batches: defaultdict[int, Total] = defaultdict(Total)
        self.last_milliseconds = 0
        """When the last request was answered, since 1970; 0 where none was."""

    def stage(self, name: str, measure: _Measure) -> Stage:
        """Return what adds up a stage."""
        self.stages[name] = Stage(measure, self._lock)
        return self.stages[name]

    def called(self, images: int, seconds: float) -> None:
        """Count a call of the engine."""
        with self._lock:
            self._batches[images].add(seconds)

    def batches(self) -> dict[int, Total]:
        """Return the calls by the images in each."""
        with self._lock:
            return dict(self._batches)

    def succeeded(self, seconds: float) -> None:
        """Count a request that was answered."""
        self.success.add(seconds)
        self.last_milliseconds = time.time_ns() // 1_000_000

    def failed(self, seconds: float) -> None:
        """Count a request that was not."""
        self.failure.add(seconds)
