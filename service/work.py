"""Work whose caller may leave before it ends: what it holds until then, and what is not done any more.

A thread cannot be stopped. What an image holds (its place in a queue, memory for its bytes and its pixels) is
given back when the work on it has ended, not when its caller has left: else those who come and leave at once
would have as much decoded at a time as they like. Work that has not begun is never begun; a process that
decodes is stopped.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")

PATIENCE_SECONDS = 0.05
"""How long abandoned work may take to end by itself before its process is killed: five times what another
process and its first pages cost."""


class Abandoned(Exception):
    """Nobody waits for this work any more. Nobody gets to see this either."""


@dataclass(slots=True, eq=False)
class Claim:
    """Something that is held for an image. Event loop only.

    It is given back once, when it has been released and all work that needs it has ended.
    """

    _holders: int = field(default=1, init=False)

    def _give_back(self) -> None:
        raise NotImplementedError

    def release(self) -> None:
        """Let go of it."""
        self._holders -= 1
        if not self._holders:
            self._give_back()

    def hold_until(self, work: "Future[Any] | asyncio.Task[Any]") -> None:
        """Hold it until that work has ended, too."""
        self._holders += 1
        loop = asyncio.get_running_loop()

        def ended(_: object) -> None:
            # A thread may outlive the loop.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self.release)

        work.add_done_callback(ended)


class Errand:
    """The work on one image: what it holds, and whether its caller still waits for it."""

    __slots__ = ("_lock", "_stop", "claims", "gone")

    def __init__(self, *claims: Claim) -> None:
        self.claims = list(claims)
        self.gone = False
        """Whether the caller has left: nothing more is to be begun."""
        self._lock = threading.Lock()
        self._stop: Callable[[], None] | None = None

    async def run(self, executor: Executor, work: Callable[[], T]) -> T:
        """Do a part of the work in a thread."""
        box = [work]
        future = executor.submit(_take_out, box)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if future.cancel():
                # It stays in the executor's queue for a while: without its image.
                box.clear()
            self.leave(future)
            raise

    def leave(self, work: "Future[Any] | asyncio.Task[Any]") -> None:
        """Note that the caller has left amid that work; hold everything until it ends, or is stopped."""
        self.gone = True
        if work.done():
            return
        for claim in self.claims:
            claim.hold_until(work)
        asyncio.get_running_loop().call_later(PATIENCE_SECONDS, self.stop)

    @contextmanager
    def stopped_by(self, stop: Callable[[], None]) -> Iterator[None]:
        """Have `stop` end what the thread waits for in the block. Raises Abandoned where nobody waits."""
        with self._lock:
            self._stop = stop
        try:
            if self.gone:
                raise Abandoned
            yield
        finally:
            with self._lock:
                self._stop = None

    def stop(self) -> None:
        """End what the thread waits for, where that can be ended. Event loop only."""
        # Under the lock, so that it cannot end by itself and be at somebody else's work meanwhile.
        with self._lock:
            if self._stop:
                self._stop()


def _take_out(box: list[Callable[[], T]]) -> T:
    return box.pop()()
