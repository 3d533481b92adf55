"""One request to a model: what it holds, how long it may take, and what becomes of its images."""

import asyncio
import time
from types import TracebackType
from typing import Self

from starlette.requests import Request

from service.admission import Lease
from service.bodies import intake
from service.context import Context
from service.errors import BatchError, DeadlineExceeded, ParameterError, ShuttingDown, StriateError
from service.inference.predictor import Predictor
from service.telemetry.outcomes import DISCONNECTED, Unsettled


class Attempt:
    """What ends the block is counted for all images without an outcome; what is held is given back.

    A request that could not be answered in time is refused on entering, before its body is read. A version
    that is replaced meanwhile answers those who came to it, and is closed after them.
    """

    __slots__ = ("_request", "_started", "lease", "outputs", "predictor", "seconds", "unsettled")

    def __init__(self, request: Request, context: Context, predictor: Predictor) -> None:
        self._request = request
        self.predictor = predictor
        self.seconds = _seconds(request, context)
        self.lease = Lease(context.memory)
        self.outputs = Lease(context.memory)
        """What tensors for the client hold, until it has taken them: where there is an answer, that gives it
        back."""
        self.unsettled = Unsettled(context.metrics, predictor.manifest.name)
        self._started = time.perf_counter()

    def __enter__(self) -> Self:
        try:
            self.predictor.admission.check(self.seconds)
        except StriateError:
            self.predictor.statistics.failed(time.perf_counter() - self._started)
            raise
        self.predictor.__enter__()
        return self

    def answering(self, count: int) -> asyncio.Timeout:
        """Give that many images, which have been read, the time that there is."""
        self.unsettled.count = count
        return asyncio.timeout(self.seconds)

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> None:
        self.predictor.__exit__()
        self.lease.release()
        if error is None:
            self.predictor.statistics.succeeded(time.perf_counter() - self._started)
            return
        self.outputs.release()
        if isinstance(error, asyncio.CancelledError):
            gone = "gone" in self._request.scope["state"]
            self.unsettled.end(DISCONNECTED if gone else ShuttingDown.code)
        else:
            self.predictor.statistics.failed(time.perf_counter() - self._started)
            self._failed(error)

    def _failed(self, error: BaseException) -> None:
        if isinstance(error, TimeoutError):
            self.unsettled.end(DeadlineExceeded.code)
            raise DeadlineExceeded(
                f"There was no answer within {self.seconds * 1000:.0f} ms; it was given up."
            ) from None
        if isinstance(error, BatchError):
            self.unsettled.end(error.code)


def _seconds(request: Request, context: Context) -> float:
    """Return the time to answer in: the service's, or the client's where it asks for less."""
    most = context.settings.deadline_ms
    asked = intake.header(request, b"x-request-timeout-ms")
    if asked is None:
        return most / 1000
    if not asked.isdecimal() or not 1 <= len(asked) <= 9 or not int(asked):
        raise ParameterError("X-Request-Timeout-Ms is a whole number of milliseconds, at least 1.")
    return min(most, int(asked)) / 1000
