"""What a run's figures mean, in plain sentences, where they mean that something is wrong.

Nothing is said of a good run. Each rule has a threshold here, so that a figure alone never alarms.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from training.fit.checkpoints import best_epoch
from training.tasks import heads
from training.tasks.baselines import Baselines
from training.tasks.intervals import Interval, wilson

SLIGHT = 0.15
"""Better than a constant answer by less than this part of what there is to gain: barely better."""

POOR = 0.4
"""Training and validation figures that gain less than this part: the network has not learnt its images."""

GAP = 0.15
"""Training better than validation by more than this, and by more than chance: learnt by heart."""

CLEAR = 0.05
"""So far the training figure lies beyond the 95 % interval of validation's where it is more than chance."""

FEW = 3
"""Of a label with fewer images in the part, or `FEW_PIXELS`, one that is never right says nothing."""

FEW_PIXELS = 100

NAMED = 10
"""So many labels are named, and of the others their number."""

_TOLD = ("dice", "mean_iou", "accuracy", "group_accuracy", "map")
"""Of these figures the first two that there are get a sentence; the others stand beside their baselines."""

OVERFITTING = (
    "it knows its training images by heart. Try more images, stronger augmentation (flip, rotation, zoom, "
    "brightness), weights from elsewhere (--weights imagenet), more weight decay or dropout, or a smaller "
    "network"
)
UNDERFITTING = (
    "it has not learnt even its training images. Try more epochs, another learning rate, larger images or a "
    "larger network, less augmentation, weights from elsewhere (--weights imagenet), and look whether the "
    "labels are right"
)


def compare(
    figures: Mapping[str, float],
    baselines: Baselines,
    intervals: Mapping[str, Interval],
    count: int,
) -> list[str]:
    """Say which figures are no better, or barely better, than the best constant answer's.

    No better: the 95 % interval includes the baseline, or lies below it. Where a constant answer is perfect
    there is nothing to gain, and nothing is said.
    """
    said = []
    for name in [name for name in _TOLD if name in figures and name in baselines][:2]:
        value, baseline = figures[name], baselines[name]
        if baseline.value >= 1:
            continue
        words = f"{name.replace('_', ' ')} {value:.4f} is"
        alone = f"{baseline.answer}: that alone gives {baseline.value:.4f}"
        low, high = intervals.get(name, (value, value))
        if value <= baseline.value or high <= baseline.value:
            said.append(f"{words} no better than {alone}.")
        elif low <= baseline.value:
            between = f"on {count} images its 95 % interval is {low:.4f} to {high:.4f}"
            said.append(f"{words} no better than {alone}, and {between}.")
        elif _gain(value, baseline.value) < SLIGHT:
            said.append(f"{words} barely better than {alone}.")
    return said


def _gain(value: float, baseline: float) -> float:
    """Return which part of the way from a constant answer to a perfect one is gone: 0 none, 1 all."""
    return (value - baseline) / (1 - baseline) if baseline < 1 else 1.0


def missed(confusion: Any, labels: Sequence[str], *, pixels: bool) -> list[str]:
    """Name the labels of a confusion matrix (rows are the truth) never or never rightly answered."""
    table = np.asarray(confusion)
    # What is missed or invented stands behind the labels.
    there = table.sum(axis=1)[: len(labels)] >= (FEW_PIXELS if pixels else FEW)
    never = there & (table.sum(axis=0)[: len(labels)] == 0)
    table = table[: len(labels), : len(labels)]
    wrong = there & (np.diagonal(table) == 0) & ~never
    said = []
    for which, words in ((never, "never answered"), (wrong, "answered, but never rightly")):
        names = [label for label, is_so in zip(labels, which, strict=True) if is_so]
        said += _of_labels(len(labels), names, words)
    if np.count_nonzero(table.sum(axis=1)) == 1 and not pixels:
        label = labels[int(table.sum(axis=1).argmax())]
        said.append(
            f"All {int(table.sum())} images are labelled {label}: which label is right was not tested."
        )
    return said


def never_right(per_label: Mapping[str, Mapping[str, float]], count: int) -> list[str]:
    """Name the labels, of `count` that do not exclude each other, which are there and never rightly said."""
    names = [label for label, own in per_label.items() if own["count"] >= FEW and own["recall"] == 0]
    return _of_labels(count, names, "never rightly answered")


def _of_labels(count: int, names: Sequence[str], words: str) -> list[str]:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    told = f"Of {count} labels, {len(names)} {words}: {', '.join(names[:NAMED])}{more}."
    return [told] if names else []


def fitting(
    history: Sequence[Mapping[str, float]], monitor: str, baselines: Baselines, validation: int
) -> list[str]:
    """Tell over- and underfitting from the epoch that was kept, by training's and validation's figures.

    `validation` is how many images that part has: on few, a gap may be chance.
    """
    known = [row for row in history if monitor in row]
    if not known:
        return []
    best = best_epoch(known, monitor)
    said = []
    for name in dict.fromkeys((monitor.removeprefix("val_"), *heads.FIGURES)):
        row = known[best]
        if name not in row or f"val_{name}" not in row:
            continue
        train, held = row[name], row[f"val_{name}"]
        words = f"{name.replace('_', ' ')} is {train:.2f} in training and {held:.2f} in validation"
        baseline = baselines.get(heads.FIGURES.get(name, name))
        if train - held > GAP and train - CLEAR > wilson(held * validation, validation)[1]:
            said.append(f"Overfitting: {words}: {OVERFITTING}.")
        elif baseline and baseline.value < 1 and _gain(max(train, held), baseline.value) < POOR:
            last = " The last epoch was the best: it was still learning." if best == len(known) - 1 else ""
            said.append(f"Underfitting: {words}: {UNDERFITTING}.{last}")
    return said
