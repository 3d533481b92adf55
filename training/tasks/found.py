"""Found objects against true ones: average precision by pycocotools; what was found, missed and invented.

Boxes are in fractions, which no overlap depends on; `objects` are those of `Samples`.
"""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from service.tasks import matching
from training.datasets.dataset import IGNORED

overlaps = matching.overlaps

SIDE = 1000
"""Boxes are handed to pycocotools in pixels of a square of this side."""
SIZES = {"small": (0.0, 1 / 300), "medium": (1 / 300, 9 / 300), "large": (9 / 300, 1.0)}
"""Parts of the image's area: about COCO's 32 x 32 and 96 x 96 pixels in a photo of 640 x 480."""
OVERLAP = 0.5

Objects = NDArray[np.float32]
"""True ones `[N, M, 5]`."""


@dataclass(frozen=True)
class Answers:
    """The objects of N images: `boxes` `[N, K, 4]`, `scores` `[N, K]` descending, `labels` `[N, K]`."""

    boxes: NDArray[np.float32]
    scores: NDArray[np.float64]
    labels: NDArray[np.intp]

    def of(self, row: int, threshold: float = 0.0) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Return boxes, scores and labels of one image from a threshold on."""
        kept = self.scores[row] >= threshold
        return self.boxes[row][kept], self.scores[row][kept], self.labels[row][kept]


def truth_of(objects: Objects, row: int) -> tuple[NDArray[np.float32], NDArray[np.intp], NDArray[np.float32]]:
    """Return the boxes of one image's true objects, their labels, and the boxes that do not count."""
    labels = objects[row, :, 4].astype(np.intp)
    return objects[row, labels >= 0, :4], labels[labels >= 0], objects[row, labels == IGNORED, :4]


# ---- average precision


@dataclass(frozen=True)
class Precision:
    """`table` `[T, R, K, A]`: precision at the overlaps .5, .55, ... .95, at the recalls 0, .01, ... 1, of
    each label, of objects of all sizes and of each of `SIZES`; -1 where there are none.
    """

    table: NDArray[np.float64]

    def mean(self, overlap: int | None = None, label: int | None = None, size: int = 0) -> float | None:
        """Return the mean over what is not given; None where there is nothing to find."""
        part = self.table[slice(None) if overlap is None else slice(overlap, overlap + 1), :, :, size]
        part = part if label is None else part[:, :, label]
        known = part[part > -1]
        return float(known.mean()) if known.size else None

    def curve(self, label: int) -> list[float]:
        """Return the precision at the recalls 0, .01, ... 1 of a label, at an overlap of .5."""
        return [round(float(value), 4) for value in self.table[0, :, label, 0]]


def average_precision(answers: Answers, objects: Objects, label_count: int) -> Precision:
    """Measure by COCO's rules, with all K objects of an image instead of 100."""
    images = [{"id": row + 1} for row in range(len(objects))]
    categories = [{"id": label + 1, "name": str(label)} for label in range(label_count)]
    true, found = [], []
    for row in range(len(objects)):
        boxes, labels, ignored = truth_of(objects, row)
        true += [_annotation(row, box, label) for box, label in zip(boxes, labels, strict=True)]
        # A crowd is one of each label.
        true += [_annotation(row, box, label, crowd=1) for box in ignored for label in range(label_count)]
        found += [
            _annotation(row, box, label) | {"score": float(score)}
            for box, score, label in zip(*answers.of(row), strict=True)
        ]
    # It tells of every step on the standard output.
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(*(_coco(images, some, categories) for some in (true, found)), "bbox")
        evaluation.params.maxDets = [answers.scores.shape[1]]
        ranges = [(0.0, 2.0), *SIZES.values()]
        evaluation.params.areaRng = [[SIDE**2 * low, SIDE**2 * high] for low, high in ranges]
        evaluation.params.areaRngLbl = ["all", *SIZES]
        evaluation.evaluate()
        evaluation.accumulate()
    return Precision(np.asarray(evaluation.eval["precision"])[..., 0])


def _annotation(row: int, box: NDArray[np.float32], label: int, crowd: int = 0) -> dict[str, Any]:
    x_min, y_min, x_max, y_max = (float(side) * SIDE for side in box)
    sides = x_max - x_min, y_max - y_min
    return {
        "image_id": row + 1,
        "category_id": int(label) + 1,
        "bbox": [x_min, y_min, *sides],
        "area": sides[0] * sides[1],
        "iscrowd": crowd,
    }


def _coco(images: Any, annotations: list[dict[str, Any]], categories: Any) -> COCO:
    coco = COCO()
    numbered = [one | {"id": number} for number, one in enumerate(annotations, start=1)]
    coco.dataset = {"images": images, "annotations": numbered, "categories": categories}
    coco.createIndex()
    return coco


# ---- one threshold


def judged(answers: Answers, objects: Objects) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return for each object of the answers, `[N, K]`, whether it is right (1 or 0), and whether it counts.

    Right is what overlaps a true object of its label by half, which no surer one has; what mostly lies in a
    box that does not count, does not either.
    """
    right = np.zeros(answers.scores.shape, np.int64)
    counted = np.ones(answers.scores.shape, bool)
    for row in range(len(objects)):
        boxes, labels, ignored = truth_of(objects, row)
        hits = [one for one, _ in _pairs(answers.of(row), boxes, labels)]
        right[row, hits] = 1
        counted[row] = (right[row] == 1) | ~_within(answers.boxes[row], ignored)
    return right, counted


def _pairs(
    answered: tuple[NDArray[Any], NDArray[Any], NDArray[Any]],
    boxes: NDArray[np.float32],
    labels: NDArray[np.intp],
) -> list[tuple[int, int]]:
    """Pair answered boxes, scores and labels with true ones."""
    found: dict[str, NDArray[Any]] = dict(zip(("boxes", "scores", "labels"), answered, strict=True))
    true: dict[str, NDArray[Any]] = {"boxes": boxes, "labels": labels}
    return matching.pairs(found, true, OVERLAP)


def _within(boxes: NDArray[np.float32], ignored: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Tell which boxes `[K, 4]` lie by half or more in one of the others."""
    if not len(ignored):
        return np.zeros(len(boxes), bool)
    low = np.maximum(boxes[:, None, :2], ignored[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], ignored[None, :, 2:])
    shared = np.maximum(high - low, 0).prod(axis=2)
    own = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-9).prod(axis=1)
    return np.asarray((shared / own[:, None] >= OVERLAP).any(axis=1))


def best_threshold(scores: NDArray[np.float64], right: NDArray[Any], there: int) -> float:
    """Return the score from which on the F1 of the objects `[M]` is best; of `there` true ones.

    Half of the way to the next lower score, so that nothing hangs on the last digit.
    """
    if not there or not right.any():
        return 0.5
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(right[order])
    ordered = scores[order]
    f1 = 2 * hits / (np.arange(1, len(hits) + 1) + there)
    # Of equal scores all are answered or none.
    last = np.append(ordered[1:] < ordered[:-1], True)
    best = int(np.where(last, f1, -1).argmax())
    lower = ordered[best + 1] if best + 1 < len(ordered) else 0.0
    return round(float((ordered[best] + lower) / 2), 4)


def confusion(
    answers: Answers, objects: Objects, label_count: int, threshold: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return found, missed and invented objects: a table `[K + 1, K + 1]`, and for each image `[N, 3]` how
    many are rightly found, answered and there.

    Rows of the table are true labels, columns answered ones; the last of each is no object. Boxes are paired
    whatever their labels.
    """
    table = np.zeros((label_count + 1, label_count + 1), np.int64)
    counts = np.zeros((len(objects), 3), np.int64)
    for row in range(len(objects)):
        boxes, labels, ignored = truth_of(objects, row)
        found, scores, answered = answers.of(row, threshold)
        pairs = _pairs((found, scores, np.zeros_like(answered)), boxes, np.zeros_like(labels))
        for one, other in pairs:
            table[labels[other], answered[one]] += 1
        alone = np.ones(len(found), bool)
        alone[[one for one, _ in pairs]] = False
        invented = answered[alone & ~_within(found, ignored)]
        missed = np.delete(labels, [other for _, other in pairs])
        np.add.at(table, (labels_or(label_count, invented), invented), 1)
        np.add.at(table, (missed, labels_or(label_count, missed)), 1)
        right = sum(labels[other] == answered[one] for one, other in pairs)
        counts[row] = right, len(pairs) + len(invented), len(labels)
    return table, counts


def labels_or(nothing: int, like: Sequence[Any] | NDArray[Any]) -> NDArray[np.intp]:
    """Return the index that stands for no object, as often as there are others."""
    return np.full(len(like), nothing, np.intp)


def scores_of(counts: NDArray[Any]) -> NDArray[np.float64]:
    """Return precision, recall and F1 `[..., 3]` of counts `[..., 3]` as `confusion` has them."""
    right, answered, there = (counts[..., column].astype(np.float64) for column in range(3))
    below = (answered, there, (answered + there) / 2)
    return np.stack([np.where(one > 0, right / np.maximum(one, 1e-9), 0.0) for one in below], axis=-1)
