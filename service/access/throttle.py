"""Token buckets by name, in bounded memory."""

import time
from collections import OrderedDict
from collections.abc import Callable


class Throttle:
    """Each name may take `burst` tokens at once and `per_second` in the long run.

    At most `most` names are kept; the one that has not been asked for longest is forgotten first.
    """

    def __init__(
        self,
        per_second: float,
        burst: float,
        most: int = 4096,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rate, self._burst, self._most, self._clock = per_second, burst, most, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str) -> float:
        """Take a token: return 0.0, or how many seconds there will be none."""
        now = self._clock()
        tokens, since = self._buckets.pop(name, (self._burst, now))
        tokens = min(self._burst, tokens + (now - since) * self._rate)
        wait = 0.0 if tokens >= 1 else (1 - tokens) / self._rate
        self._buckets[name] = (tokens - 1 if not wait else tokens, now)
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        return wait
