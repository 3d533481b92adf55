"""A row of scores and its manifest make an answer that a person can read."""

from dataclasses import asdict

import numpy as np
import orjson
import pytest
from pydantic import TypeAdapter, ValidationError

from service.options import ClassifyOptions
from service.responses import ClassifyResponse
from service.schemas import Classification, GroupedClassification, MultilabelClassification, written
from service.tasks import classification
from service.tasks.task import Row
from tests.service.manifests import make_manifest

MANIFEST = make_manifest()
GROUPED = make_manifest(labels=("tabby", "pug", "bengal", "boxer"), groups=("cat", "dog", "cat", "dog"))


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
    assert (task.rows(answer), task.words(answer)) == ([("box", 0.7)], "box 0.7000")
    assert (task.rows(unsure), task.words(unsure)) == ([(None, 0.7)], "unsure 0.7000")


def grouped(*values: float, **options: float) -> GroupedClassification:
    answer = classification.classify(scores(*values), GROUPED, ClassifyOptions.model_validate(options))
    assert isinstance(answer, GroupedClassification)
    return answer


def test_a_groups_score_is_the_sum_of_its_labels() -> None:
    """The best label and the best group are told, each with its score, whatever top_k leaves out."""
    answer = grouped(0.125, 0.25, 0.5, 0.125, top_k=1)
    assert (answer.label, answer.score) == ("bengal", 0.5)
    assert (answer.group, answer.group_score) == ("cat", 0.625)
    assert [each.label for each in answer.top] == ["bengal"]


def test_a_group_may_be_certain_where_no_label_is() -> None:
    """Each is held against the threshold by its own score: the label is null, and its group is told."""
    answer = grouped(0.0625, 0.5, 0.0, 0.4375, threshold=0.75)
    assert (answer.label, answer.score, answer.top) == (None, 0.5, ())
    assert (answer.group, answer.group_score) == ("dog", 0.9375)
    unsure = grouped(0.25, 0.25, 0.25, 0.25, threshold=0.75)
    assert (unsure.group, unsure.group_score) == (None, 0.5)


def test_the_best_label_may_be_of_another_group() -> None:
    """The group is the most probable one, not that of the most probable label."""
    answer = grouped(0.4375, 0.25, 0.0, 0.3125)
    assert (answer.label, answer.group, answer.group_score) == ("tabby", "dog", 0.5625)


def test_equal_groups_keep_the_order_of_the_manifest() -> None:
    """Of groups with the same score the first is told, every time."""
    assert grouped(0.25, 0.25, 0.25, 0.25).group == "cat"


def test_the_sum_of_many_scores_stays_a_probability() -> None:
    """Rounding in an engine never makes a group's score greater than 1."""
    assert grouped(0.5, 0.0, 0.5000009, 0.0).group_score == 1


def test_answers_without_groups_are_as_they_were() -> None:
    """Not a byte is added to the answer of a model whose labels have none."""
    answer = classification.classify(scores(0.25, 0.5, 0.25), MANIFEST, ClassifyOptions(top_k=1))
    assert isinstance(answer, Classification)
    assert orjson.dumps(written(answer)) == b'{"label":"box","score":0.5,"top":[{"label":"box","score":0.5}]}'


def test_both_kinds_of_answer_are_documented() -> None:
    """What is written out fits the response's schema, whose group is never without its score."""
    told = TypeAdapter(ClassifyResponse)
    model = {"name": "pets", "version": 1}
    plain = classification.classify(scores(0.25, 0.5, 0.25), MANIFEST, ClassifyOptions())
    for answer in (plain, grouped(0.125, 0.25, 0.5, 0.125)):
        written = orjson.dumps({"model": model, "results": [answer]})
        (found,) = told.validate_json(written).results
        assert found == answer
        assert type(found) is type(answer)
    broken = orjson.loads(orjson.dumps(grouped(0.125, 0.25, 0.5, 0.125)))
    del broken["group_score"]
    with pytest.raises(ValidationError, match="group_score"):
        told.validate_python({"model": model, "results": [broken]})


def test_groups_in_a_table_and_in_words() -> None:
    """The group stands beside the label; of an unsure one the cell is empty."""
    task = classification.CLASSIFICATION
    assert task.columns(GROUPED) == ("label", "score", "group", "group_score")
    sure, unsure = (grouped(0.125, 0.25, 0.5, 0.125, threshold=least) for least in (0.25, 0.75))
    assert task.rows(sure) == [("bengal", 0.5, "cat", 0.625)]
    assert task.words(sure) == "bengal 0.5000, cat 0.6250"
    assert task.rows(unsure) == [(None, 0.5, None, 0.625)]
    assert task.words(unsure) == "unsure 0.5000, unsure 0.6250"


def test_labels_that_do_not_exclude_each_other_are_all_answered() -> None:
    """Each from its own threshold on, or all from one that is asked for; `top_k` cuts `top` alone."""
    manifest = make_manifest(label_thresholds=(0.4, 0.7, 0.5))
    row = scores(0.45, 0.9, 0.49)
    found = classification.classify(row, manifest, ClassifyOptions())
    assert isinstance(found, MultilabelClassification)
    assert [(each.label, each.score) for each in found.labels] == [("box", 0.9), ("disc", 0.45)]
    assert (found.label, found.score, found.top) == ("box", 0.9, found.labels)
    ClassifyResponse.model_validate({"model": {"name": "a", "version": 1}, "results": [asdict(found)]})
    one = classification.classify(row, manifest, ClassifyOptions(top_k=1, threshold=0.47))
    assert isinstance(one, MultilabelClassification)
    assert [each.label for each in one.labels] == ["box", "star"]
    assert one.top == one.labels[:1]
    none = classification.classify(scores(0.25, 0.5, 0.1), manifest, ClassifyOptions())
    assert isinstance(none, MultilabelClassification)
    assert (none.label, none.score, none.labels) == (None, 0.5, ())
    task = classification.CLASSIFICATION
    assert task.columns(manifest) == ("label", "score", "labels")
    assert (task.rows(found), task.rows(none)) == ([("box", 0.9, "box; disc")], [(None, 0.5, "")])
    assert (task.words(found), task.words(none)) == ("box 0.9000, disc 0.4500", "unsure 0.5000")
