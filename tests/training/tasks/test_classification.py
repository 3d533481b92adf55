"""Labels of whole images, against numbers worked out by hand."""

import numpy as np
import pytest

from training.datasets import Samples
from training.evaluation.evaluate import measure
from training.tasks.baselines import Baseline
from training.tasks.classification import CLASSIFICATION, BalancedAccuracy


def labelled(*counts: int) -> Samples:
    """Return so many blank images of each label."""
    labels = np.repeat(np.arange(len(counts)), counts).astype(np.int32)
    return Samples(np.zeros((len(labels), 8, 8, 3), np.uint8), labels)


def test_measures_of_classes_by_hand() -> None:
    """Accuracy, and per class how many answers are right and how many of its images are found."""
    scores = np.asarray([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]], np.float32)
    samples = Samples(np.zeros((4, 2, 2, 1), np.uint8), np.asarray([0, 1, 1, 0], np.int32))
    result = measure(CLASSIFICATION, [{"scores": scores}], samples, ("cat", "dog"))
    assert result.figures["accuracy"] == 0.75
    assert result.figures["macro_recall"] == 0.75
    assert result.figures["macro_f1"] == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert result.per_class["cat"] == pytest.approx(
        {"precision": 2 / 3, "recall": 1, "f1": 4 / 5, "count": 2}
    )
    assert result.per_class["dog"] == pytest.approx({"precision": 1, "recall": 0.5, "f1": 2 / 3, "count": 2})
    assert result.details["confusion"] == [[2, 0], [1, 1]]


def test_the_mean_of_the_classes_own_accuracies() -> None:
    """Always saying the class of nine images in ten is 0.9 right and 0.5 balanced, and worth less than what
    finds both; a class without images has no say.
    """
    true = np.eye(3, dtype=np.float32)[[0] * 9 + [1]]
    lazy = np.eye(3, dtype=np.float32)[[0] * 10]
    fair = np.eye(3, dtype=np.float32)[[1, 1, 0, 0, 0, 0, 0, 0, 0, 1]]
    metric = BalancedAccuracy(3)
    for answers, value in ((lazy, 0.5), (fair, (7 / 9 + 1) / 2)):
        metric.reset_state()
        metric.update_state(true[:5], answers[:5])
        metric.update_state(true[5:], answers[5:])
        assert float(metric.result()) == pytest.approx(value)


def test_the_commonest_label_of_training_is_said() -> None:
    """Its accuracy is its share of the test images, though another may be commoner there."""
    found = CLASSIFICATION.baselines(labelled(2, 9, 1), labelled(5, 3, 2), ("a", "b", "c"))
    assert found["accuracy"] == Baseline(0.3, "always saying b")
    assert found["macro_recall"].value == pytest.approx(1 / 3)
    assert "top5_accuracy" not in found


def test_the_five_commonest_labels_are_said() -> None:
    """Of many labels, the top five that never change are the commonest five."""
    counts = [1, 1, 1, 1, 1, 1, 9, 9, 9, 9, 9]
    found = CLASSIFICATION.baselines(labelled(*counts), labelled(*[2] * 11), tuple("abcdefghijk"))
    assert found["top5_accuracy"].value == pytest.approx(5 / 11)


def test_five_of_equally_common_labels_are_said() -> None:
    """Where all labels are as common as each other, five of twenty are right a quarter of the time."""
    found = CLASSIFICATION.baselines(labelled(*[3] * 20), labelled(*[1] * 20), tuple("abcdefghijklmnopqrst"))
    assert found["top5_accuracy"].value == pytest.approx(5 / 20)
    assert found["accuracy"] == Baseline(1 / 20, "always saying a")


def test_an_answer_in_words_tells_the_truth_where_it_is_another() -> None:
    """The label and its score; the true label only where the answer is wrong."""
    outputs = {"scores": np.asarray([[0.25, 0.75]], np.float32)}
    assert CLASSIFICATION.words(outputs, labelled(0, 1), ("cat", "dog")) == ["dog 0.75"]
    assert CLASSIFICATION.words(outputs, labelled(1), ("cat", "dog")) == ["dog 0.75", "not cat"]
