"""Who is let in: a queue that is bounded in time, and the memory that waiting requests may hold.

A request that could not be answered before its deadline is told so at once, before its body is read: under
overload a service that takes on everything answers nobody in time (Beyer et al., "Site Reliability
Engineering", 2016, chapter 21).
"""

import math
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from service.errors import Overloaded
from service.work import Claim

SMOOTHING = 32
"""The mean is of about so many intervals; batches end together, so that one alone says little."""

PATIENCE = 0.5
"""The share of its time that a request may be expected to wait; the rest is for its own computing."""

STANDING_SECONDS = 2.0
SHORT_SECONDS = 1.0
"""Once the wait has been longer than short for so long, the queue is standing: nobody is let in who would
wait for longer than short, until the wait has been half as long. A burst may fill a queue; one that stays
full only makes everybody wait, and takes as long to be worked off when the load is gone (Nichols, Jacobson,
"Controlling Queue Delay", ACM Queue 10, 2012).
"""

LONGEST_RETRY_SECONDS = 30

_WAITING = "Too many images are waiting for this model. Try again shortly."
_FULL = "The requests that are being read hold all the memory set aside for them. Try again shortly."


def retry_after(seconds: float) -> int:
    """Return whole seconds to wait, spread by up to half, so that those who were sent away do not return
    together.
    """
    return max(1, min(LONGEST_RETRY_SECONDS, math.ceil(seconds * random.uniform(1, 1.5))))  # noqa: S311 - to spread, not to hide


class Admission:
    """The images of one model that were taken on and are not answered yet. Event loop only.

    Time per image is the mean interval between two answers while there is work: however many are computed
    together, that is what one more image adds to the wait. What the first answer after a rest takes is no
    such interval: of a burst that wakes a model it is many times as long.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.inside = 0
        self.seconds_per_image = 0.0
        self._intervals = 0
        # When the last answer was given, where there has been work since.
        self._since: float | None = None
        # Since when the wait has been long.
        self._long_since = math.inf

    def expected_wait(self) -> float:
        """Return the seconds until one more image would be answered, as far as the last ones tell."""
        return self.inside * self.seconds_per_image

    def check(self, seconds_left: float, count: int = 1) -> None:
        """Raise Overloaded where so many more images could not be answered in `seconds_left`."""
        if not self.inside:
            self._long_since = math.inf
            return
        allowed = seconds_left * PATIENCE
        if self.standing():
            allowed = min(allowed, SHORT_SECONDS)
        if (wait := (self.inside + count - 1) * self.seconds_per_image) > allowed:
            raise Overloaded(_WAITING, retry_after(wait - allowed))

    def standing(self) -> bool:
        """Whether the queue has been long for so long that it is no burst."""
        wait = self.expected_wait()
        if wait < SHORT_SECONDS / 2:
            self._long_since = math.inf
            return False
        now = time.monotonic()
        if wait > SHORT_SECONDS:
            self._long_since = min(self._long_since, now)
        return now - self._long_since > STANDING_SECONDS

    def enter(self, seconds_left: float) -> "Place":
        """Take one image on. Raises Overloaded."""
        self._take(1, seconds_left)
        return Place(self)

    @contextmanager
    def room(self, count: int, seconds_left: float) -> "Iterator[Room]":
        """Take the images of one request on, all or none. Raises Overloaded."""
        self._take(count, seconds_left)
        room = Room(self, count)
        try:
            yield room
        finally:
            self.inside -= room.left

    def _take(self, count: int, seconds_left: float) -> None:
        if self.inside + count > self._most:
            raise Overloaded(_WAITING, retry_after(self.expected_wait() / 2))
        self.check(seconds_left, count)
        if not self.inside:
            self._since = None
        self.inside += count

    def leave(self, answered: bool) -> None:
        """Let go of one image; `answered` where it was computed, which tells how long one takes."""
        self.inside -= 1
        if answered:
            before, self._since = self._since, time.monotonic()
            if before is not None:
                self._intervals = min(self._intervals + 1, SMOOTHING)
                self.seconds_per_image += (self._since - before - self.seconds_per_image) / self._intervals


@dataclass(slots=True, eq=False)
class Room:
    """Places that are kept for the images of one request.

    Each taken on by itself, two requests may take the last places from each other, and both be refused.
    """

    _admission: Admission
    left: int

    def enter(self) -> "Place":
        """Give one image its place."""
        self.left -= 1
        return Place(self._admission)


@dataclass(slots=True, eq=False)
class Place(Claim):
    """The place of one image that was taken on."""

    _admission: Admission
    answered: bool = False

    def move(self, admission: Admission, seconds_left: float) -> None:
        """Change over to another queue. Raises Overloaded, and stays where it is."""
        if admission is not self._admission:
            admission.enter(seconds_left)
            self._admission.leave(False)
            self._admission = admission

    def _give_back(self) -> None:
        self._admission.leave(self.answered)


class Memory:
    """Bytes that the bodies of all requests, and outputs as tensors, may hold at a time. Event loop only."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.held = 0

    def take(self, size: int) -> None:
        """Set bytes aside; Overloaded where there are not as many left."""
        if self.held + size > self.most:
            raise Overloaded(_FULL, retry_after(1))
        self.held += size


@dataclass(slots=True, eq=False)
class Lease(Claim):
    """What one request holds of it, nothing at first; to be released when it has been answered."""

    _memory: Memory
    size: int = 0

    def grow(self, size: int) -> None:
        """Hold at least `size` bytes. Raises Overloaded."""
        if size > self.size:
            self._memory.take(size - self.size)
            self.size = size

    @property
    def most(self) -> int:
        """Return the bytes that there are for all."""
        return self._memory.most

    def shrink(self, size: int) -> None:
        """Hold at most `size` bytes."""
        if size < self.size:
            self._memory.held -= self.size - size
            self.size = size

    def _give_back(self) -> None:
        self.shrink(0)
