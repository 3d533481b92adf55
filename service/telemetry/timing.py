"""How long one request took, stage by stage, for the header `Server-Timing` (W3C, Server Timing)."""

import time
from contextvars import ContextVar
from typing import Any

from service.telemetry.metrics import STAGES


class Times:
    """Seconds that a request's images took in each stage; of several images, their sum."""

    __slots__ = ("_started", "seconds")

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self._started = time.perf_counter()

    def add(self, stage: str, seconds: float) -> None:
        """Count seconds that an image took in a stage."""
        self.seconds[stage] += seconds

    def header(self) -> tuple[bytes, bytes]:
        """Return the header, in milliseconds; `total` is from the head's arrival to the answer."""
        decode, queue, engine, encode = self.seconds.values()
        total = time.perf_counter() - self._started
        return b"server-timing", _HEADER % (
            *(1000 * decode, 1000 * queue, 1000 * engine),
            *(1000 * encode, 1000 * total),
        )


_HEADER = b", ".join(stage.encode("ascii") + b";dur=%.2f" for stage in (*STAGES, "total"))


CURRENT: ContextVar[Times | None] = ContextVar("times", default=None)
"""Of the request that is being answered; its images take it along, for threads do not see it."""


def current() -> Times:
    """Return the times of the request that is being answered; nobody's, where none is."""
    return CURRENT.get() or Times()


def begin(state: dict[str, Any]) -> None:
    """Measure the request that has this state from now on; its answer gets the header."""
    state["times"] = times = Times()
    CURRENT.set(times)
