"""What the best answer that never looks at an image scores: a network has to do better than that.

It is chosen on the training part and scored on the part that the network is measured on: always the commonest
label, always the box of the highest mean IoU, always the mask of the highest overlap, which may be all
background. There is none for how sure scores are, nor for a bias, of which a constant answer may have none.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.datasets import Samples
from training.tasks import instances, measures

SEEN = 4000
"""So many training boxes, drawn by chance, choose the best one."""

STARTS = 200
"""So many of them are tried first; the best is then moved and stretched."""

_STEPS = tuple(0.1 / 2**power for power in range(9))

_WEIGHTS = np.linspace(0, 1.5, 16)
"""Exponents of a class's rarity, by which classes are weighed where each pixel gets its commonest one."""


@dataclass(frozen=True)
class Baseline:
    """A figure of an answer that never changes, and the words for it, as in `always saying cat`."""

    value: float
    answer: str


Baselines = dict[str, Baseline]
"""By the names of the figures that they stand beside."""


def of_labels(train: NDArray[Any], test: NDArray[Any], labels: tuple[str, ...]) -> Baselines:
    """Always answer how often each label is in training: the commonest one first."""
    counts = np.bincount(train, minlength=len(labels))
    # Of labels that are equally common the first come first: five are said, not all that share a place.
    shares = counts / counts.sum() - 1e-9 * np.arange(len(counts))
    rows = np.tile(shares, (len(test), 1))
    figures, *_ = measures.measure_scores(rows, test, labels)
    answer = f"always saying {labels[int(counts.argmax())]}"
    answers = {"top5_accuracy": "always saying the five commonest labels"}
    return {name: Baseline(value, answers.get(name, answer)) for name, value in figures.items()}


def of_boxes(train: NDArray[np.float32], test: NDArray[np.float32]) -> Baselines:
    """Always answer the same box `[4]`."""
    box = best_box(train)
    overlaps = measures.box_overlaps(np.tile(box, (len(test), 1)).astype(np.float32), test)
    answer = "always answering the same box, {:.3f} {:.3f} {:.3f} {:.3f}".format(*box)
    return {name: Baseline(value, answer) for name, value in measures.measure_boxes(overlaps, {}).items()}


def best_box(boxes: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return about the box `[4]` of the highest mean IoU with boxes `[N, 4]`, all in fractions, 0..1.

    A pattern search (Hooke and Jeeves, 1961) over centre and size, from the best of some of the boxes, their
    mean and their median.
    """
    chance = np.random.default_rng(0)
    if len(boxes) > SEEN:
        boxes = boxes[chance.choice(len(boxes), SEEN, replace=False)]
    some = boxes[chance.permutation(len(boxes))[:STARTS]]
    starts = np.vstack([boxes.mean(axis=0), np.median(boxes, axis=0), some]).astype(np.float64)
    best, value = _better(starts, boxes)
    low, high = best[:2], best[2:]
    place = np.concatenate([(low + high) / 2, high - low])
    for step in _STEPS:
        while True:
            moves = place + step * np.vstack([np.eye(4), -np.eye(4)])
            corners = np.hstack([moves[:, :2] - moves[:, 2:] / 2, moves[:, :2] + moves[:, 2:] / 2]).clip(0, 1)
            moved, found = _better(corners, boxes)
            if found <= value:
                break
            best, value = moved, found
            place = np.concatenate([(best[:2] + best[2:]) / 2, best[2:] - best[:2]])
    return best


def _better(candidates: NDArray[np.float64], boxes: NDArray[np.float32]) -> tuple[NDArray[np.float64], float]:
    """Return the candidate of the highest mean IoU, and that."""
    means = [
        float(measures.box_overlaps(np.broadcast_to(one, boxes.shape).astype(np.float32), boxes).mean())
        for one in candidates
    ]
    best = int(np.argmax(means))
    return candidates[best], means[best]


def of_masks(
    train: NDArray[np.uint8],
    test: Samples,
    labels: tuple[str, ...],
    contents: NDArray[np.int32] | None = None,
) -> Baselines:
    """Always answer the same mask; of two labels where objects are told apart, separated as ever.

    `contents` says where the images of the training masks lie: see `Samples`.
    """
    assert test.masks is not None
    seen, truth = _counts(train, len(labels), contents), _counts(test.masks, len(labels), test.contents)
    if seen.shape != truth.shape:
        # Trained on windows, measured on images of many sizes: no place is like another.
        seen, truth = (counts.sum(axis=(1, 2), keepdims=True) for counts in (seen, truth))
    candidates = _constant_masks(seen)
    known = [_figures(mask, seen) for mask in candidates]
    baselines: Baselines = {}
    for name in known[0]:
        mask = candidates[int(np.argmax([figures[name] for figures in known]))]
        baselines[name] = Baseline(_figures(mask, truth)[name], _words(mask, labels))
    if "dice" in known[0] and test.instances is not None:
        mask = candidates[int(np.argmax([figures["dice"] for figures in known]))]
        baselines |= _of_objects(mask, test, labels)
    return baselines


def _counts(
    masks: NDArray[np.uint8], count: int, contents: NDArray[np.int32] | None = None
) -> NDArray[np.float64]:
    """Count how often each pixel is of each class, `[K, H, W]`, and not padding."""
    counts = np.stack([(masks == index).sum(axis=0, dtype=np.float64) for index in range(count)])
    if contents is not None:
        there = np.zeros(masks.shape[1:])
        for row in range(len(masks)):
            there[measures.within(contents, row)] += 1
        # Padding is 0 in all masks.
        counts[0] -= len(masks) - there
    return counts


def _constant_masks(seen: NDArray[np.float64]) -> list[NDArray[np.intp]]:
    """Return the masks `[H, W]` to try: each class everywhere; each pixel's commonest, rare ones favoured."""
    everywhere = [np.full(seen.shape[1:], index, np.intp) for index in range(len(seen))]
    shares = np.maximum(seen.sum(axis=(1, 2)) / seen.sum(), 1e-12)[:, None, None]
    return [*everywhere, *((seen / shares**weight).argmax(axis=0) for weight in _WEIGHTS)]


def _figures(mask: NDArray[np.intp], seen: NDArray[np.float64]) -> dict[str, float]:
    """Measure one mask against all those that were counted, as `measures.measure_masks` does."""
    count = len(seen)
    table = np.stack([np.bincount(mask.ravel(), one.ravel(), minlength=count) for one in seen])
    iou, dice = measures.overlap_of(table)
    figures = {
        "mean_iou": float(measures.mean_overlap(table)),
        "pixel_accuracy": float(np.trace(table) / table.sum()),
    }
    return figures | ({"dice": float(dice[1]), "iou": float(iou[1])} if count == 2 else {})


def _words(mask: NDArray[np.intp], labels: tuple[str, ...]) -> str:
    if (mask == mask.flat[0]).all():
        return f"answering {labels[int(mask.flat[0])]} everywhere"
    return "always answering the same mask"


def _of_objects(mask: NDArray[np.intp], test: Samples, labels: tuple[str, ...]) -> Baselines:
    assert test.instances is not None
    found: dict[str, NDArray[np.int32]] = {}
    rows = []
    for row, ids in enumerate(test.instances):
        inside = measures.within(test.contents, row)
        # Images of one size have the same padding.
        if str(inside) not in found:
            found[str(inside)] = measures.separated(np.broadcast_to(mask, ids.shape), inside)
        rows.append(instances.tally(found[str(inside)], ids).as_row())
    scores = instances.f1(np.sum(rows, axis=0).astype(np.float64))
    answer = _words(mask, labels)
    return {
        "object_f1": Baseline(float(scores[0]), answer),
        "object_f1_mean": Baseline(float(scores.mean()), answer),
    }
