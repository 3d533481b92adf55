"""Losses and metrics against numbers worked out by hand."""

from pathlib import Path

import numpy as np
import pytest

from tests import worlds
from training.datasets import Samples
from training.evaluation.evaluate import evaluate, measure
from training.fit import loop
from training.fit.runs import read_history
from training.reports import page
from training.tasks import heads, losses
from training.tasks.measures import box_overlaps, class_map

BOX = np.asarray([[0.0, 0.0, 0.5, 0.5]], np.float32)


@pytest.mark.parametrize(
    ("other", "iou"),
    [
        ([0.0, 0.0, 0.5, 0.5], 1.0),
        ([0.25, 0.0, 0.75, 0.5], 1 / 3),
        ([0.5, 0.5, 1.0, 1.0], 0.0),
        ([0.0, 0.0, 1.0, 1.0], 0.25),
        ([0.3, 0.3, 0.3, 0.3], 0.0),
    ],
)
def test_box_iou(other: list[float], iou: float) -> None:
    """Intersection over union is right in training and in evaluation."""
    found = np.asarray([other], np.float32)
    assert float(losses.box_iou(BOX, found)[0]) == pytest.approx(iou, abs=1e-5)
    assert box_overlaps(BOX, found)[0] == pytest.approx(iou, abs=1e-5)


def test_measures_of_a_mask_by_hand() -> None:
    """Dice and mean IoU over all pixels: 3 hits, 1 false alarm, 1 miss, 4 right rejections."""
    true = np.asarray([[[1, 1, 1], [1, 0, 0], [0, 0, 0]]], np.uint8)
    found = np.asarray([[[1, 1, 1], [0, 1, 0], [0, 0, 0]]], np.float32)[..., None]
    samples = Samples(np.zeros((1, 3, 3, 1), np.uint8), masks=true)
    result = measure([{"mask": found}], samples, ("background", "nucleus"))
    assert result.headline == "dice"
    assert result.figures["dice"] == pytest.approx(6 / 8)
    assert result.figures["mean_iou"] == pytest.approx((3 / 5 + 4 / 6) / 2)


def test_measures_of_classes_by_hand() -> None:
    """Accuracy, and per class how many answers are right and how many of its images are found."""
    scores = np.asarray([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]], np.float32)
    samples = Samples(np.zeros((4, 2, 2, 1), np.uint8), np.asarray([0, 1, 1, 0], np.int32))
    result = measure([{"scores": scores}], samples, ("cat", "dog"))
    assert result.figures["accuracy"] == 0.75
    assert result.figures["macro_recall"] == 0.75
    assert result.figures["macro_f1"] == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert result.per_class["cat"] == pytest.approx(
        {"precision": 2 / 3, "recall": 1, "f1": 4 / 5, "count": 2}
    )
    assert result.per_class["dog"] == pytest.approx({"precision": 1, "recall": 0.5, "f1": 2 / 3, "count": 2})
    assert result.details["confusion"] == [[2, 0], [1, 1]]


def test_class_map_of_three_classes_is_the_most_probable() -> None:
    """Of several channels the largest wins."""
    probabilities = np.asarray([[[[0.2, 0.5, 0.3], [0.6, 0.1, 0.3]]]], np.float32)
    assert class_map(probabilities).tolist() == [[[1, 0]]]


def test_balanced_classes_choose_the_epoch_by_the_mean_of_theirs() -> None:
    """Always saying the class of nine images in ten is 0.9 right and 0.5 balanced, and worth less than what
    finds both; a class without images has no say. Where nothing is balanced the accuracy chooses.
    """
    true = np.eye(3, dtype=np.float32)[[0] * 9 + [1]]
    lazy = np.eye(3, dtype=np.float32)[[0] * 10]
    fair = np.eye(3, dtype=np.float32)[[1, 1, 0, 0, 0, 0, 0, 0, 0, 1]]
    metric = heads.BalancedAccuracy(3)
    for answers, value in ((lazy, 0.5), (fair, (7 / 9 + 1) / 2)):
        metric.reset_state()
        metric.update_state(true[:5], answers[:5])
        metric.update_state(true[5:], answers[5:])
        assert float(metric.result()) == pytest.approx(value)
    training = {"epochs": 1, "batch_size": 4, "learning_rate": 0.001}
    plain = worlds.tiny_recipe("classification", training=training)
    balanced = worlds.tiny_recipe("classification", training=training | {"balance": True})
    assert heads.monitor(plain) == "val_accuracy"
    assert heads.monitor(balanced) == "val_balanced_accuracy"
    assert heads.monitor(balanced, [{"val_accuracy": 0.5}]) == "val_accuracy"


def test_a_balanced_run_keeps_its_fairest_epoch(data_dir: Path, tmp_path: Path) -> None:
    """The figure is in its history, and its report marks the epoch by it."""
    training = {"epochs": 2, "batch_size": 4, "learning_rate": 0.001, "balance": True}
    run = loop.train(worlds.tiny_recipe("classification", training=training), tmp_path / "run", data_dir)
    rows = read_history(run.folder / "history.csv")
    result = evaluate(run, data_dir, "validation")
    best = max(row["val_balanced_accuracy"] for row in rows)
    assert result.figures["macro_recall"] == pytest.approx(best)
    evaluate(run, data_dir)
    page.write(run, data_dir)
    assert "best validation balanced accuracy" in (run.folder / "report.html").read_text("utf-8")
