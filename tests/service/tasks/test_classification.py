"""A row of scores and its manifest make an answer that a person can read."""

import numpy as np
import pytest

from service.schemas import (
    ClassifyOptions,
)
from service.tasks import classification
from service.tasks.task import Row
from tests.service.manifests import make_manifest

MANIFEST = make_manifest()


def scores(*values: float) -> Row:
    return {"scores": np.asarray(values, np.float32)}


def test_classes_come_best_first() -> None:
    """The labels come sorted by their scores, and the first is the answer."""
    answer = classification.classify(scores(0.2, 0.7, 0.1), MANIFEST, ClassifyOptions())
    assert [(each.label, each.score) for each in answer.top] == [("box", 0.7), ("disc", 0.2), ("star", 0.1)]
    assert (answer.label, answer.score) == ("box", 0.7)


def test_ties_keep_the_order_of_the_labels() -> None:
    """Equal scores keep the manifest's order, so that an answer is the same every time."""
    answer = classification.classify(scores(0.25, 0.5, 0.25), MANIFEST, ClassifyOptions())
    assert [each.label for each in answer.top] == ["box", "disc", "star"]


@pytest.mark.parametrize(("top_k", "count"), [(1, 1), (2, 2), (3, 3), (1000, 3)])
def test_top_k_bounds_the_list(top_k: int, count: int) -> None:
    """No more than top_k classes are named, and no more than there are."""
    answer = classification.classify(scores(0.2, 0.7, 0.1), MANIFEST, ClassifyOptions(top_k=top_k))
    assert len(answer.top) == count


def test_threshold_drops_weak_classes() -> None:
    """Classes below the asked threshold are left out, one at it stays."""
    answer = classification.classify(scores(0.25, 0.5, 0.125), MANIFEST, ClassifyOptions(threshold=0.25))
    assert [each.label for each in answer.top] == ["box", "disc"]


def test_no_class_reaches_the_threshold() -> None:
    """Where no class reaches the threshold, the label is null and the best score is still told."""
    answer = classification.classify(scores(0.2, 0.7, 0.1), MANIFEST, ClassifyOptions(threshold=0.9))
    assert (answer.label, answer.score, answer.top) == (None, 0.7, ())


def test_scores_stay_probabilities() -> None:
    """Rounding in an engine never makes a score greater than 1 or less than 0."""
    answer = classification.classify(scores(-1e-6, 1.0000005, 0.0), MANIFEST, ClassifyOptions())
    assert {each.score for each in answer.top} == {0.0, 1.0}


def test_an_answer_in_a_table_and_in_words() -> None:
    """Label and score; of an unsure answer the cell is empty."""
    task = classification.CLASSIFICATION
    answer = classification.classify(scores(0.2, 0.7, 0.1), MANIFEST, ClassifyOptions())
    unsure = classification.classify(scores(0.2, 0.7, 0.1), MANIFEST, ClassifyOptions(threshold=0.9))
    assert task.columns(MANIFEST) == ("label", "score")
    assert (task.cells(answer), task.words(answer)) == (("box", 0.7), "box 0.7000")
    assert (task.cells(unsure), task.words(unsure)) == ((None, 0.7), "unsure 0.7000")
