"""Likely label errors: which photos a simple model, that never saw them, takes for another class.

Northcutt et al., "Confident Learning: Estimating Uncertainty in Dataset Labels" (JAIR 2021): a photo's class
probabilities come from a model of the others (cross-validation); it is suspect where another class is as
likely as that class is among its own photos in the mean (the confident joint), and the more so the less
likely its own label is (self-confidence). The model is a softmax regression on what an ImageNet network
answers, which is never trained here: 13 ms a photo on a CPU, once, for the answers are kept in the cache.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.datasets import Request, cache
from training.datasets.reading import read_image

ARCHITECTURE, SIDE = "efficientnet-lite0", 192
MOST = 20
"""So many are named."""
LEAST = 5
"""Of classes with fewer photos nothing is said."""
FOLDS = 5
QUICK = 1000
"""So many photos take seconds: 13 or so."""
_BATCH = 32
_STEPS, _DECAY = 150, 0.03


class FeaturesError(Exception):
    """The network that looks at the photos cannot be had. The text says what would help."""


@dataclass(frozen=True)
class Suspect:
    """A photo, its label, the likelier one, and the probability of each."""

    file: str
    label: str
    confidence: float
    likelier: str
    likelier_confidence: float

    def __str__(self) -> str:
        return f"{self.file}: {self.words}"

    @property
    def words(self) -> str:
        """Its labels, in words."""
        return f"{self.label} ({self.confidence:.2f}) or {self.likelier} ({self.likelier_confidence:.2f})?"


def find(folder: Path, files: Sequence[str], labels: Sequence[str], groups: Sequence[int]) -> list[Suspect]:
    """Name the files below `folder` whose labels are likely wrong, the most suspect first, at most `MOST`.

    Photos of one group (copies, near-duplicates) are never used to judge one another. FeaturesError where the
    ImageNet weights are not installed, DatasetError where a photo cannot be read.
    """
    names = sorted(set(labels))
    classes = np.asarray([names.index(label) for label in labels])
    if len(names) < 2 or len(set(groups)) < FOLDS:
        return []
    values = features([folder / file for file in files])
    scores = out_of_fold(values, classes, np.asarray(groups), len(names))
    return [
        Suspect(
            files[row], labels[row], float(scores[row, classes[row]]), names[other], float(scores[row, other])
        )
        for row, other in off_diagonal(scores, classes)[:MOST]
    ]


def features(paths: Sequence[Path]) -> NDArray[np.float32]:
    """Return what the ImageNet network answers for photos, the mean of its last map: float32 `[N, 1280]`."""
    import keras

    from training.zoo import ARCHITECTURES
    from training.zoo.torchfile import PretrainedError

    def fill(rows: NDArray[np.float32]) -> None:
        pretrained = ARCHITECTURES[ARCHITECTURE].pretrained
        assert pretrained is not None
        try:
            model = pretrained.load((SIDE, SIDE, 3))
        except PretrainedError as error:
            raise FeaturesError(f"Wrong labels are found by {ARCHITECTURE}. {error}") from error
        frame = Request("classification", SIDE, SIDE, 3)
        with ThreadPoolExecutor() as pool:
            for start in range(0, len(paths), _BATCH):
                some = slice(start, start + _BATCH)
                images = list(pool.map(lambda path: read_image(path, frame, 3), paths[some]))
                answers = model(np.stack(images).astype(np.float32) / 255, training=False)
                rows[some] = keras.ops.convert_to_numpy(answers).mean(axis=(1, 2))

    return cache.cached(f"{ARCHITECTURE}-features-{SIDE}", paths, (1280,), np.float32, fill)


def out_of_fold(
    values: NDArray[np.float32], classes: NDArray[np.intp], groups: NDArray[np.intp], count: int
) -> NDArray[np.float32]:
    """Return for each row the probabilities `[N, count]` of a model of the rows in other folds.

    Each class is spread over all folds, whole groups at a time.
    """
    folds = _folds(classes, groups)
    scores = np.zeros((len(values), count), np.float32)
    for fold in range(FOLDS):
        held = folds == fold
        mean, deviation = values[~held].mean(axis=0), values[~held].std(axis=0) + 1e-3
        weights = _regression((values[~held] - mean) / deviation, classes[~held], count)
        scores[held] = _probabilities((values[held] - mean) / deviation, weights)
    return scores


def _folds(classes: NDArray[np.intp], groups: NDArray[np.intp]) -> NDArray[np.intp]:
    chance = np.random.default_rng(0)
    numbers, firsts, inverse = np.unique(groups, return_index=True, return_inverse=True)
    order = chance.permutation(len(numbers))
    order = order[np.argsort(classes[firsts[order]], kind="stable")]
    found = np.empty(len(numbers), np.intp)
    found[order] = np.arange(len(numbers)) % FOLDS
    return found[inverse]


def _regression(values: NDArray[np.float32], classes: NDArray[np.intp], count: int) -> NDArray[np.float32]:
    """Fit a softmax regression `[F + 1, count]` by accelerated gradients (Nesterov 1983) of the mean loss.

    The step is one by the bound of the curvature: a half, of the softmax, times the largest eigenvalue of the
    values' second moments.
    """
    rows = np.hstack([values, np.ones((len(values), 1), np.float32)])
    truth = np.eye(count, dtype=np.float32)[classes]
    moments = rows.T @ rows if len(rows) > rows.shape[1] else rows @ rows.T
    step = 1 / (0.5 * float(np.linalg.eigvalsh(moments)[-1]) / len(rows) + _DECAY)
    weights = before = np.zeros((rows.shape[1], count), np.float32)
    for number in range(1, _STEPS + 1):
        ahead = weights + np.float32((number - 1) / (number + 2)) * (weights - before)
        slope = rows.T @ (_softmax(rows @ ahead) - truth) / len(rows) + _DECAY * ahead
        before, weights = weights, ahead - step * slope
    return weights


def _probabilities(values: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    return _softmax(values @ weights[:-1] + weights[-1])


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def off_diagonal(scores: NDArray[np.float32], classes: NDArray[np.intp]) -> list[tuple[int, int]]:
    """Return the rows off the diagonal of the confident joint, each with its likelier class, the least sure
    of their labels first. `scores` are `[N, K]`, of models that never saw their row.
    """
    count = scores.shape[1]
    judged = np.bincount(classes, minlength=count) >= LEAST
    limits = np.full(count, np.inf)
    for label in np.flatnonzero(judged):
        limits[label] = scores[classes == label, label].mean()
    likely = np.where(scores >= limits, scores, -1)
    best = likely.argmax(axis=1)
    own = scores[np.arange(len(scores)), classes]
    found = np.flatnonzero((likely.max(axis=1) > 0) & (best != classes) & judged[classes])
    return [(int(row), int(best[row])) for row in found[np.argsort(own[found], kind="stable")]]
