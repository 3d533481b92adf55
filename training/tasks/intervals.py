"""How sure a figure is: intervals that hold the true value 95 times in 100."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Z = 1.959964
"""Between -Z and Z lies 95 % of the normal distribution."""

RESAMPLES = 1000

FEWEST = 20
"""Of fewer samples the bootstrap's intervals are too narrow: they hold less than 95 times in 100."""

_NUMBERS_AT_ONCE = 2**23

Interval = tuple[float, float]


def wilson(hits: float, count: int) -> Interval:
    """Return the 95 % interval of a share, `hits` of `count`: E. B. Wilson, "Probable inference, the law of
    succession, and statistical inference" (1927). Unlike the textbook's, it is right near 0 and 1 too.
    """
    if not count:
        return 0.0, 1.0
    share, spread = hits / count, Z * Z / count
    middle = (share + spread / 2) / (1 + spread)
    half = np.sqrt(spread * (share * (1 - share) + spread / 4)) / (1 + spread)
    return float(max(middle - half, 0.0)), float(min(middle + half, 1.0))


def bootstrap(
    parts: NDArray[Any], figure: Callable[[NDArray[np.float64]], NDArray[np.float64]], seed: int = 0
) -> Interval | None:
    """Return the 95 % percentile interval of a figure by resampling images (Efron, 1979).

    `parts` `[N, ...]` is what each image adds to a sum (a value, a confusion matrix); `figure` turns a stack
    of means `[R, ...]` over resampled images into R figures. None where that says nothing: for fewer than 20
    images, or where all resamples are alike, as they are of perfect answers.
    """
    flat = parts.reshape(len(parts), -1).astype(np.float64)
    return bootstrap_weighted(
        len(parts), lambda weights: figure((weights @ flat).reshape(RESAMPLES, *parts.shape[1:])), seed
    )


def bootstrap_weighted(
    count: int, figure: Callable[[NDArray[np.float64]], NDArray[np.float64]], seed: int = 0
) -> Interval | None:
    """Like `bootstrap`, for a figure that is of no mean over images, as one of their order is: `figure` turns
    how much each of `count` images counts, a stack of weights `[R, N]`, into R figures.
    """
    weights = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), RESAMPLES) / count
    return _interval(figure(weights), count)


def bootstrap_table(
    table: NDArray[Any], figure: Callable[[NDArray[np.float64]], NDArray[np.float64]], seed: int = 0
) -> Interval | None:
    """Like `bootstrap`, for a table that counts every sample once, such as a confusion matrix `[K, K]`."""
    count = int(table.sum())
    # Of a thousand classes most cells are empty, and a thousand such tables would fill the memory.
    cells = np.flatnonzero(table)
    drawn = np.random.default_rng(seed).multinomial(count, table.ravel()[cells] / count, RESAMPLES)
    figures = []
    for some in np.array_split(drawn, -(-RESAMPLES * table.size // _NUMBERS_AT_ONCE)):
        tables = np.zeros((len(some), table.size))
        tables[:, cells] = some / count
        figures.append(figure(tables.reshape(-1, *table.shape)))
    return _interval(np.concatenate(figures), count)


def _interval(figures: NDArray[np.float64], count: int) -> Interval | None:
    low, high = (float(value) for value in np.quantile(figures, (0.025, 0.975)))
    return None if count < FEWEST or high - low < 1e-9 else (low, high)
