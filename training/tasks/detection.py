"""Detection: all objects of an image, each with a label, a score and a box.

Trained are maps (`zoo/centres.py`); answered are `boxes` `[N, K, 4]`, x_min, y_min, x_max, y_max as fractions
in 0..1, `scores` `[N, K]`, the most probable first, and `labels` `[N, K]`, their indices.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from service.tasks import matching
from training.datasets import Samples
from training.halves import largest_difference
from training.schema import Training
from training.tasks import centres, found
from training.tasks.found import Answers
from training.tasks.intervals import bootstrap
from training.tasks.measures import Figures, in_sight
from training.tasks.pictures import ANSWER, TRUTH, Picture, frame
from training.tasks.precision import AveragePrecision
from training.tasks.task import (
    WHOLE,
    Found,
    Labels,
    Measured,
    Outputs,
    OwnImages,
    Pretrained,
    TrainedTask,
    no_blends,
)
from training.zoo.centres import object_maps, objects_of

LEAST_SCORE = 0.05
"""What is less probable says little of how far scores can be believed: thousands of places are no object."""
DRAWN = 0.3
"""From this score on an object is drawn, and named in words."""


def _head(backbone: keras.Model, label_count: int, settings: Training) -> dict[str, Any]:
    return {"objects": object_maps(backbone, label_count, settings.head_dropout)}


def _goal(settings: Training, label_count: int, _: Any) -> dict[str, Any]:
    loss = centres.objects_loss(settings.box_loss, label_count, settings.box_weight)
    return {"loss": {"objects": loss}, "metrics": {"objects": [AveragePrecision(label_count)]}}


def _targets(samples: Samples, _: int, __: Training) -> dict[str, NDArray[Any]]:
    assert samples.objects is not None
    return {"objects": samples.objects}


def _answer(maps: dict[str, Any], settings: Training) -> dict[str, Any]:
    beside = {name: rows for name, rows in maps.items() if name != "objects"}
    return objects_of(maps["objects"], settings.max_objects) | beside


def _difference(one: Outputs, other: Outputs) -> dict[str, float]:
    """Compare object by object, `LEAST_SCORE` and above: where scores tie, the order says nothing."""
    beside = [name for name in one if name not in DETECTION.outputs]
    apart = [
        matching.differences(
            {name: rows[row] for name, rows in one.items()},
            {name: rows[row] for name, rows in other.items()},
            LEAST_SCORE,
        )
        for row in range(len(one["scores"]))
    ]
    known = {name: max(row[name] for row in apart) for name in apart[0]}
    return known | largest_difference({name: one[name] for name in beside}, other)


# ---- figures


def _collect(parts: Iterable[Outputs], samples: Samples) -> Found:
    """Keep all answers, and of each whether it is right: `rows` are [no object, object]."""
    assert samples.objects is not None
    some = list(parts)
    boxes, scores, labels = (
        np.concatenate([part[name] for part in some]) for name in ("boxes", "scores", "labels")
    )
    boxes = in_sight(boxes, samples)
    answers = Answers(boxes, scores.astype(np.float64), labels.astype(np.intp))
    right, counted = found.judged(answers, samples.objects)
    flat = answers.scores.ravel()
    kept = np.concatenate([boxes, labels[..., None]], axis=2)
    rows = np.stack([1 - flat, flat], axis=1)
    return Found(rows, right.ravel(), kept, counted=counted.ravel(), least=LEAST_SCORE)


def _answers(results: Found) -> Answers:
    assert results.answers is not None
    kept = results.answers
    scores = results.rows[:, 1].reshape(kept.shape[:2])
    return Answers(kept[..., :4], scores, kept[..., 4].astype(np.intp))


def _choose_threshold(results: Found, samples: Samples) -> float:
    """Return the score from which on F1 is best, over all labels and images together."""
    assert samples.objects is not None
    rows, right = results.judged
    return found.best_threshold(rows[:, 1], right, int((samples.objects[..., 4] >= 0).sum()))


def _measure(results: Found, samples: Samples, labels: Labels, _: Any) -> Measured:
    """Measure by COCO's rules, and at the threshold; an answer is as good as its image's F1."""
    assert samples.objects is not None
    answers, objects, count = _answers(results), samples.objects, len(labels)
    precision = found.average_precision(answers, objects, count)
    table, counts = found.confusion(answers, objects, count, results.threshold)
    figures = _figures(precision)
    figures |= dict(zip(_AT_THRESHOLD, found.scores_of(counts.sum(axis=0)).tolist(), strict=True))
    known = {name: bootstrap(counts, partial(_column, column)) for column, name in enumerate(_AT_THRESHOLD)}
    intervals = {name: interval for name, interval in known.items() if interval}
    per_label = np.stack([np.diagonal(table), table.sum(axis=0), table.sum(axis=1)], axis=1)[:count]
    per_class = {
        label: _of_label(precision, index)
        | {"count": float(per_label[index, 2])}
        | dict(zip(_AT_THRESHOLD, found.scores_of(per_label[index]).tolist(), strict=True))
        for index, label in enumerate(labels)
        if per_label[index, 2]
    }
    details = {
        "threshold": results.threshold,
        "precision_recall": {label: precision.curve(index) for index, label in enumerate(labels)},
    }
    # Where there is no object and none is found, nothing can be better.
    good = np.where(counts[:, 1:].any(axis=1), found.scores_of(counts)[:, 2], 1.0)
    return Measured("map_50", figures, intervals, per_class, table, good, details)


_AT_THRESHOLD = ("precision", "recall", "f1")


def _column(column: int, counts: NDArray[np.float64]) -> NDArray[np.float64]:
    return found.scores_of(counts)[:, column]


def _figures(precision: found.Precision) -> Figures:
    known = {
        "map_50": precision.mean(overlap=0),
        "map": precision.mean(),
        "map_75": precision.mean(overlap=5),
        **{f"map_{name}": precision.mean(size=n) for n, name in enumerate(found.SIZES, start=1)},
    }
    return {name: value for name, value in known.items() if value is not None} or {"map_50": 0.0}


def _of_label(precision: found.Precision, index: int) -> Figures:
    known = {"ap_50": precision.mean(overlap=0, label=index), "ap": precision.mean(label=index)}
    return {name: value for name, value in known.items() if value is not None}


def _columns(results: Found, samples: Samples, labels: Labels) -> dict[str, Sequence[Any] | NDArray[Any]]:
    """Return how many objects there are, and how many are found and invented at the threshold."""
    assert samples.objects is not None
    answers = _answers(results)
    _, counts = found.confusion(answers, samples.objects, len(labels), results.threshold)
    right, answered, there = counts.T
    return {
        "objects": there.tolist(),
        "found": right.tolist(),
        "missed": (there - right).tolist(),
        "invented": (answered - right).tolist(),
    }


# ---- pictures and words


def _shares(outputs: Outputs, label_count: int) -> NDArray[Any]:
    """Return the score of the surest object of each label."""
    best = np.zeros(label_count)
    np.maximum.at(best, outputs["labels"][0].astype(np.intp), outputs["scores"][0])
    return best


def _draw(image: Picture, outputs: Outputs, truth: Samples | None) -> Picture:
    boxes = []
    if truth is not None and truth.objects is not None:
        boxes = [(box, TRUTH) for box in found.truth_of(truth.objects, 0)[0]]
    sure = outputs["scores"][0] >= DRAWN
    return frame(image, [*boxes, *((box, ANSWER) for box in outputs["boxes"][0][sure])])


def _words(outputs: Outputs, truth: Samples, labels: Labels) -> list[str]:
    sure = outputs["scores"][0] >= DRAWN
    lines = [_counted(outputs["labels"][0][sure].astype(int), labels)]
    if truth.objects is not None:
        right = _counted(found.truth_of(truth.objects, 0)[1], labels)
        lines += [f"not {right}"] * (right != lines[0])
    return lines


def _counted(indices: NDArray[Any], labels: Labels) -> str:
    counts = Counter(indices.tolist())
    return ", ".join(f"{counts[index]} {labels[index]}" for index in sorted(counts)) or "no object"


_SCORES = "of each object its probability, descending; what is below the threshold is mostly none"

DETECTION = TrainedTask(
    name="detection",
    outputs={
        "boxes": "of each object x_min, y_min, x_max, y_max as fractions of the frame's width and height",
        "scores": _SCORES,
        "labels": "of each object the number of its label, from 0",
    },
    label_output="scores",
    per_pixel=False,
    head=_head,
    goal=_goal,
    targets=_targets,
    answer=_answer,
    difference=_difference,
    monitor=lambda _: "val_map_50",
    collect=_collect,
    measure=_measure,
    choose_threshold=_choose_threshold,
    # The best answer that never looks at an image is that there is nothing.
    baselines=lambda _, __, ___: {},
    columns=_columns,
    shares=_shares,
    draw=_draw,
    words=_words,
    own=OwnImages(
        lambda side: "se-resnet-small" if side < 96 else "se-resnet",
        {"box_weight": 5.0},
        Pretrained(
            320,
            "-pyramid4",
            {"epochs": 14, "batch_size": 8, "learning_rate": 0.002, "patience": 4, "ema": 0.98},
            {"frozen_epochs": 4, "frozen_learning_rate": 0.003, "backbone_rate": 0.5},
            time=10,
        ),
        WHOLE,
        least_side=64,
    ),
    refused=no_blends("detection")
    | {
        "augmentation.mirrored_border": "shows objects that no box accounts for: it is for other tasks.",
        "augmentation.erase": "hides objects that boxes still account for: it is for other tasks.",
        "training.balance": "weighs images by their label: it is for other tasks.",
        "training.label_smoothing": "does nothing to the scores of objects: leave it out.",
    },
    one_label_is_meant=True,
    # The temperature sharpens scores, mostly by half, and with them what bfloat16 changes.
    tolerance=lambda _: {"scores": 0.06},
)
