"""A label and a box, against numbers worked out by hand."""

import numpy as np
import pytest

from training.datasets import Samples
from training.evaluation.evaluate import measure
from training.tasks.baselines import Baseline
from training.tasks.localization import LOCALIZATION
from training.tasks.pictures import ANSWER, TRUTH


def samples(count: int, **known: object) -> Samples:
    """Return blank images with what is known of them."""
    return Samples(np.zeros((count, 8, 8, 3), np.uint8), **known)  # type: ignore[arg-type]


def test_boxes_that_are_all_alike_are_found() -> None:
    """Where every training box is the same, it is the constant one, scored on the test boxes."""
    train = samples(
        30,
        labels=np.zeros(30, np.int32),
        boxes=np.tile(np.asarray([0.2, 0.2, 0.6, 0.6], np.float32), (30, 1)),
    )
    test = samples(
        2,
        labels=np.asarray([0, 1], np.int32),
        boxes=np.asarray([[0.2, 0.2, 0.6, 0.6], [0.2, 0.2, 0.4, 0.6]], np.float32),
    )
    found = LOCALIZATION.baselines(train, test, ("cat", "dog"))
    assert found["mean_iou"].value == pytest.approx(0.75, abs=1e-4)
    assert found["mean_iou"].answer == "always answering the same box, 0.200 0.200 0.600 0.600"
    assert found["accuracy"] == Baseline(0.5, "always saying cat")


def test_a_box_is_measured_whatever_its_label() -> None:
    """The headline is the overlap; where all have one label, nothing is told of labels."""
    test = samples(
        2, labels=np.zeros(2, np.int32), boxes=np.asarray([[0, 0, 0.5, 0.5], [0, 0, 1, 1]], np.float32)
    )
    boxes = np.asarray([[0, 0, 0.5, 0.5], [0, 0, 0.5, 1]], np.float32)
    one = measure(LOCALIZATION, [{"scores": np.ones((2, 1), np.float32), "box": boxes}], test, ("cat",))
    assert one.headline == "mean_iou"
    assert one.figures["mean_iou"] == 0.75
    assert "accuracy" not in one.figures
    assert one.details.keys() == {"overlaps", "intervals", "ranking"}
    assert one.details["ranking"]["worst"] == [1, 0]
    scores = np.asarray([[0.75, 0.25], [0.25, 0.75]], np.float32)
    two = measure(LOCALIZATION, [{"scores": scores, "box": boxes}], test, ("cat", "dog"))
    assert two.headline == "mean_iou"
    assert two.figures["accuracy"] == 0.5
    assert two.details["confusion"] == [[1, 1], [0, 0]]


def test_the_true_box_is_drawn_beside_the_answer_where_it_is_given() -> None:
    """Green is true, orange is answered, which is drawn last."""
    image = np.zeros((20, 20, 3), np.uint8)
    outputs = {"box": np.asarray([[0.5, 0.5, 0.9, 0.9]], np.float32)}
    truth = samples(1, boxes=np.asarray([[0.0, 0.0, 0.4, 0.4]], np.float32))
    both = LOCALIZATION.draw(image, outputs, truth)
    assert tuple(both[0, 4]) == TRUTH
    assert tuple(both[10, 14]) == ANSWER
    assert not LOCALIZATION.draw(image, outputs, None)[0, 4].any()
