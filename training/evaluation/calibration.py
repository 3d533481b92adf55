"""How far a score can be believed: reliability, expected calibration error, temperature scaling.

All after Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017). Of the answers with a score
about 0.9, nine in ten should be right. One number mends most of what is wrong: the temperature, by which all
logits are divided. It never changes which label is the most probable.
"""

from dataclasses import asdict, dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from training.tasks import heads

BINS = 15
"""Of the expected calibration error and of the reliability diagram, of equal width."""

FEWEST = 50
"""Fewer samples than this say nothing about a temperature: it stays 1."""

_LIMITS = 0.1, 10.0
_TINY = 1e-12
_REDRAWN = 2000

Rows = NDArray[np.float64]
"""Probabilities `[M, K]` that sum to 1, K at least 2."""


@dataclass(frozen=True)
class Bin:
    """The answers whose score falls between `low` and `low` + 1/15: how sure they are, how many are right."""

    low: float
    count: int
    confidence: float
    accuracy: float


def reliability(rows: Rows, labels: NDArray[Any]) -> list[Bin]:
    """Sort the most probable label's scores into bins; empty ones are left out."""
    confidence, right = rows.max(axis=1), rows.argmax(axis=1) == labels
    places = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return [
        Bin(
            place / BINS,
            int((places == place).sum()),
            float(confidence[places == place].mean()),
            float(right[places == place].mean()),
        )
        for place in np.unique(places).tolist()
    ]


def expected_error(bins: list[Bin]) -> float:
    """Return the ECE: the mean distance of confidence and accuracy, each bin by its count; 0..1."""
    total = sum(each.count for each in bins)
    return sum(each.count * abs(each.confidence - each.accuracy) for each in bins) / total


def chance_error(bins: list[Bin]) -> tuple[float, float]:
    """Return the ECE that scores as these would show if they were perfect: its mean, and what 19 of 20
    samples of this size stay below.

    A sample of some hundreds never shows 0: in each bin the share of right answers scatters. Redrawn with
    each bin's confidence as its accuracy (consistency resampling: Broecker, Smith, "Increasing the
    Reliability of Reliability Diagrams", Weather and Forecasting, 2007).
    """
    counts = np.asarray([each.count for each in bins])
    sure = np.clip([each.confidence for each in bins], 0, 1)
    drawn = np.random.default_rng(0).binomial(counts, sure, (_REDRAWN, len(bins))) / counts
    errors = (counts * np.abs(drawn - sure)).sum(axis=1) / counts.sum()
    return float(errors.mean()), float(np.quantile(errors, 0.95))


def surprise(rows: Rows, labels: NDArray[Any]) -> float:
    """Return the mean negative log-likelihood of the true labels, in nats."""
    return float(-np.log(np.maximum(rows[np.arange(len(rows)), labels], _TINY)).mean())


def describe(rows: Rows, labels: NDArray[Any]) -> dict[str, Any]:
    """Return the ECE, what it would be by chance alone, NLL and the bins as plain data."""
    bins = reliability(rows, labels)
    mean, most = chance_error(bins)
    return {
        "ece": expected_error(bins),
        "chance": {"mean": mean, "q95": most},
        "nll": surprise(rows, labels),
        "bins": [asdict(each) for each in bins],
    }


def soften(rows: Rows, temperature: float) -> Rows:
    """Divide the logits behind the probabilities by the temperature."""
    powers = np.log(np.maximum(rows, _TINY)) / temperature
    weights: Rows = np.exp(powers - powers.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    return weights


def fit(rows: Rows, labels: NDArray[Any], count: int | None = None) -> float:
    """Return the temperature with the least NLL, between 0.1 and 10; 1 for fewer than 50 samples.

    `count` is how many samples there are where a row is less than one, as a pixel is of an image. One more
    sample counts that was answered wrongly and as surely as the mean: where all were right, the NLL alone
    would fall for ever with the temperature, and with it all doubt (the rule of succession; Platt smooths his
    targets for the same reason, "Probabilistic Outputs for Support Vector Machines", 1999, section 2.2).

    The NLL is convex in 1 / temperature, and the one more answer weighs little beside it: a golden-section
    search finds where their sum is least.
    """
    count = len(rows) if count is None else count
    if count < FEWEST:
        return 1.0
    low, high = (float(np.log(limit)) for limit in _LIMITS)
    golden = (np.sqrt(5) - 1) / 2

    def loss(position: float) -> float:
        softened = soften(rows, float(np.exp(position)))
        doubt = max(1 - float(softened.max(axis=1).mean()), _TINY)
        return count * surprise(softened, labels) - float(np.log(doubt))

    left, right = high - golden * (high - low), low + golden * (high - low)
    at_left, at_right = loss(left), loss(right)
    while high - low > 1e-4:
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - golden * (high - low)
            at_left = loss(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + golden * (high - low)
            at_right = loss(right)
    return float(np.exp((low + high) / 2))


def apply(model: keras.Model, temperature: float) -> None:
    """Divide the model's logits by the temperature: the head's kernel and bias take it in.

    The network stays the same, layer by layer; only the head's numbers change.
    """
    head = heads.label_layer(model)
    head.set_weights([values / temperature for values in head.get_weights()])
