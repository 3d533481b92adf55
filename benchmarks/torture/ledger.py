"""The client's own account: every request ends exactly once, and how."""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

Outcome = Literal["open", "answered", "refused", "reset", "timeout"]


@dataclass(slots=True)
class Entry:
    """One request. Times are of the monotonic clock, in seconds; `due` is when it was to be sent."""

    number: int
    due: float
    sent: float = math.nan
    ended: float = math.nan
    outcome: Outcome = "open"
    status: int = 0

    @property
    def milliseconds(self) -> float:
        """From when it was due, so that a client who falls behind hides nothing."""
        return (self.ended - self.due) * 1000


class Ledger:
    """Every request of one load. `twice` counts those that ended more than once.

    Without `keep`, those that were answered with 200 are counted and forgotten: half an hour has millions.
    """

    def __init__(self, *, keep: bool = True) -> None:
        self.entries: list[Entry] = []
        self.opened = self.closed = self.good = self.twice = 0
        self._keep = keep

    def open(self, due: float) -> Entry:
        """Enter a request."""
        entry = Entry(self.opened, due)
        self.opened += 1
        if self._keep:
            self.entries.append(entry)
        return entry

    def close(self, entry: Entry, outcome: Outcome, status: int = 0) -> None:
        """Note how a request ended."""
        if entry.outcome != "open":
            self.twice += 1
            return
        entry.outcome, entry.status, entry.ended = outcome, status, time.perf_counter()
        self.closed += 1
        self.good += status == 200
        if not self._keep and status != 200:
            self.entries.append(entry)

    def count(self, *outcomes: Outcome) -> int:
        """Return how many ended so."""
        return sum(entry.outcome in outcomes for entry in self.entries)

    def statuses(self, *statuses: int) -> list[Entry]:
        """Return those that were answered with one of these."""
        return [entry for entry in self.entries if entry.status in statuses]

    @property
    def uneven(self) -> int:
        """How many did not end, or ended twice."""
        return self.opened - self.closed + self.twice

    def summary(self) -> str:
        """Return the counts in words: 120 x 200, 3 x reset."""
        kinds = Counter(str(e.status) if e.outcome == "answered" else e.outcome for e in self.entries)
        return ", ".join(f"{count:,} x {kind}" for kind, count in sorted(kinds.items())) or "nothing"


def percentile(entries: Iterable[Entry], share: float, of: Callable[[Entry], float] | None = None) -> float:
    """Return a percentile of the milliseconds; 0 where there are no entries."""
    values = [of(entry) if of else entry.milliseconds for entry in entries]
    return float(np.percentile(values, share)) if values else 0.0
