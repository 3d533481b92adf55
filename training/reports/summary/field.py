"""Receptive fields: which pixels a value is made from, also behind layers that enlarge.

Araujo et al., "Computing Receptive Fields of Convolutional Neural Networks" (Distill 2019), tell how a field
grows by windows. Behind an enlarging layer neighbours see different things, by where they lie over the coarse
values, so that every position's own interval is kept, as far as they repeat.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Field:
    """What the values along one side of a map see, as if the image had no edge.

    Value p sees the pixels `low[p]` to `high[p]`; `period = len(low)` values further on the same begins
    again, `period * step` pixels further on, where `step` is the distance of neighbouring values in pixels.
    """

    step: Fraction = Fraction(1)
    low: tuple[int, ...] = (0,)
    high: tuple[int, ...] = (0,)

    @property
    def side(self) -> int:
        """The most pixels that a value sees along one side."""
        return max(high - low + 1 for low, high in zip(self.low, self.high, strict=True))

    def windows(self, kernel: int, stride: int, before: int) -> "Field":
        """Behind windows of `kernel` values that move by `stride`; the first begins `before` the values."""
        period = len(self.low) // math.gcd(len(self.low), stride)
        return self._behind(
            period, self.step * stride, lambda q: (q * stride - before, q * stride - before + kernel - 1)
        )

    def spread(self, kernel: int, stride: int, before: int) -> "Field":
        """Behind a transposed convolution: each value spreads over `kernel`, `stride` from the next."""
        return self._behind(
            len(self.low) * stride,
            self.step / stride,
            lambda q: (-((kernel - 1 - before - q) // stride), (q + before) // stride),
        )

    def repeated(self, factor: int) -> "Field":
        """Behind an enlarging that repeats each value."""
        return self._behind(len(self.low) * factor, self.step / factor, lambda q: (q // factor, q // factor))

    def resized(self, size: int, result: int) -> "Field":
        """Behind a bilinear resizing of `size` values to `result`; the centres are half integers."""
        ratio = Fraction(size, result)
        period = ratio.denominator * len(self.low) // math.gcd(len(self.low), ratio.numerator)

        def sources(q: int) -> tuple[int, int]:
            place = (q + Fraction(1, 2)) * ratio - Fraction(1, 2)
            return math.floor(place), math.ceil(place)

        return self._behind(period, self.step * ratio, sources)

    def _behind(self, period: int, step: Fraction, sources: Callable[[int], tuple[int, int]]) -> "Field":
        lows, highs = [], []
        for q in range(period):
            first, last = sources(q)
            seen = [self._at(p) for p in range(first, last + 1)]
            lows.append(min(low for low, _ in seen))
            highs.append(max(high for _, high in seen))
        return Field(step, tuple(lows), tuple(highs))

    def _at(self, p: int) -> tuple[int, int]:
        turns, place = divmod(p, len(self.low))
        shift = int(turns * len(self.low) * self.step)
        return self.low[place] + shift, self.high[place] + shift


def join(fields: list[Field | None]) -> Field | None:
    """Return what a value made from values of these fields sees; None is the whole image.

    Where an odd size was resized, the maps do not lie on each other to the pixel: the widest field stands for
    all of them.
    """
    known = [field for field in fields if field is not None]
    if len(known) < len(fields):
        return None
    if len({field.step for field in known}) > 1:
        return max(known, key=lambda field: field.side)
    period = math.lcm(*(len(field.low) for field in known))
    seen = [[field._at(p) for field in known] for p in range(period)]
    return Field(
        known[0].step,
        tuple(min(low for low, _ in each) for each in seen),
        tuple(max(high for _, high in each) for each in seen),
    )
