"""What one version has done since it came to life: counts and times, for clients that compare two looks."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class Total:
    """How often something was done, and the seconds of all times together. Both only grow."""

    count: int = 0
    seconds: float = 0.0


class Statistics:
    """The counts of one version. Requests are counted on the event loop, calls where they run.

    `seconds` tells the seconds of each stage of the model so far, as its metrics have them: where two
    versions of one model answer, each has the times of both.
    """

    def __init__(self, seconds: Callable[[], dict[str, float]]) -> None:
        self._seconds, self._before = seconds, seconds()
        self._lock = threading.Lock()
        self.success, self.failure = Total(), Total()
        self.images = 0
        """Answered images."""
        self._batches: dict[int, Total] = {}
        self.last_seconds = 0.0
        """When the last request was answered, since 1970; 0 where none was."""

    def called(self, images: int, seconds: float) -> None:
        """Count a call of the engine."""
        with self._lock:
            total = self._batches.get(images)
            if total is None:
                total = self._batches[images] = Total()
            total.count += 1
            total.seconds += seconds

    def batches(self) -> dict[int, Total]:
        """Return the calls by the images in each."""
        with self._lock:
            return dict(self._batches)

    def stages(self) -> dict[str, float]:
        """Return the seconds of each stage."""
        return {name: seconds - self._before.get(name, 0.0) for name, seconds in self._seconds().items()}

    def succeeded(self, seconds: float) -> None:
        """Count a request that was answered."""
        self.success.count += 1
        self.success.seconds += seconds
        self.last_seconds = time.time()

    def failed(self, seconds: float) -> None:
        """Count a request that was not."""
        self.failure.count += 1
        self.failure.seconds += seconds
