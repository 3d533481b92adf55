"""When a connection's next limit is reached: from what is held of it, without a socket, a loop or a clock.

Times are seconds of whatever clock the caller has.
"""

import math
from dataclasses import dataclass

from service.http.limits import ConnectionLimits

IDLE, HEAD, BODY = range(3)
"""What is being received: nothing; a head, or the first byte of a connection; a body."""

STOP_SECONDS = {IDLE: 0.05, HEAD: 1.0, BODY: 1.0}
"""How long a stopping server waits for more, by what is being received: a request may be under way."""

RECENT_SECONDS = 1.0
"""Whoever connected or was answered so recently is about to ask, as like as not: a stop waits for that."""


@dataclass(slots=True)
class Reading:
    """What is being received: since when, and how much of it is there."""

    stage: int = HEAD
    since: float = 0.0
    head_bytes: int = 0
    body_bytes: int = 0
    shaking: bool = False
    """Whether TLS shakes hands: whoever does wants to ask something."""
    stops: float | None = None
    """When the server began to stop."""

    @property
    def begun(self) -> bool:
        """Whether any byte of a request that is not complete has come in."""
        return self.shaking or self.stage == BODY or (self.stage == HEAD and self.head_bytes != 0)

    def begin(self, stage: int, now: float) -> None:
        """Note that a head, or a body, begins."""
        self.stage, self.since = stage, now
        if stage == HEAD:
            self.head_bytes = 0
        else:
            self.body_bytes = 0

    def due(self, limits: ConnectionLimits, *, answering: bool) -> float:
        """Return when the client is too slow, or has been idle for too long; `answering`: it waits for us."""
        if self.stage == IDLE and answering:
            return math.inf
        if self.stage == IDLE:
            due = self.since + limits.keep_alive_seconds
        elif self.stage == HEAD:
            due = self.since + limits.head_seconds
        else:
            earned = limits.body_grace_seconds + self.body_bytes / limits.min_body_bytes_per_second
            due = self.since + min(limits.body_seconds, earned)
        if self.stops is None:
            return due
        if self.begun:
            return min(due, self.stops + STOP_SECONDS[self.stage])
        return min(due, max(self.stops + STOP_SECONDS[IDLE], self.since + RECENT_SECONDS))

    def too_slow(self, limits: ConnectionLimits) -> str:
        """Return what a client is told that was."""
        if self.stage == HEAD:
            return f"A request's headers must arrive within {limits.head_seconds:g} seconds."
        return (
            f"A request's body must arrive within {limits.body_seconds:g} seconds, and at no less than "
            f"{limits.min_body_bytes_per_second:,} bytes per second."
        )


@dataclass(slots=True)
class Writing:
    """What waits for the client."""

    unsent: int = 0
    """Bytes that it has not taken."""
    stalled: float = math.inf
    """Since when it has taken none."""
    ends: float = math.inf
    """When an ended connection is cut."""

    def due(self, limits: ConnectionLimits) -> float:
        """Return when it is cut."""
        return min(self.ends, self.stalled + limits.write_seconds)

    def pause(self, unsent: int, now: float) -> None:
        """Note that no more can be written."""
        self.unsent, self.stalled = unsent, now

    def watch(self, unsent: int, now: float) -> None:
        """Note whether it has taken anything since the last look."""
        if not unsent:
            self.stalled = math.inf
        elif unsent != self.unsent or self.stalled == math.inf:
            self.stalled = now
        self.unsent = unsent
