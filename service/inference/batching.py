"""Many callers, one call. Work-conserving: an idle engine starts at once, a busy one lets the batch grow."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Generic, TypeVar

from service.errors import Overloaded
from service.work import Errand

OVERLOADED = "Too many images are waiting for this model. Try again shortly."

SPARE_AT_ONCE = 4
"""Spare items that one call takes at most: answers that come in meanwhile may have to wait for it."""

WORTH_A_THREAD = 8
"""Items of short calls that are worth the way to a thread before the loop has seen who else is there."""

T = TypeVar("T")
R = TypeVar("R")

_item = attrgetter("item")


@dataclass(slots=True)
class _Entry(Generic[T, R]):
    """One item that was taken on; `call` is the call that computes it, once it is under way in a thread."""

    item: T
    future: asyncio.Future[R]
    call: asyncio.Task[None] | None = None


class Batcher(Generic[T, R]):
    """Collects items and answers each with its own result of one call over many.

    `call` takes up to `max_batch` items and returns as many results, in order; it runs in `executor`, at
    most `concurrency` calls at a time. More than `max_queue` waiting items raise Overloaded. A result that
    is an exception is raised for its own caller; if the call raises, for all of its callers.

    The state, touched from the event loop alone:

    * `_queue`: entries that no call has taken. One whose caller has left stays until it is taken or the queue
      is full, without its item.
    * `_spare`: entries that wait for a time in which nothing else is here.
    * `_idle`: calls that could begin, of `concurrency`; `_running`: those under way in a thread, since when.
    * with `inline`: `_scheduled`, whether a dispatch waits for the end of this turn of the loop; `_called`,
      items in running calls; `_crowd`, how many are usually here, which falls slowly and rises at once.

    What can happen:

    1. An item comes in and a call is idle: it begins at once, or with `inline` at the end of this turn of the
       loop, for what comes in within one turn is not alone, and what is alone is computed on the loop itself:
       such calls are shorter than the way to a thread and back.
    2. An item comes in and no call is idle: it waits, and the batch grows.
    3. A call ends: its results are given out, and the next begins with all that wait, up to a share.
    4. A caller leaves: what waits is never computed; what is being computed is left to its call.
    5. The queue is full: those whose callers have left make room, or the newcomer is refused.
    6. Nothing waits and no call is under way: a call begins with a few of the spare items. What comes in then
       waits for no more than this one.
    """

    def __init__(
        self,
        call: Callable[[Sequence[T]], Sequence[R | Exception]],
        executor: Executor,
        *,
        max_batch: int,
        max_queue: int,
        concurrency: int = 1,
        inline: bool = False,
    ) -> None:
        self._call = call
        self._executor = executor
        self._max_batch = max_batch
        self._max_queue = max_queue
        self._concurrency = self._idle = concurrency
        self._inline = inline
        self._scheduled = False
        self._called = 0
        self._crowd = 1
        self._queue: deque[_Entry[T, R]] = deque()
        self._spare: deque[_Entry[T, R]] = deque()
        self._running: dict[asyncio.Task[None], float] = {}

    def __repr__(self) -> str:
        return f"<Batcher: {len(self._queue)} waiting, {self.calls} of {self._concurrency} calls under way>"

    def __len__(self) -> int:
        """Return how many items wait."""
        return len(self._queue)

    def is_alone(self) -> bool:
        """Whether no more than one call is under way, and nothing waits."""
        return self._concurrency - self._idle <= 1 and not self._queue

    @property
    def calls(self) -> int:
        """How many calls are under way."""
        return self._concurrency - self._idle

    def longest_call(self) -> float:
        """Return for how many seconds the longest call that is under way has been running."""
        return time.monotonic() - min(self._running.values(), default=time.monotonic())

    async def submit(self, item: T, errand: Errand | None = None) -> R:
        """Return the item's result. A caller who is cancelled while waiting is never computed.

        One who is cancelled while a thread computes leaves the errand to that call.
        """
        if len(self._queue) >= self._max_queue:
            self._drop_abandoned()
        if len(self._queue) >= self._max_queue:
            raise Overloaded(OVERLOADED, 1)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        entry = _Entry(item, future)
        self._queue.append(entry)
        if not self._inline or len(self._queue) >= max(WORTH_A_THREAD, self._share()):
            self._dispatch()
        elif self._idle and not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._dispatch)
        return await self._outcome(entry, errand)

    async def submit_spare(self, item: T, errand: Errand | None = None) -> R:
        """Return the item's result, computed while nothing else is to be done; it may wait for ever.

        Of what waits so there is no limit here: its callers keep one.
        """
        loop = asyncio.get_running_loop()
        entry: _Entry[T, R] = _Entry(item, loop.create_future())
        self._spare.append(entry)
        # What comes in within one turn of the loop goes together.
        loop.call_soon(self._fill_in)
        return await self._outcome(entry, errand)

    async def _outcome(self, entry: _Entry[T, R], errand: Errand | None) -> R:
        try:
            return await entry.future
        except asyncio.CancelledError:
            if entry.call is None:
                # It stays in the queue for a while: without what it was about.
                del entry.item
            elif errand is not None:
                errand.leave(entry.call)
            raise

    def _share(self) -> int:
        """Return how many items one call may take.

        With `inline`, half of those that are usually here: what comes in and goes out meanwhile costs the
        loop about as much time as the call takes, so that neither should wait for the other.
        """
        if not self._inline:
            return self._max_batch
        return min(self._max_batch, (self._crowd + 1) // 2)

    def _dispatch(self) -> None:
        self._scheduled = False
        self._crowd = max(len(self._queue) + self._called, self._crowd - 1, 1)
        while self._idle and self._queue and (batch := _take(self._queue, self._share())):
            if self._inline and len(batch) == 1 and self._idle == self._concurrency:
                self._run_here(batch)
            else:
                self._begin(batch)
        self._fill_in()

    def _fill_in(self) -> None:
        """Begin a call of spare items where nothing else is here."""
        if self._queue or self._idle < self._concurrency:
            return
        if batch := _take(self._spare, min(SPARE_AT_ONCE, self._max_batch)):
            self._begin(batch)

    def _begin(self, batch: list[_Entry[T, R]]) -> None:
        self._idle -= 1
        self._called += len(batch)
        task = asyncio.create_task(self._run(batch))
        for entry in batch:
            entry.call = task
        self._running[task] = time.monotonic()
        task.add_done_callback(self._running.pop)

    def _drop_abandoned(self) -> None:
        self._queue = deque(entry for entry in self._queue if not entry.future.done())

    def _run_here(self, batch: list[_Entry[T, R]]) -> None:
        self._idle -= 1
        try:
            _deliver(batch, self._call([entry.item for entry in batch]))
        except Exception as error:  # noqa: BLE001 - whatever it is, its caller gets it
            _fail(batch, error)
        finally:
            self._idle += 1

    async def _run(self, batch: list[_Entry[T, R]]) -> None:
        items = list(map(_item, batch))
        try:
            loop = asyncio.get_running_loop()
            _deliver(batch, await loop.run_in_executor(self._executor, self._call, items))
        except Exception as error:  # noqa: BLE001 - whatever it is, its callers get it
            _fail(batch, error)
        finally:
            self._idle += 1
            self._called -= len(batch)
            self._dispatch()

    async def drain(self) -> None:
        """Return when every item that was taken on has been answered."""
        while self._running:
            await asyncio.wait(self._running)

    def release(self) -> None:
        """Let go of the call and of what it holds; to submit anything after this is an error."""
        self._call = _released


def _take(queue: deque[_Entry[T, R]], most: int) -> list[_Entry[T, R]]:
    """Take what somebody waits for, at most so many."""
    batch: list[_Entry[T, R]] = []
    while queue and len(batch) < most:
        entry = queue.popleft()
        if not entry.future.done():
            batch.append(entry)
    return batch


def _released(items: Sequence[object]) -> Any:
    raise RuntimeError("The batcher is closed.")


def _deliver(batch: list[_Entry[T, R]], results: Sequence[R | Exception]) -> None:
    if len(results) != len(batch):
        # None of them: whose results these are nobody knows.
        raise ValueError(f"The call gave {len(results)} results for {len(batch)} items.")
    for entry, result in zip(batch, results, strict=True):
        future = entry.future
        if future.done():
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)


def _fail(batch: list[_Entry[T, R]], error: Exception) -> None:
    for entry in batch:
        if not entry.future.done():
            entry.future.set_exception(error)
