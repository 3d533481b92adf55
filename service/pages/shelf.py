"""What pages tell of live versions, made once for each and kept as long as the version is in memory.

Pages have no queue of their own: files are read, and pages made of them, one at a time, so that visitors take
one thread from those who ask for answers, and what many want at once is made once.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from service.inference.predictor import Predictor
from service.pages import card, records
from service.pages.records import Sample
from service.versions.repository import Live

Made = TypeVar("Made")


@dataclass(frozen=True)
class Kept:
    """A version's samples, and its page as far as it never changes."""

    samples: tuple[Sample, ...]
    card: dict[str, Any]
    whole: bool
    """Whether each file could be read: what may be there the next time is not kept."""


class Shelf:
    """Belongs to one app."""

    def __init__(self) -> None:
        # By what is let go with the version; nothing that is kept leads back to it.
        self._kept: WeakKeyDictionary[Predictor, Kept] = WeakKeyDictionary()
        self._turn = asyncio.Semaphore(1)

    async def of(self, live: Live) -> Kept:
        """Return what is told of a version."""
        if found := self._kept.get(live.predictor):
            return found
        async with self._turn:
            # Others may have waited for the same.
            if found := self._kept.get(live.predictor):
                return found
            made = await asyncio.to_thread(_made, live)
            if made.whole:
                self._kept[live.predictor] = made
            return made

    async def make(self, page: Callable[[], Made]) -> Made:
        """Return what the function makes, in a thread: a long table takes milliseconds."""
        async with self._turn:
            return await asyncio.to_thread(page)


def _made(live: Live) -> Kept:
    beside = records.read(live)
    return Kept(beside.samples, card.card(live, beside), beside.whole)
