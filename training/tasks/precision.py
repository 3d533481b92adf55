"""Average precision while training: near enough to that of `pycocotools` to choose a checkpoint by."""

from typing import Any

import keras
import numpy as np
from keras import ops

from training.datasets.dataset import IGNORED
from training.zoo.centres import SIDES, objects_of

MOST = 100
"""Of each image so many objects count, as COCO has it."""
BINS = 250
"""Scores are sorted into so many bins, as all objects of all images are too many to keep."""
OVERLAP = 0.5


class AveragePrecision(keras.metrics.Metric):  # type: ignore[misc]  # Keras ships no types
    """The mean over labels of the area below precision by recall, at an overlap of .5, as COCO has it.

    An object goes to the true one of its label that it overlaps most, if no surer one has it: COCO's would
    take the next best then, which is rarely there.
    """

    def __init__(self, label_count: int, name: str = "map_50") -> None:
        super().__init__(name=name, dtype="float32")
        self._hits, self._found = (
            self.add_variable((label_count, BINS), initializer="zeros", name=part)
            for part in ("hits", "found")
        )
        self._there = self.add_variable((label_count,), initializer="zeros", name="there")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count the objects `[N, M, 5]` of maps `[N, h, w, K + 4]`."""
        count = self._there.shape[0]
        answer = objects_of(ops.cast(y_pred, "float32"), MOST)
        truth = ops.cast(y_true, "float32")
        hit, counted = _judged(answer, truth[..., :SIDES], truth[..., SIDES])
        bins = ops.clip(ops.cast(answer["scores"] * BINS, "int32"), 0, BINS - 1)
        cells = ops.reshape(ops.cast(answer["labels"], "int32") * BINS + bins, (-1,))
        for variable, values in ((self._hits, hit), (self._found, counted)):
            sums = ops.segment_sum(ops.reshape(values, (-1,)), cells, num_segments=count * BINS)
            variable.assign_add(ops.reshape(sums, (count, BINS)))
        there = truth[..., SIDES, None] == np.arange(count, dtype=np.float32)
        self._there.assign_add(ops.sum(ops.cast(there, "float32"), axis=(0, 1)))

    def result(self) -> Any:
        """Return the mean over the labels that have been there."""
        hits, found = (ops.cumsum(ops.flip(one, axis=1), axis=1) for one in (self._hits, self._found))
        precision = hits / ops.maximum(found, 1.0)
        later = np.triu(np.ones((BINS, BINS), np.float32))
        # At a recall, the best precision at that recall or a higher one.
        best = ops.max(later * precision[:, None, :], axis=2)
        gained = hits - ops.concatenate([ops.zeros_like(hits[:, :1]), hits[:, :-1]], axis=1)
        area = ops.sum(best * gained, axis=1) / ops.maximum(self._there, 1.0)
        known = ops.cast(self._there > 0, "float32")
        return ops.sum(area * known) / ops.maximum(ops.sum(known), 1.0)


def _judged(answer: dict[str, Any], boxes: Any, labels: Any) -> tuple[Any, Any]:
    """Return which answers `[N, K]` are right, and which count, as 0 and 1."""
    shared, own = _shared(answer["boxes"], boxes)
    areas = _areas(boxes)[:, None, :]
    overlap = shared / ops.maximum(own + areas - shared, 1e-9)
    overlap = overlap * ops.cast(answer["labels"][..., None] == labels[:, None], "float32")
    best = ops.argmax(overlap, axis=2)
    claimed = ops.cast(best[..., None] == np.arange(boxes.shape[1], dtype=np.int32)[None, None], "float32")
    claimed = claimed * ops.cast(overlap >= OVERLAP, "float32")
    first = claimed * ops.cast(ops.cumsum(claimed, axis=1) < 1.5, "float32")
    hit = ops.sum(first, axis=2)
    ignored = ops.cast(labels[:, None] == IGNORED, "float32") * shared / ops.maximum(own, 1e-9)
    passed = ops.cast(ops.max(ignored, axis=2) >= OVERLAP, "float32") * (1 - hit)
    return hit, ops.cast(answer["scores"] > 0, "float32") * (1 - passed)


def _shared(first: Any, second: Any) -> tuple[Any, Any]:
    """Return the areas that boxes `[N, K, 4]` and `[N, M, 4]` share, `[N, K, M]`, and those of the first."""
    a, b = first[:, :, None], second[:, None]
    sides = ops.maximum(ops.minimum(a[..., 2:], b[..., 2:]) - ops.maximum(a[..., :2], b[..., :2]), 0.0)
    return sides[..., 0] * sides[..., 1], _areas(first)[..., None]


def _areas(boxes: Any) -> Any:
    sides = ops.maximum(boxes[..., 2:] - boxes[..., :2], 0.0)
    return sides[..., 0] * sides[..., 1]
