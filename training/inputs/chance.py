"""Random numbers from a seed: the same seed gives the same ones, in any thread, at any time."""

from typing import Any

import tensorflow as tf


class Chance:
    """Draws that differ from one another and depend on nothing but `seed`, int64 `[2]`, and their order."""

    def __init__(self, seed: Any) -> None:
        self._seed = seed
        self._draws = 0

    def _next(self) -> Any:
        self._draws += 1
        return tf.random.fold_in(self._seed, self._draws)

    def uniform(self, shape: Any, low: float = 0.0, high: float = 1.0) -> Any:
        """Return float32 numbers of that shape in low..high."""
        return tf.random.stateless_uniform(shape, self._next(), low, high)

    def integers(self, shape: Any, count: int) -> Any:
        """Return int32 numbers of that shape in 0..count - 1."""
        return tf.random.stateless_uniform(shape, self._next(), 0, count, tf.int32)

    def beta(self, count: Any, alpha: float) -> Any:
        """Return float32 `[count]` from the symmetric beta distribution."""
        first, second = (tf.random.stateless_gamma([count], self._next(), alpha) for _ in range(2))
        # Of a small alpha both may round to zero.
        return tf.where(first + second > 0, first / (first + second + 1e-30), 0.5)
