"""Calls of one engine: tensors -> rows, each image's failure its own."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from service.engines import Engine
from service.errors import EngineFailed, Unanswerable
from service.tasks.task import Row

_FAILED = "The model could not be computed for this image."
_NOT_FINITE = "The model gave a number that is not finite for this image; it cannot be answered."


@dataclass(frozen=True)
class Computed:
    """One row, when its batch started on the engine (by the monotonic clock), and the seconds it took."""

    row: Row
    started: float
    seconds: float


class Measure(Protocol):
    """Takes one number after the other, as a histogram does."""

    def observe(self, amount: float) -> None:
        """Take a number."""


class Calls:
    """Computes with an engine, and measures it; `called` is told each call's images and seconds."""

    def __init__(
        self, engine: Engine, seconds: Measure, sizes: Measure, called: Callable[[int, float], None]
    ) -> None:
        self._engine, self._called = engine, called
        self.alone: Callable[[], bool] = lambda: True
        """Whether a call has the engine to itself; who shares it out says so."""
        self._seconds, self._sizes = seconds, sizes

    def compute(self, tensors: Sequence[NDArray[np.uint8]]) -> list[Computed | Exception]:
        """Compute the rows of `tensors` (each uint8 `[H, W, C]`) in one call. What one fails with is its own
        result; EngineFailed where there is only one.
        """
        started = time.perf_counter()
        try:
            outputs = self._engine.run(np.stack(tensors), self.alone())
        except Exception as error:
            if len(tensors) == 1:
                raise EngineFailed(_FAILED) from error
            # One image may be what the engine stumbles over, or together they are too large for its memory:
            # each for itself, so that the others are answered.
            return [self._by_itself(tensor) for tensor in tensors]
        seconds = time.perf_counter() - started
        self._seconds.observe(seconds)
        self._sizes.observe(len(tensors))
        self._called(len(tensors), seconds)
        results: list[Computed | Exception] = []
        all_finite = all(np.isfinite(values).all() for values in outputs.values())
        for index in range(len(tensors)):
            row = {name: rows[index] for name, rows in outputs.items()}
            finite = all_finite or all(np.isfinite(values).all() for values in row.values())
            results.append(Computed(row, started, seconds) if finite else Unanswerable(_NOT_FINITE))
        return results

    def _by_itself(self, tensor: NDArray[np.uint8]) -> Computed | Exception:
        try:
            return self.compute([tensor])[0]
        except EngineFailed as error:
            return error


def run_all(jobs: Sequence[Callable[[], object]]) -> list[object]:
    """Run each job; what one raises is its own result."""
    results: list[object] = []
    for job in jobs:
        try:
            results.append(job())
        except Exception as error:  # noqa: BLE001 - its caller gets it
            results.append(error)
    return results
