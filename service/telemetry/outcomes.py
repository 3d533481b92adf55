"""What became of each image of a request: counted once, however the request ends."""

from collections.abc import Awaitable
from typing import TypeVar

from service.errors import StriateError
from service.telemetry.metrics import Metrics

T = TypeVar("T")

DISCONNECTED = "disconnected"
"""Of images whose client left before they were answered: no error, for nobody is told."""


class Unsettled:
    """Counts a request's images without an outcome yet: what ends the request is theirs. Event loop only."""

    __slots__ = ("_metrics", "_model", "count")

    def __init__(self, metrics: Metrics, model: str) -> None:
        self._metrics, self._model, self.count = metrics, model, 0

    async def settle(self, answer: Awaitable[T]) -> T:
        """Return one image's answer. What becomes of it by itself is the predictor's to count."""
        try:
            found = await answer
        except StriateError:
            self.count -= 1
            raise
        self.count -= 1
        return found

    def refuse(self, outcome: str) -> None:
        """Count an image that cannot be one."""
        self.count -= 1
        self._metrics.images.labels(self._model, outcome).inc()

    def end(self, outcome: str) -> None:
        """Count this as the outcome of all that have none."""
        if self.count:
            self._metrics.images.labels(self._model, outcome).inc(self.count)
