"""Memory for decoding, priced before it is taken. Two lines: what is large never holds up what is small."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from service.work import Claim, Errand

BIG = 8
"""A price of more than this fraction of all is a large one."""
BIG_MASK = 32
"""So is a mask's: it is there for all of a call, and two of usual photos would fill the small ones' share."""


class _Line:
    """First come, first served: at most `room` bytes at once, and `places` images of those that need one."""

    def __init__(self, room: int, places: int) -> None:
        self.room = room
        self._left = room
        self._places = places
        self._waiting: deque[tuple[int, int, asyncio.Future[None]]] = deque()

    async def take(self, price: int, places: int) -> None:
        if not self._waiting and self._fits(price, places):
            self._left -= price
            self._places -= places
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((price, places, future))
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                # Its turn came in the same moment as its end.
                self.give(price, places)
            else:
                # It may have been the one that the others waited for.
                future.cancel()
                self._admit()
            raise

    def give(self, price: int, places: int) -> None:
        self._left += price
        self._places += places
        if self._waiting:
            self._admit()

    def _fits(self, price: int, places: int) -> bool:
        return places <= self._places and price <= self._left

    def _admit(self) -> None:
        while self._waiting:
            price, places, future = self._waiting[0]
            if not future.done():
                if not self._fits(price, places):
                    return
                self._left -= price
                self._places -= places
                future.set_result(None)
            self._waiting.popleft()


@dataclass(slots=True, eq=False)
class _Price(Claim):
    """What one image has been given room for."""

    _line: _Line
    _price: int
    _places: int

    def _give_back(self) -> None:
        self._line.give(self._price, self._places)


class Budget:
    """`total` bytes for all decodes at once, a quarter of them for small images alone.

    Large images share the rest, and are decoded at most `large_at_once` at a time, so that there is a hand
    left for small ones. One that costs more than the whole share waits until it has it to itself. All of it
    happens on the event loop; whoever is cancelled while waiting leaves the line. Where a thread is at work,
    the room is kept until it is done.
    """

    def __init__(self, total: int, large_at_once: int) -> None:
        self.total = total
        self._big = total // BIG
        self._small_line = _Line(total // 4, total)
        self._large_line = _Line(total - total // 4, large_at_once)

    def is_large(self, price: int) -> bool:
        """Whether a price is one of those that share a line of their own."""
        return price > self._big

    @asynccontextmanager
    async def hold(self, price: int, errand: Errand, *, decode: int | None = None) -> AsyncIterator[None]:
        """Wait until there is room for `price` bytes; hold it for the block and the work it leaves behind.

        `decode` is the part of the price that decoding takes, where it is not all: an image that is large by
        something else alone, as by its mask, waits for memory but not for its turn among large decodes.
        """
        by_mask = decode is not None and price - decode > self.total // BIG_MASK
        line = self._large_line if by_mask or price > self._big else self._small_line
        places = int((price if decode is None else decode) > self._big)
        price = min(price, line.room)
        await line.take(price, places)
        held = _Price(line, price, places)
        errand.claims.append(held)
        try:
            yield
        finally:
            errand.claims.remove(held)
            held.release()
