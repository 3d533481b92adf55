"""How far an image's features lie from those of the training images, and which share of others lie as far.

Features of rectifiers are small for most images and large for few: what is compared is their logarithm,
signed and counted in medians, without which none but the largest would count.

Training images lie around some centres. The distance is that of Lee et al., "A Simple Unified Framework for
Detecting Out-of-Distribution Samples and Adversarial Attacks" (NeurIPS 2018): Mahalanobis, to the nearest
centre, with one covariance for all. It is taken in the first principal components; of the others, in which
training images hardly differ, the length of what is left over counts, as in Moghaddam, Pentland,
"Probabilistic Visual Learning for Object Representation" (PAMI 1997).

A distance says nothing by itself. So what is told is the share of validation images that are at least as far:
a conformal p-value (Bates et al., "Testing for Outliers with Conformal p-values", Annals of Statistics 2023).
Of other images like those of validation, a share of x is below x, whatever the network and the distance.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

LEAST_UNIT = 0.05
"""Of the mean of all channels: counted in the median of one that is 0 for nearly all images, all is large."""
DIMENSIONS = 64
CENTRES = 64
LEAST_PER_CENTRE = 20
"""Training images; fewer centres where there are not so many."""
FEWEST_OF_A_CENTRE = 5
"""Training images: the mean of fewer would tell of these."""
_ROUNDS = 30
"""Of k-means: after these, centres hardly move."""
SHRINKAGE = 0.05
"""How much of a component's variance is the mean of all: of few images, the small ones are too small."""

LEVELS = (0.01, 0.05)
"""Below the first an image is told as unlike; where there are too few validation images for that, below the
second."""

_SHARES = (0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.15, 0.1, 0.07, 0.05, 0.03, 0.02, 0.01, 0.005)
"""Where the familiarity is exact; between them it is linear."""
_TINY = 1e-6
_AT_ONCE = 64

Array = NDArray[np.float32]
Rows = NDArray[np.float64]


@dataclass(frozen=True)
class Known:
    """What a model knows its own kind of image by: constants of its graph, D features in k dimensions.

    `units` `[D]` are what features are counted in, `mean` `[D]` is that of their logarithms; `basis` `[D, k]`
    has orthonormal columns, float16; `whitening` `[k, k]`; `centres` `[C, k]`; `scales` `[2]`:
    the mean of the squared distance within the components, and beyond them. The familiarity falls from 1 by
    `heights[j]` between the log distances `ends[j] - widths[j]` and `ends[j]`.
    """

    layers: tuple[str, ...]
    units: Array
    mean: Array
    basis: NDArray[np.float16]
    whitening: Array
    centres: Array
    scales: Array
    ends: Array
    widths: Array
    heights: Array
    trained_on: int
    calibrated_on: int

    @property
    def level(self) -> float:
        """The familiarity below which an image is told as unlike."""
        return next((level for level in LEVELS if level * self.calibrated_on >= 1), LEVELS[-1])

    def distance(self, features: Any) -> Any:
        """Return the log of the distance `[N]` of features `[N, D]`: 0 is about the mean of training images.

        Keras's operations, as are `familiarity`'s: the same compute eagerly and within an exported graph.
        """
        basis = ops.cast(ops.convert_to_tensor(self.basis), "float32")
        counted = ops.cast(features, "float32") / self.units
        offset = ops.sign(counted) * ops.log(1.0 + ops.abs(counted)) - self.mean
        inner = _product(offset, basis)
        # Not by Pythagoras: the basis, of 16 bits, is not quite orthonormal.
        left_over = offset - _product(inner, ops.transpose(basis))
        apart = ops.expand_dims(_product(inner, self.whitening), 1) - self.centres
        within = ops.min(ops.sum(ops.square(apart), axis=-1), axis=-1) / self.scales[0]
        beyond = ops.sum(ops.square(left_over), axis=-1) / self.scales[1]
        return ops.log((within + beyond) / 2 + _TINY)

    def familiarity(self, features: Any) -> Any:
        """Return the familiarity `[N]`, 0..1, of features `[N, D]`."""
        away = ops.expand_dims(self.distance(features), -1)
        return ops.sum(self.heights * ops.clip((self.ends - away) / self.widths, 0.0, 1.0), axis=-1)

    def tell(self, features: Array) -> Array:
        """Return the same of many, some at a time: on the way, each takes `D` times `k` numbers."""
        return _in_parts(self.familiarity, features)


def fit(layers: tuple[str, ...], train: Array, validation: Array) -> Known:
    """Fit the distance on features of training images `[N, D]`, and its shares on those of validation."""
    sizes = np.abs(train)
    units = np.maximum(np.median(sizes, axis=0) + LEAST_UNIT * sizes.mean(), _TINY)
    counted = train / units
    logs = np.sign(counted) * np.log1p(np.abs(counted))
    mean = logs.mean(axis=0)
    offset = (logs - mean).astype(np.float64)
    variances, vectors = np.linalg.eigh(offset.T @ offset / len(offset))
    kept = min(DIMENSIONS, int((variances > _TINY * variances[-1]).sum()), len(train) - 1)
    basis = vectors[:, ::-1][:, : max(1, kept)].astype(np.float16)
    inner = offset @ basis
    centres, own = _centres(inner)
    whitening = _whitening(inner - centres[own])
    left_over = offset - inner @ basis.T
    known = Known(
        layers,
        units,
        mean,
        basis,
        whitening.astype(np.float32),
        (centres @ whitening).astype(np.float32),
        np.asarray([len(whitening), max(float((left_over**2).sum(axis=1).mean()), _TINY)], np.float32),
        *_falling(np.arange(2.0)),
        trained_on=len(train),
        calibrated_on=len(validation),
    )
    ends, widths, heights = _falling(_in_parts(known.distance, validation))
    return replace(known, ends=ends, widths=widths, heights=heights)


def _in_parts(each: Callable[[Any], Any], features: Array) -> Array:
    parts = np.array_split(features, -(-len(features) // _AT_ONCE))
    return np.concatenate([ops.convert_to_numpy(each(part)) for part in parts])


def _product(rows: Any, matrix: Any) -> Any:
    """Return rows `[N, D]` times a matrix `[D, k]`, by sums: what leads to a network's last matrix product,
    engines compute in 16 bits where they compute products so; of features, which are means, too few.
    """
    return ops.sum(ops.expand_dims(rows, -1) * matrix, axis=1)


def _centres(rows: Rows) -> tuple[Rows, NDArray[np.intp]]:
    """Return points around which the rows lie, by Lloyd's k-means from k-means++'s first guess (Arthur,
    Vassilvitskii, SODA 2007), and the number of each row's nearest.
    """
    chance = np.random.default_rng(0)
    centres = rows[chance.integers(len(rows), size=1)]
    while len(centres) < min(CENTRES, len(rows) // LEAST_PER_CENTRE):
        nearest = _squared(rows, centres).min(axis=1)
        if not nearest.any():
            break
        centres = np.vstack([centres, rows[chance.choice(len(rows), p=nearest / nearest.sum())]])
    for _ in range(_ROUNDS):
        own = _squared(rows, centres).argmin(axis=1)
        kept, counts = np.unique(own, return_counts=True)
        kept = kept[counts >= min(FEWEST_OF_A_CENTRE, counts.max())]
        centres = np.stack([rows[own == number].mean(axis=0) for number in kept])
    return centres, _squared(rows, centres).argmin(axis=1)


def _squared(rows: Rows, centres: Rows) -> Rows:
    squares: Rows = ((rows[:, None] - centres) ** 2).sum(axis=-1)
    return squares


def _whitening(offsets: Rows) -> Rows:
    """Return what makes the offsets `[N, k]` from their centres uncorrelated, each of variance 1."""
    covariance = offsets.T @ offsets / len(offsets)
    mean = max(float(np.trace(covariance)) / len(covariance), _TINY)
    variances, vectors = np.linalg.eigh(
        (1 - SHRINKAGE) * covariance + SHRINKAGE * mean * np.eye(len(covariance))
    )
    scaled: Rows = vectors / np.sqrt(variances)
    return scaled


def _falling(distances: NDArray[Any]) -> tuple[Array, Array, Array]:
    """Return ends, widths and heights of the pieces by which the share falls with the distance.

    At the i-th largest of n distances it is i / (n + 1), and beyond the largest it goes on to 0 at twice its
    distance from the median.
    """
    ordered = np.sort(distances.astype(np.float64))[::-1]
    count = len(ordered)
    ranks = np.arange(1, count + 1) / (count + 1)
    shares = np.asarray([1.0, *(each for each in _SHARES if ranks[0] < each < ranks[-1]), ranks[0], 0.0])
    inner = np.interp(shares[1:-1], ranks, ordered)
    spread = max(float(ordered[0] - np.median(ordered)), _TINY)
    places = np.asarray([ordered[-1] - spread / count, *inner, ordered[0] + spread])
    # Of equal distances the last counts: between them the share would fall without one.
    steps = np.maximum(np.diff(places), _TINY)
    return places[1:].astype(np.float32), steps.astype(np.float32), (-np.diff(shares)).astype(np.float32)
