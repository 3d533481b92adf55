"""Sets of labels against the truth: average precision, thresholds, and what a constant answer gets.

`scores` are probabilities float64 `[N, K]`, each for itself; `true` uint8 `[N, K]`, 1 where an image has the
label; `thresholds` `[K]`.
"""

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.tasks.baselines import Baseline, Baselines
from training.tasks.found import best_threshold, scores_of

FEWEST = 5
"""A label that fewer images have does not choose a threshold of its own."""

NAMED = 3
"""Of a constant answer so many labels are named."""

_TINY = 1e-12
_NUMBERS_AT_ONCE = 2**22

Scores = NDArray[np.float64]
Sets = NDArray[np.uint8]


def average_precision(scores: Scores, true: NDArray[Any], weights: Scores | None = None) -> Scores:
    """Return the area below precision by recall of one label, `[R]`, of scores `[N]`; NaN where nothing is
    true. `weights` `[R, N]` are how much each image counts; all the same without.

    The sum of each score's precision times the recall that it adds (Manning et al., "Introduction to
    Information Retrieval", 2008, chapter 8.4), images of the same score taken together.
    """
    known = np.ones((1, len(scores))) if weights is None else weights
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    ends = np.flatnonzero(np.append(ordered[1:] < ordered[:-1], True))
    counted = known[:, order]
    right = np.cumsum(counted * true[order], axis=1)[:, ends]
    precision = right / np.maximum(np.cumsum(counted, axis=1)[:, ends], _TINY)
    area = (precision * np.diff(right, axis=1, prepend=0)).sum(axis=1)
    there = right[:, -1]
    return np.where(there > 0, area / np.maximum(there, _TINY), np.nan)


def curve(scores: Scores, true: NDArray[Any]) -> list[float]:
    """Return the best precision of one label at the recalls 0, .01, ... 1 or a higher one; it is there."""
    order = np.argsort(-scores, kind="stable")
    right = np.cumsum(true[order].astype(np.int64))
    best = np.maximum.accumulate((right / np.arange(1, len(right) + 1))[::-1])[::-1]
    places = np.searchsorted(right, np.linspace(0, 1, 101) * right[-1] - _TINY)
    return [round(float(best[place]), 4) for place in places]


def mean_precision(scores: Scores, true: Sets, weights: Scores) -> Scores:
    """Return the mean of the labels' average precisions, `[R]`, those left out that no image has."""
    return np.concatenate(
        [
            _mean([average_precision(*each, some) for each in zip(scores.T, true.T, strict=True)])
            for some in np.array_split(weights, -(-weights.size // _NUMBERS_AT_ONCE))
        ]
    )


def _mean(values: list[Scores]) -> Scores:
    table = np.stack(values)
    known = ~np.isnan(table)
    mean: Scores = np.where(known, table, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return mean


def best_thresholds(scores: Scores, true: Sets) -> tuple[float, ...]:
    """Return for each label the score from which on its F1 is best; of rare ones, that of all together."""
    common = best_threshold(scores.ravel(), true.ravel(), int(true.sum()))
    return tuple(
        best_threshold(own, there, int(there.sum())) if there.sum() >= FEWEST else common
        for own, there in zip(scores.T, true.T, strict=True)
    )


def counts(answered: NDArray[Any], true: Sets) -> NDArray[np.int64]:
    """Return how often each label is rightly answered, answered and there, image by image: `[N, K, 3]`."""
    said = answered.astype(bool)
    return np.stack([said & (true > 0), said, true > 0], axis=-1).astype(np.int64)


def macro_f1(parts: NDArray[Any]) -> NDArray[np.float64]:
    """Return the mean F1 `[...]` of counts `[..., K, 3]` over the labels that some image has."""
    there = parts[..., 2] > 0
    total = (scores_of(parts)[..., 2] * there).sum(axis=-1)
    mean: NDArray[np.float64] = total / np.maximum(there.sum(axis=-1), 1)
    return mean


# ---- constant answers


def constant_answers(train: Sets, test: Sets, labels: tuple[str, ...]) -> Baselines:
    """Return the figures of the best answers that are the same for every image, chosen on training."""
    shares = test.mean(axis=0)
    there = shares > 0
    every = macro_f1(counts(np.ones_like(test), test).sum(axis=0))
    commonest = _commonest(train)
    ((likeliest, _),) = Counter(map(tuple, train.tolist())).most_common(1)
    f1 = scores_of(counts(np.broadcast_to(commonest, test.shape), test).sum(axis=(0, 1)))[2]
    return {
        "map": Baseline(
            float(shares[there].mean()) if there.any() else 0.0, "the same scores for all images"
        ),
        "macro_f1": Baseline(float(every), "always saying every label"),
        "f1": Baseline(float(f1), _words(commonest, labels)),
        "exact_match": Baseline(
            float((test == likeliest).all(axis=1).mean()), _words(np.asarray(likeliest, np.uint8), labels)
        ),
    }


def _commonest(train: Sets) -> Sets:
    """Return the set of the commonest labels, as many as give the best F1 over all of training."""
    order = np.argsort(-train.sum(axis=0), kind="stable")
    sets = np.zeros((len(order), len(order)), np.uint8)
    for size in range(len(order)):
        sets[size, order[: size + 1]] = 1
    totals = [counts(np.broadcast_to(one, train.shape), train).sum(axis=(0, 1)) for one in sets]
    return np.asarray(sets[int(scores_of(np.stack(totals))[:, 2].argmax())])


def _words(answer: Sets, labels: tuple[str, ...]) -> str:
    names = [label for label, said in zip(labels, answer, strict=True) if said]
    if len(names) > NAMED:
        return f"always saying the same {len(names)} labels"
    return f"always saying {', '.join(names)}" if names else "never saying a label"
