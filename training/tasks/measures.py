"""Answers against the truth, as arrays: shares, overlaps, confusion matrices, and how sure they are."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.tasks.objects import separate
from training.datasets import Samples
from training.tasks import instances
from training.tasks.intervals import Interval, bootstrap, bootstrap_table, wilson

Figures = dict[str, float]
"""By their names."""

Parts = tuple[Figures, dict[str, Interval], dict[str, Figures], NDArray[np.int64]]
"""Figures, their 95 % intervals, figures per class, and the confusion matrix (rows are the truth)."""


def measure_scores(rows: NDArray[np.float64], true: NDArray[Any], labels: tuple[str, ...]) -> Parts:
    """Measure probabilities `[N, K]` against true labels `[N]`; of over ten classes also the top five."""
    count = len(labels)
    confusion = np.bincount(true * count + rows.argmax(axis=1), minlength=count * count)
    confusion = confusion.reshape(count, count)
    hits = int(np.trace(confusion))
    figures, intervals = {"accuracy": hits / len(true)}, {"accuracy": wilson(hits, len(true))}
    if count > 10:
        better = (rows > rows[np.arange(len(rows)), true][:, None]).sum(axis=1)
        figures["top5_accuracy"] = float((better < 5).mean())
        intervals["top5_accuracy"] = wilson(int((better < 5).sum()), len(true))
    present = confusion.sum(axis=1) > 0  # of a class without images there is nothing to say
    precision, recall, f1 = _precision_recall_f1(confusion[None])
    for name, values in (("precision", precision), ("recall", recall), ("f1", f1)):
        figures[f"macro_{name}"] = float(values[:, present].mean())
    macro_f1 = bootstrap_table(
        confusion, lambda tables: _mean_of(_precision_recall_f1(tables)[2], tables.sum(axis=2))
    )
    _add(intervals, macro_f1=macro_f1)
    per_class = {
        label: {
            "precision": float(precision[0, index]),
            "recall": float(recall[0, index]),
            "f1": float(f1[0, index]),
            "count": float(confusion[index].sum()),
        }
        for index, label in enumerate(labels)
        if present[index] or confusion[:, index].any()
    }
    return figures, intervals, per_class, confusion


def _add(intervals: dict[str, Interval], **found: Interval | None) -> None:
    intervals |= {name: interval for name, interval in found.items() if interval is not None}


def _precision_recall_f1(tables: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Per class from confusion matrices `[R, K, K]`: three arrays `[R, K]`; 0 where nothing was answered."""
    hits = np.diagonal(tables, axis1=1, axis2=2)
    answered, there = tables.sum(axis=1), tables.sum(axis=2)

    def share(above: NDArray[Any], below: NDArray[Any]) -> NDArray[Any]:
        result: NDArray[np.float64] = np.divide(above, below, out=np.zeros(hits.shape), where=below > 0)
        return result

    return share(hits, answered), share(hits, there), share(2 * hits, answered + there)


def measure_boxes(overlaps: NDArray[np.float64], intervals: dict[str, Interval]) -> Figures:
    """Return the boxes' figures, and add their intervals."""
    _add(intervals, mean_iou=bootstrap(overlaps, lambda means: means))
    figures = {"mean_iou": float(overlaps.mean())}
    for name, limit in (("iou_over_half", 0.5), ("iou_over_three_quarters", 0.75)):
        hits = int((overlaps > limit).sum())
        figures[name], intervals[name] = hits / len(overlaps), wilson(hits, len(overlaps))
    return figures


LEAST_SIDE = 1e-3
"""A side that is shorter, as a part of its image, counts as this: of nothing there is no logarithm."""


def measure_bias(
    found: NDArray[np.float32], true: NDArray[np.float32], intervals: dict[str, Interval]
) -> Figures:
    """Return what boxes `[N, 4]` are wrong by in the mean, and add the intervals.

    Of the size, the mean of log(found / true): 0.1 is 10 % too wide or too high. Of the centre, the mean
    distance to the right and down, as a part of the true box's sides. Overlaps hide both: a box may be too
    large always and still overlap well.
    """
    sides, centres = zip(*(_sides_and_centres(boxes) for boxes in (found, true)), strict=True)
    logs = np.log(sides[0] / sides[1])
    shifts = (centres[0] - centres[1]) / sides[1]
    figures: Figures = {}
    names = ("log_width_bias", "log_height_bias", "centre_x_bias", "centre_y_bias")
    for name, values in zip(names, np.hstack([logs, shifts]).T, strict=True):
        figures[name] = float(values.mean())
        _add(intervals, **{name: bootstrap(values, lambda means: means)})
    return figures


def _sides_and_centres(boxes: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    low, high = boxes[:, :2].astype(np.float64), boxes[:, 2:].astype(np.float64)
    return np.maximum(high - low, LEAST_SIDE), (low + high) / 2


def spread(overlaps: NDArray[np.float64]) -> dict[str, Any]:
    """Return a histogram of 20 bins over 0..1, and quantiles, as plain data."""
    return {
        "counts": np.histogram(overlaps, bins=20, range=(0, 1))[0].tolist(),
        "quantiles": {str(q): float(np.quantile(overlaps, q)) for q in (0.05, 0.25, 0.5, 0.75, 0.95)},
    }


def class_map(probabilities: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Turn mask outputs `[N, H, W, K]` into class indices `[N, H, W]` (threshold 0.5 where K is 1)."""
    if probabilities.shape[-1] == 1:
        return np.asarray(probabilities[..., 0] >= 0.5, np.uint8)
    return np.asarray(probabilities.argmax(axis=-1), np.uint8)


def box_overlaps(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float64]:
    """Intersection over union of boxes `[N, 4]`, row by row."""

    def area(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
        product: NDArray[np.float64] = np.maximum(boxes[:, 2:] - boxes[:, :2], 0).prod(axis=1)
        return product

    a, b = first.astype(np.float64), second.astype(np.float64)
    shared = area(np.hstack([np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, 2:], b[:, 2:])]))
    union = area(a) + area(b) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def in_sight(boxes: NDArray[np.float32], samples: Samples) -> NDArray[np.float32]:
    """Cut boxes `[N, ..., 4]` at the edges of their images, as they are served: beyond is only padding."""
    if samples.contents is None:
        return boxes
    height, width = samples.images.shape[1:3]
    edges = samples.contents / np.asarray([width, height, width, height])
    low, high = (np.tile(side, 2).astype(np.float32) for side in (edges[:, :2], edges[:, 2:]))
    between = (len(boxes), *(1,) * (boxes.ndim - 2), 4)
    return np.asarray(np.clip(boxes, low.reshape(between), high.reshape(between)))


def within(contents: NDArray[np.int32] | None, row: int) -> tuple[slice, slice]:
    """Return the index of an image's own pixels in its frame `[H, W]`: see `Samples.contents`."""
    if contents is None:
        return slice(None), slice(None)
    x_min, y_min, x_max, y_max = contents[row].tolist()
    return slice(y_min, y_max), slice(x_min, x_max)


def separated(
    mask: NDArray[Any], inside: tuple[slice, slice], border: NDArray[np.float32] | None = None
) -> NDArray[np.int32]:
    """Number the objects of a mask `[H, W]` as the service does, which sees nothing of the padding."""
    ids = np.zeros(mask.shape, np.int32)
    ids[inside] = separate(mask[inside], None if border is None else border[inside])
    return ids


def confusions(
    found: NDArray[np.uint8],
    true: NDArray[np.uint8],
    count: int,
    contents: NDArray[np.int32] | None = None,
) -> NDArray[np.int64]:
    """Count pixels by true and found class, image by image: `[N, count, count]`.

    Padding, where `contents` says that there is some, is nowhere in an answer, and does not count.
    """
    tables = np.zeros((len(true), count * count), np.int64)
    for row, (one, other) in enumerate(zip(true, found, strict=True)):
        inside = within(contents, row)
        cells = one[inside].astype(np.int64) * count + other[inside]
        tables[row] = np.bincount(cells.ravel(), minlength=count * count)
    return tables.reshape(-1, count, count)


def overlap_of(tables: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return IoU and Dice per class `[..., K]` from confusion matrices `[..., K, K]`."""
    hits = np.diagonal(tables, axis1=-2, axis2=-1).astype(np.float64)
    both = tables.sum(axis=-1) + tables.sum(axis=-2)
    least = 1e-9  # a class that is nowhere has no hits either: 0, see mean_overlap
    return hits / np.maximum(both - hits, least), 2 * hits / np.maximum(both, least)


def mean_overlap(tables: NDArray[Any]) -> NDArray[np.float64]:
    """Return the mean IoU `[...]` over the classes that are in the truth or in the answers."""
    return _mean_of(overlap_of(tables)[0], tables.sum(axis=-1) + tables.sum(axis=-2))


def _mean_of(values: NDArray[Any], counts: NDArray[Any]) -> NDArray[np.float64]:
    """Return the mean of `[..., K]` over the classes that there are any of; 0 where there are none."""
    there = counts > 0
    mean: NDArray[np.float64] = (values * there).sum(axis=-1) / np.maximum(there.sum(axis=-1), 1)
    return mean


def measure_masks(
    found: NDArray[np.uint8],
    samples: Samples,
    labels: tuple[str, ...],
    objects: NDArray[np.int32] | None = None,
) -> Parts:
    """Measure class maps `[N, H, W]` over all pixels, and object by object where the truth has them.

    `objects` `[N, H, W]` are the answered ones, numbered; where not given, they are separated here.
    """
    assert samples.masks is not None
    tables = confusions(found, samples.masks, len(labels), samples.contents)
    confusion: NDArray[np.int64] = tables.sum(axis=0)
    iou, dice = overlap_of(confusion)
    seen = confusion.sum(axis=0) + confusion.sum(axis=1) > 0  # of the others there is nothing to say
    per_class = {
        label: {"iou": float(iou[index]), "dice": float(dice[index])}
        for index, label in enumerate(labels)
        if seen[index]
    }
    figures = {
        "mean_iou": float(mean_overlap(confusion)),
        "pixel_accuracy": float(np.trace(confusion) / confusion.sum()),
    }
    intervals: dict[str, Interval] = {}
    right = bootstrap(tables, lambda means: np.trace(means, axis1=1, axis2=2) / means.sum(axis=(1, 2)))
    _add(intervals, mean_iou=bootstrap(tables, mean_overlap), pixel_accuracy=right)
    if len(labels) == 2:
        figures = {"dice": float(dice[1]), "iou": float(iou[1]), **figures}
        _add(intervals, dice=bootstrap(tables, lambda means: overlap_of(means)[1][:, 1]))
        _add(intervals, iou=bootstrap(tables, lambda means: overlap_of(means)[0][:, 1]))
        if samples.instances is not None:
            if objects is None:
                objects = np.stack(
                    [separated(mask, within(samples.contents, row)) for row, mask in enumerate(found)]
                )
            _measure_objects(objects, samples.instances, figures, intervals)
    return figures, intervals, per_class, confusion


def _measure_objects(
    found: NDArray[np.int32],
    true: NDArray[np.uint16],
    figures: Figures,
    intervals: dict[str, Interval],
) -> None:
    """Add F1 per object: at IoU 0.5, and the mean over 0.5, 0.55, ... 0.95."""
    rows = np.stack([instances.tally(one, ids).as_row() for one, ids in zip(found, true, strict=True)])
    scores = instances.f1(rows.sum(axis=0).astype(np.float64))
    figures |= {"object_f1": float(scores[0]), "object_f1_mean": float(scores.mean())}
    _add(intervals, object_f1=bootstrap(rows, lambda means: instances.f1(means)[:, 0]))
    _add(intervals, object_f1_mean=bootstrap(rows, lambda means: instances.f1(means).mean(axis=1)))


def mask_quality(found: NDArray[np.uint8], samples: Samples) -> NDArray[np.float64]:
    """Return how good each class map is, `[N]` in 0..1: its mean Dice over the classes but the background."""
    assert samples.masks is not None
    count = max(int(samples.masks.max()), int(found.max()), 1) + 1
    tables = confusions(found, samples.masks, count, samples.contents)
    there = (tables.sum(axis=1) + tables.sum(axis=2))[:, 1:] > 0  # the background is easy
    dice = (overlap_of(tables)[1][:, 1:] * there).sum(axis=1)
    return np.where(there.any(axis=1), dice / np.maximum(there.sum(axis=1), 1), 1.0)
