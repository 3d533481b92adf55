"""Groups of labels, against numbers worked out by hand."""

import numpy as np
import pytest

from service.tasks.classification import best_group
from training.datasets import Samples
from training.evaluation import remarks
from training.evaluation.evaluate import Told, measure
from training.tasks import grouping
from training.tasks.baselines import Baseline
from training.tasks.classification import CLASSIFICATION
from training.tasks.intervals import wilson

LABELS = ("tabby", "pug", "bengal", "boxer")
GROUPS = ("cat", "dog", "cat", "dog")
ROWS = np.asarray(
    [
        [0.5, 0.25, 0.125, 0.125],  # a tabby, rightly
        [0.25, 0.125, 0.5, 0.125],  # a bengal, but it is a tabby: the group is right
        [0.4375, 0.25, 0.0, 0.3125],  # a tabby by its label, a dog by its group, and it is a boxer
        [0.0, 0.625, 0.375, 0.0],  # a pug, but it is a bengal
    ],
    np.float32,
)
TRUE = np.asarray([0, 0, 3, 2], np.int32)


def test_a_group_is_right_where_its_sum_is_largest() -> None:
    """Three of four groups are right, of labels one; each has its Wilson interval, and figures of its own."""
    samples = Samples(np.zeros((4, 2, 2, 1), np.uint8), TRUE)
    found = measure(CLASSIFICATION, [{"scores": ROWS}], samples, LABELS, told=Told(GROUPS))
    assert (found.figures["accuracy"], found.figures["group_accuracy"]) == (0.25, 0.75)
    assert found.details["intervals"]["group_accuracy"] == wilson(3, 4)
    # Scores of .625, .75, .5625 are right, one of .625 is not: bins of .6 to .667 (a half), .733, .533.
    assert found.figures["group_ece"] == pytest.approx((2 * 0.125 + 0.25 + 0.4375) / 4)
    assert found.details["groups"]["dog"] == pytest.approx(
        {"precision": 0.5, "recall": 1.0, "f1": 2 / 3, "count": 1.0}
    )
    plain = measure(CLASSIFICATION, [{"scores": ROWS}], samples, LABELS)
    assert "groups" not in plain.details
    assert not [name for name in plain.figures if name.startswith("group")]


@pytest.mark.parametrize("row", range(4))
def test_training_and_service_mean_the_same_group(row: int) -> None:
    """What is measured is what is answered."""
    group, score = best_group(ROWS[row].tolist(), GROUPS)
    assert grouping.words(ROWS[row], GROUPS) == f"{group} {score:.2f}"


def test_the_commonest_group_of_training_is_said() -> None:
    """Always saying it is right as often as it is there, whichever of its labels."""
    train, test = np.asarray([0, 1, 1, 3, 2]), np.asarray([0, 2, 3, 3])
    assert grouping.constant_answers(train, test, GROUPS) == {
        "group_accuracy": Baseline(0.5, "always saying dog")
    }


def test_a_group_no_better_than_a_constant_one_is_told() -> None:
    """Labels may be learnt well and their groups say nothing: both are held against their baselines."""
    known = {
        "accuracy": Baseline(0.3, "always saying pug"),
        "group_accuracy": Baseline(0.7, "always saying dog"),
    }
    (said,) = remarks.compare({"accuracy": 0.9, "group_accuracy": 0.7}, known, {}, 100)
    assert said == "group accuracy 0.7000 is no better than always saying dog: that alone gives 0.7000."


def test_a_table_has_true_and_answered_group() -> None:
    """Beside the labels, for each sample."""
    columns = grouping.columns(ROWS, TRUE, GROUPS)
    assert columns["group"] == ["cat", "cat", "dog", "cat"]
    assert columns["group answer"] == ["cat", "cat", "dog", "dog"]
    assert list(columns["group score"]) == [0.625, 0.75, 0.5625, 0.625]


def test_the_labels_of_each_group() -> None:
    """In their order; of labels without groups there is nothing to tell."""
    assert grouping.members(LABELS, GROUPS) == {"cat": ["tabby", "bengal"], "dog": ["pug", "boxer"]}
    assert grouping.members(LABELS, ()) == {}
