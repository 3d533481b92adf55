"""Found objects against true ones, by numbers worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training.maps import LABELS, answered, perfect
from training.datasets.dataset import IGNORED, NOTHING, Samples
from training.evaluation.calibration import soften
from training.tasks import found
from training.tasks.detection import DETECTION
from training.tasks.found import Answers
from training.tasks.precision import AveragePrecision

A, B, C = (0.1, 0.1, 0.3, 0.3), (0.5, 0.1, 0.7, 0.3), (0.1, 0.6, 0.3, 0.8)


def truth(*images: list[tuple[tuple[float, ...], int]]) -> NDArray[np.float32]:
    objects = np.zeros((len(images), 4, 5), np.float32)
    objects[..., 4] = NOTHING
    for row, some in enumerate(images):
        for place, (box, label) in enumerate(some):
            objects[row, place] = (*box, label)
    return objects


def answers(*images: list[tuple[float, int, tuple[float, ...]]]) -> Answers:
    boxes, scores, labels = (np.zeros((len(images), 4, *more)) for more in ((4,), (), ()))
    for row, some in enumerate(images):
        for place, (score, label, box) in enumerate(some):
            boxes[row, place], scores[row, place], labels[row, place] = box, score, label
    return Answers(boxes.astype(np.float32), scores, labels.astype(np.intp))


def test_average_precision_by_hand() -> None:
    """Of two objects one is found, then something invented, then the other: precision 1 to a recall of .5,
    and 2/3 beyond. COCO's 101 recalls: 51 of the first, 50 of the second.
    """
    right = truth([(A, 0), (B, 0)])
    given = answers([(0.9, 0, A), (0.8, 0, C), (0.7, 0, B)])
    precision = found.average_precision(given, right, 1)
    assert precision.mean(overlap=0) == pytest.approx((51 + 50 * 2 / 3) / 101, abs=1e-3)
    assert precision.mean(overlap=0, size=1) is None
    assert precision.mean(overlap=0, size=3) == pytest.approx((51 + 50 * 2 / 3) / 101, abs=1e-3)
    assert len(precision.curve(0)) == 101


def test_what_does_not_count_neither_helps_nor_harms() -> None:
    """Objects found within a crowd are no inventions, and the crowd is not missed."""
    given = answers([(0.9, 0, A), (0.8, 0, C)])
    with_crowd = truth([(A, 0), ((0.0, 0.5, 0.5, 1.0), IGNORED)])
    assert found.average_precision(given, with_crowd, 2).mean(overlap=0) == pytest.approx(1)
    right, counted = found.judged(given, with_crowd)
    assert right[0, :2].tolist() == [1, 0]
    assert counted[0, :2].tolist() == [True, False]
    table, counts = found.confusion(given, with_crowd, 2, 0.5)
    assert table.sum() == table[0, 0] == 1
    assert counts.tolist() == [[1, 1, 1]]


def test_the_threshold_is_that_of_the_best_f1() -> None:
    """With three of four right the F1 is best before the last right one costs two that are wrong."""
    scores = np.asarray([0.9, 0.8, 0.7, 0.4, 0.3, 0.2])
    right = np.asarray([1, 1, 1, 0, 0, 1])
    assert found.best_threshold(scores, right, 4) == pytest.approx((0.7 + 0.4) / 2)
    assert found.best_threshold(scores, np.zeros(6), 4) == 0.5


def test_what_the_temperature_makes_improbable_says_nothing_of_scores() -> None:
    """How far scores can be believed is told of those that are served: sharpened, .2 is hardly answered."""
    given = answers([(0.9, 0, A), (0.2, 0, C), (0.01, 0, B)])
    outputs = {
        "boxes": given.boxes,
        "scores": given.scores.astype(np.float32),
        "labels": given.labels.astype(np.float32),
    }
    pictures = np.zeros((1, 8, 8, 3), np.uint8)
    some = DETECTION.collect([outputs], Samples(pictures, objects=truth([(A, 0)])))
    assert some.judged[0][:, 1] == pytest.approx([0.9, 0.2])
    sharper = replace(some, rows=soften(some.rows, 0.25))
    assert sharper.judged[0][:, 1] == pytest.approx([0.99985], abs=1e-4)
    assert sharper.judged[1].tolist() == [1]


def test_found_missed_and_invented() -> None:
    """A takes the wrong label, B is missed, C is invented, and in the second image nothing is anything."""
    table, counts = found.confusion(
        answers([(0.9, 1, A), (0.8, 0, C), (0.1, 0, B)], []), truth([(A, 0), (B, 0)], []), 2, 0.5
    )
    assert table.tolist() == [[0, 1, 1], [0, 0, 0], [1, 0, 0]]
    assert counts.tolist() == [[0, 2, 2], [0, 0, 0]]


def test_the_metric_of_training_is_near_pycocotools() -> None:
    """Of noisy maps, the figure that chooses the checkpoint is pycocotools' within .01."""
    chance = np.random.default_rng(1)
    objects = np.zeros((12, 6, 5), np.float32)
    low = chance.uniform(0, 0.7, (12, 6, 2))
    objects[..., :4] = np.concatenate([low, low + chance.uniform(0.1, 0.3, (12, 6, 2))], axis=2)
    objects[..., 4] = chance.integers(0, LABELS, (12, 6))
    maps = perfect(objects, (32, 32))
    maps[..., :LABELS] *= chance.uniform(0.2, 1, (12, 32, 32, 1))
    maps[..., :LABELS] += 0.6 * chance.uniform(0, 1, maps[..., :LABELS].shape) ** 12
    maps[..., LABELS:] += chance.normal(0, 0.15, maps[..., LABELS:].shape)
    metric = AveragePrecision(LABELS)
    for some in (slice(0, 5), slice(5, 12)):
        metric.update_state(objects[some], maps[some])
    given = answered(maps, 100)
    exact = found.average_precision(
        Answers(given["boxes"], given["scores"].astype(float), given["labels"].astype(np.intp)),
        objects,
        LABELS,
    ).mean(overlap=0)
    assert exact is not None
    assert 0.2 < exact < 0.95
    assert float(metric.result()) == pytest.approx(exact, abs=0.015)
