"""Sets of labels: how they are ranked, from where on they count, and what a constant answer gets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.datasets import Samples
from training.tasks import labelsets
from training.tasks.multilabel import MULTILABEL
from training.tasks.task import Found, Outputs

LABELS = ("cat", "dog", "tree")


def samples(sets: list[list[int]]) -> Samples:
    return Samples(np.zeros((len(sets), 8, 8, 3), np.uint8), label_sets=np.asarray(sets, np.uint8))


def found(scores: list[list[float]], sets: list[list[int]]) -> Found:
    return MULTILABEL.collect([{"scores": np.asarray(scores, np.float32)}], samples(sets))


def by_hand(scores: list[float], true: list[int]) -> float:
    """Precision at each score, weighed by the recall that it adds; images of one score come together."""
    area = before = 0.0
    for least in sorted(set(scores), reverse=True):
        said = [is_true for score, is_true in zip(scores, true, strict=True) if score >= least]
        recall = sum(said) / sum(true)
        area += (recall - before) * sum(said) / len(said)
        before = recall
    return area


@given(st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=1, max_size=40))
def test_average_precision_is_the_area_below_the_steps(rows: list[tuple[int, bool]]) -> None:
    """For any scores, tied ones too; of a label that no image has there is none."""
    scores, true = [one / 8 for one, _ in rows], [int(is_true) for _, is_true in rows]
    area = labelsets.average_precision(np.asarray(scores), np.asarray(true))
    expected = by_hand(scores, true) if any(true) else np.nan
    assert area == pytest.approx([expected], nan_ok=True)


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.integers(0, 3)), min_size=1, max_size=20))
def test_a_weight_is_so_many_copies_of_an_image(rows: list[tuple[int, bool, int]]) -> None:
    """As the bootstrap draws them: one that is drawn twice counts twice, and none that is not drawn."""
    scores, true, weights = (np.asarray(column, float) for column in zip(*rows, strict=True))
    copies = np.repeat(np.arange(len(rows)), weights.astype(int))
    whole = labelsets.average_precision(scores[copies], true[copies]) if len(copies) else [np.nan]
    assert labelsets.average_precision(scores, true, weights[None]) == pytest.approx(whole, nan_ok=True)


def test_the_curve_is_the_best_precision_at_each_recall() -> None:
    """Of two images that have the label, the first is surest, and one is between them."""
    drawn = labelsets.curve(np.asarray([0.9, 0.5, 0.7, 0.1]), np.asarray([1, 1, 0, 0]))
    assert drawn == [1.0] * 51 + [0.6667] * 50


def test_labels_that_no_image_has_are_left_out_of_the_mean() -> None:
    """The mean is that of the others."""
    scores = np.asarray([[0.9, 0.2, 0.3], [0.1, 0.8, 0.4], [0.2, 0.9, 0.1]])
    true = np.asarray([[1, 1, 0], [0, 0, 0], [0, 1, 0]], np.uint8)
    assert labelsets.mean_precision(scores, true, np.ones((1, 3))) == pytest.approx([(1 + 5 / 6) / 2])


def test_each_label_has_the_threshold_of_its_best_f1_and_rare_ones_that_of_all() -> None:
    """Half of the way to the next score; a label of four images says too little of its own."""
    common = np.linspace(0.05, 0.95, 10)
    scores = np.stack([common, np.where(common > 0.7, 0.3, 0.1), common], axis=1)
    true = np.stack([common > 0.4, common > 0.7, common > 0.9], axis=1).astype(np.uint8)
    first, second, rare = labelsets.best_thresholds(scores, true)
    assert first == pytest.approx(0.4)
    together = labelsets.best_thresholds(scores.reshape(-1, 1), true.reshape(-1, 1))[0]
    assert (second, rare) == (together, together)


def test_figures_are_those_of_the_labels_at_their_thresholds() -> None:
    """Counted over all labels, by label, and as whole sets; the worst answer is one with a wrong label."""
    sets = [[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0]]
    answers = found([[0.9, 0.2, 0.1], [0.8, 0.35, 0.2], [0.6, 0.9, 0.1], [0.1, 0.1, 0.1]], sets)
    chosen = Found(answers.rows, answers.true, label_thresholds=(0.5, 0.3, 0.5))
    measured = MULTILABEL.measure(chosen, samples(sets), LABELS, None)
    assert measured.figures == pytest.approx(
        {"map": 1, "macro_f1": 0.9, "precision": 0.8, "recall": 1, "f1": 8 / 9, "exact_match": 0.75}
    )
    assert measured.per_class == {
        "cat": pytest.approx(
            {"ap": 1, "precision": 2 / 3, "recall": 1, "f1": 0.8, "threshold": 0.5, "count": 2}
        ),
        "dog": pytest.approx({"ap": 1, "precision": 1, "recall": 1, "f1": 1, "threshold": 0.3, "count": 2}),
    }
    assert measured.good.argmin() == 2


def test_constant_answers_are_chosen_on_training_and_scored_on_test() -> None:
    """Each figure stands beside what the best answer gets that is the same for every image."""
    train, test = samples([[1, 0, 0]] * 5 + [[1, 1, 0]] * 2 + [[0, 0, 1]]), samples([[1, 0, 0], [1, 1, 0]])
    known = MULTILABEL.baselines(train, test, LABELS)
    assert {name: (one.value, one.answer) for name, one in known.items()} == {
        "map": (pytest.approx(0.75), "the same scores for all images"),
        "macro_f1": (pytest.approx((1 + 2 / 3) / 2), "always saying every label"),
        "f1": (pytest.approx(0.8), "always saying cat"),
        "exact_match": (0.5, "always saying cat"),
    }


def test_a_temperature_softens_each_score_for_itself() -> None:
    """As a division of its own logit does, so that what is fitted can go into the network's last layer."""
    from training.evaluation.calibration import soften

    rows = found([[0.9, 0.2, 0.5]], [[1, 0, 0]]).rows
    logits = np.log(rows[:, 1] / rows[:, 0])
    assert soften(rows, 2.0)[:, 1] == pytest.approx(1 / (1 + np.exp(-logits / 2)))


def test_words_name_what_is_said_and_what_is_true_instead() -> None:
    """Several labels with their scores, or none; the truth only where it is another."""
    outputs: Outputs = {"scores": np.asarray([[0.9, 0.75, 0.1]], np.float32)}
    assert MULTILABEL.words(outputs, samples([[1, 1, 0]]), LABELS) == ["cat 0.90, dog 0.75"]
    assert MULTILABEL.words(outputs, samples([[0, 0, 0]]), LABELS) == ["cat 0.90, dog 0.75", "not no label"]
