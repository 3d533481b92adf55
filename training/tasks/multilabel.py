"""Several labels per image, which do not exclude each other. `scores` `[N, K]` are probabilities, each for
itself; from which on a label counts is chosen for each, on validation.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from training.datasets import Samples
from training.schema import Training
from training.tasks import classification, labelsets
from training.tasks.baselines import Baselines
from training.tasks.found import scores_of
from training.tasks.intervals import bootstrap, bootstrap_weighted, wilson
from training.tasks.measures import Figures
from training.tasks.pictures import Picture
from training.tasks.task import Found, Labels, Measured, Outputs, OwnImages, TrainedTask

SAID = 0.5
"""From this score on a label is named in words, and counts where no threshold was chosen."""

_AT_THRESHOLD = ("precision", "recall", "f1")


def _head(backbone: keras.Model, label_count: int, settings: Training) -> dict[str, Any]:
    return {"scores": classification.scored(backbone, label_count, settings, "sigmoid")}


def _goal(settings: Training, label_count: int, _: Any) -> dict[str, Any]:
    loss = keras.losses.BinaryCrossentropy(label_smoothing=settings.label_smoothing)
    precision = keras.metrics.AUC(curve="PR", multi_label=True, num_labels=label_count, name="map")
    return {"loss": {"scores": loss}, "metrics": {"scores": [precision]}}


def _targets(samples: Samples, _: int, __: Training) -> dict[str, NDArray[Any]]:
    return {"scores": _sets(samples).astype(np.float32)}


def _sets(samples: Samples) -> labelsets.Sets:
    assert samples.label_sets is not None
    return samples.label_sets


# ---- figures


def _collect(parts: Iterable[Outputs], samples: Samples) -> Found:
    """Keep each label of each image by itself: `rows` are [it is not there, it is]."""
    scores = np.concatenate([part["scores"] for part in parts]).astype(np.float64).ravel()
    return Found(np.stack([1 - scores, scores], axis=1), _sets(samples).ravel().astype(np.intp))


def _scores(found: Found, samples: Samples) -> labelsets.Scores:
    return found.rows[:, 1].reshape(_sets(samples).shape)


def _said(found: Found, samples: Samples) -> NDArray[np.bool_]:
    """Return which labels are answered, `[N, K]`."""
    return _scores(found, samples) >= np.asarray(found.label_thresholds or SAID)


def _choose(found: Found, samples: Samples) -> tuple[float, ...]:
    return labelsets.best_thresholds(_scores(found, samples), _sets(samples))


def _measure(found: Found, samples: Samples, labels: Labels, _: Any) -> Measured:
    """Measure the scores, and the labels at their thresholds. An answer is the better the more labels are
    right, and of as many, the larger the geometric mean of the probabilities of what is true.
    """
    scores, true, said = _scores(found, samples), _sets(samples), _said(found, samples)
    parts = labelsets.counts(said, true)
    total = scores_of(parts.sum(axis=(0, 1)))
    exact = int((said == true).all(axis=1).sum())
    everything = np.ones((1, len(true)))
    figures: Figures = {
        "map": float(labelsets.mean_precision(scores, true, everything)[0]),
        "macro_f1": float(labelsets.macro_f1(parts.sum(axis=0))),
        **dict(zip(_AT_THRESHOLD, total.tolist(), strict=True)),
        "exact_match": exact / len(true),
    }
    known = {
        "map": bootstrap_weighted(len(true), lambda weights: labelsets.mean_precision(scores, true, weights)),
        "macro_f1": bootstrap(parts, labelsets.macro_f1),
        "f1": bootstrap(parts, lambda means: scores_of(means.sum(axis=1))[:, 2]),
        "exact_match": wilson(exact, len(true)),
    }
    intervals = {name: interval for name, interval in known.items() if interval}
    thresholds = found.label_thresholds or (SAID,) * len(labels)
    right = np.where(true > 0, scores, 1 - scores)
    sure = np.exp(np.log(np.maximum(right, 1e-12)).mean(axis=1))
    good = ((said == true).sum(axis=1) + sure) / (len(labels) + 1)
    return Measured(
        "map",
        figures,
        intervals,
        _per_label(scores, true, parts.sum(axis=0), labels, thresholds),
        None,
        good,
        {
            "label_thresholds": dict(zip(labels, thresholds, strict=True)),
            "precision_recall": {
                label: labelsets.curve(scores[:, index], true[:, index])
                for index, label in enumerate(labels)
                if true[:, index].any()
            },
        },
    )


def _per_label(
    scores: labelsets.Scores,
    true: labelsets.Sets,
    parts: NDArray[np.int64],
    labels: Labels,
    thresholds: Sequence[float],
) -> dict[str, Figures]:
    """Return the figures of each label that some image has."""
    return {
        label: {"ap": float(labelsets.average_precision(scores[:, index], true[:, index])[0])}
        | dict(zip(_AT_THRESHOLD, scores_of(parts[index]).tolist(), strict=True))
        | {"threshold": thresholds[index], "count": float(parts[index, 2])}
        for index, label in enumerate(labels)
        if parts[index, 2]
    }


def _constant_answers(train: Samples, test: Samples, labels: Labels) -> Baselines:
    return labelsets.constant_answers(_sets(train), _sets(test), labels)


def _columns(found: Found, samples: Samples, labels: Labels) -> dict[str, Sequence[Any] | NDArray[Any]]:
    """Return all true and all answered labels, and each label's score."""
    scores = _scores(found, samples)
    return {
        "labels": ["; ".join(_named(row, labels)) for row in _sets(samples)],
        "answer": ["; ".join(_named(row, labels)) for row in _said(found, samples)],
        **{f"score of {label}": scores[:, index] for index, label in enumerate(labels)},
    }


def _named(row: NDArray[Any], labels: Labels) -> list[str]:
    return [labels[index] for index in np.flatnonzero(row)]


# ---- pictures and words


def _draw(image: Picture, _: Outputs, __: Samples | None) -> Picture:
    return image


def _words(outputs: Outputs, truth: Samples, labels: Labels) -> list[str]:
    scores = outputs["scores"][0]
    said = scores >= SAID
    lines = [", ".join(f"{labels[one]} {scores[one]:.2f}" for one in np.flatnonzero(said)) or "no label"]
    if truth.label_sets is not None and (said != truth.label_sets[0]).any():
        lines.append(f"not {', '.join(_named(truth.label_sets[0], labels)) or 'no label'}")
    return lines


MULTILABEL = TrainedTask(
    name="multilabel",
    served="classification",
    outputs={"scores": "probability of each label, for itself: they do not exclude each other"},
    label_output="scores",
    per_pixel=False,
    head=_head,
    goal=_goal,
    targets=_targets,
    monitor=lambda _: "val_map",
    collect=_collect,
    choose_label_thresholds=_choose,
    measure=_measure,
    baselines=_constant_answers,
    columns=_columns,
    shares=classification.shares,
    draw=_draw,
    words=_words,
    threshold=lambda _: SAID,
    own=OwnImages(
        classification.CLASSIFICATION.own.architecture,
        {"head_dropout": 0.2},
        classification.CLASSIFICATION.own.pretrained,
        ("stretch", "stretched, so that all that may have a label is seen"),
    ),
    refused={"training.balance": "weighs images by their one label: it is for other tasks."},
)
