"""What is said of figures: each case that is wrong, and nothing of good runs."""

from typing import Any

import numpy as np
import pytest

from training.evaluation import remarks
from training.tasks.baselines import Baseline
from training.tasks.intervals import wilson

WBC = Baseline(0.9455, "always saying WBC")
BOX = Baseline(0.601, "always answering the same box, 0.1 0.1 0.9 0.9")


def accuracy(value: float, count: int, baseline: Baseline = WBC) -> list[str]:
    """Compare an accuracy with a baseline."""
    intervals = {"accuracy": wilson(value * count, count)}
    return remarks.compare({"accuracy": value}, {"accuracy": baseline}, intervals, count)


def test_always_the_same_label_is_told() -> None:
    """A share of right answers that comes of one label alone is named as such, with the label."""
    assert accuracy(0.9455, 55) == [
        "accuracy 0.9455 is no better than always saying WBC: that alone gives 0.9455."
    ]
    (below,) = accuracy(0.80, 1000)
    assert below.startswith("accuracy 0.8000 is no better than always saying WBC")


def test_too_few_images_to_tell_are_told() -> None:
    """Where the interval includes the baseline, both are named: on so few images it may be chance."""
    (said,) = accuracy(0.9636, 55)
    assert "no better than always saying WBC" in said
    assert "on 55 images its 95 % interval is 0.87" in said


@pytest.mark.parametrize(("value", "count"), [(0.99, 2000), (0.9825, 10_000), (1.0, 200)])
def test_nothing_is_said_of_what_is_clearly_better(value: float, count: int) -> None:
    """A good classifier is not talked about, though the labels are uneven."""
    assert accuracy(value, count) == []


@pytest.mark.parametrize(
    ("value", "words"), [(0.626, "barely better"), (0.605, "no better"), (0.58, "no better")]
)
def test_a_constant_box_is_told(value: float, words: str) -> None:
    """A localizer that gains little or nothing over a box that never moves is told as such."""
    figures = {"mean_iou": value, "iou_over_half": 0.9}
    said = remarks.compare(
        figures, {"mean_iou": BOX, "iou_over_half": BOX}, {"mean_iou": (value - 0.015, value + 0.015)}, 300
    )
    assert len(said) == 1
    assert f"mean iou {value:.4f} is {words} than always answering the same box" in said[0]
    assert "0.6010" in said[0]


def test_nothing_is_said_of_a_good_localizer_and_mask() -> None:
    """The shipped models' figures, for example."""
    heads = remarks.compare(
        {"mean_iou": 0.69, "accuracy": 0.951},
        {"mean_iou": Baseline(0.376, "a box"), "accuracy": Baseline(0.7057, "always saying dog")},
        {"mean_iou": (0.675, 0.706), "accuracy": (0.924, 0.969)},
        367,
    )
    masks = remarks.compare(
        {"dice": 0.9, "mean_iou": 0.893},
        {"dice": Baseline(0.25, "a mask"), "mean_iou": Baseline(0.43, "a mask")},
        {"dice": (0.88, 0.92)},
        80,
    )
    assert heads == masks == []


def test_all_background_is_told() -> None:
    """A network that answers background alone has the Dice of nothing, and is told what a mask alone gets."""
    background = Baseline(0.2, "always answering the same mask")
    (said,) = remarks.compare({"dice": 0.0}, {"dice": background}, {}, 80)
    assert said == "dice 0.0000 is no better than always answering the same mask: that alone gives 0.2000."


def test_where_nothing_is_to_gain_nothing_is_said() -> None:
    """Of one class alone every answer is right: that is no failure of the network."""
    assert accuracy(1.0, 50, Baseline(1.0, "always saying cell")) == []


# ---- labels


def test_labels_that_are_never_answered_or_never_right_are_named() -> None:
    """Each with its name; what is right now and then, and what has hardly any image, is not."""
    confusion = np.asarray(
        [[9, 1, 0, 0, 0], [5, 0, 0, 0, 0], [8, 0, 0, 0, 0], [1, 0, 0, 5, 0], [2, 0, 0, 0, 0]]
    )
    assert remarks.missed(confusion, ("a", "b", "c", "d", "e"), pixels=False) == [
        "Of 5 labels, 1 never answered: c.",
        "Of 5 labels, 1 answered, but never rightly: b.",
    ]


def test_many_missed_labels_are_counted() -> None:
    """Not all of a hundred are listed."""
    confusion = np.zeros((40, 40), int)
    confusion[:, 0] = 5
    (said,) = remarks.missed(confusion, [f"n{number}" for number in range(40)], pixels=False)
    assert said.startswith("Of 40 labels, 39 never answered: n1, n2,")
    assert said.endswith("n10 and 29 more.")


def test_one_label_alone_is_told() -> None:
    """Where all test images have one label, being right says nothing."""
    (said,) = remarks.missed([[7, 0], [0, 0]], ("a", "b"), pixels=False)
    assert said == "All 7 images are labelled a: which label is right was not tested."


def test_nothing_is_said_of_labels_that_are_found() -> None:
    """A good confusion matrix, and one of pixels of which a class has hardly any."""
    assert remarks.missed([[40, 2], [3, 30]], ("a", "b"), pixels=False) == []
    assert remarks.missed([[4000, 0], [50, 0]], ("background", "speck"), pixels=True) == []
    assert remarks.missed([[4000, 0], [500, 0]], ("background", "cell"), pixels=True) == [
        "Of 2 labels, 1 never answered: cell."
    ]


# ---- fitting


def rows(name: str, *pairs: tuple[float, float]) -> list[dict[str, float]]:
    """Return a history of (training, validation) of one figure."""
    return [
        {"epoch": float(epoch), name: one, f"val_{name}": other} for epoch, (one, other) in enumerate(pairs)
    ]


TENTH: dict[str, Any] = {"accuracy": Baseline(0.1, "always saying a"), "mean_iou": Baseline(0.4, "a box")}


def test_overfitting_is_told_with_what_to_try() -> None:
    """Training .99 beside validation .63: learnt by heart, of the epoch that was kept."""
    history = rows("accuracy", (0.5, 0.5), (0.99, 0.63), (0.995, 0.62))
    (said,) = remarks.fitting(history, "val_accuracy", TENTH, 200)
    assert said.startswith("Overfitting: accuracy is 0.99 in training and 0.63 in validation: ")
    assert "augmentation" in said
    assert "--weights imagenet" in said


def test_underfitting_is_told_with_what_to_try() -> None:
    """Both low: not even the training images are learnt; and where the last epoch was the best, that."""
    (said,) = remarks.fitting(rows("accuracy", (0.2, 0.25), (0.28, 0.3)), "val_accuracy", TENTH, 200)
    assert said.startswith("Underfitting: accuracy is 0.28 in training and 0.30 in validation: ")
    assert said.endswith("The last epoch was the best: it was still learning.")
    (said,) = remarks.fitting(rows("accuracy", (0.28, 0.3), (0.3, 0.2)), "val_accuracy", TENTH, 200)
    assert "still learning" not in said


def test_boxes_that_are_hardly_learnt_are_told() -> None:
    """A localizer near its constant box underfits by its boxes, however well it knows the labels."""
    history = [
        {"box_mean_iou": 0.43, "val_box_mean_iou": 0.42, "scores_accuracy": 0.97, "val_scores_accuracy": 0.95}
    ]
    (said,) = remarks.fitting(history, "val_box_mean_iou", TENTH, 200)
    assert said.startswith("Underfitting: box mean iou is 0.43")


@pytest.mark.parametrize(
    ("name", "train", "held"),
    [
        ("accuracy", 0.983, 0.995),  # digits
        ("accuracy", 0.968, 0.954),  # fashion
        ("mean_iou", 0.787, 0.835),  # nuclei
        ("box_mean_iou", 0.755, 0.700),  # pet-heads
        ("mean_iou", 0.75, 0.738),  # pet-masks
        ("accuracy", 0.55, 0.72),  # with mixed images, training is the harder part
    ],
)
def test_nothing_is_said_of_a_good_run(name: str, train: float, held: float) -> None:
    """The shipped models' own histories, and a training part that is harder than validation."""
    assert remarks.fitting(rows(name, (train, held)), f"val_{name}", TENTH, 300) == []


def test_a_gap_on_few_images_may_be_chance() -> None:
    """Four of five right beside all right in training is no overfitting yet."""
    assert remarks.fitting(rows("accuracy", (1.0, 0.8)), "val_accuracy", TENTH, 5) == []
    assert remarks.fitting(rows("accuracy", (1.0, 0.8)), "val_accuracy", TENTH, 500) != []


def test_without_a_history_nothing_is_said() -> None:
    """A run copied without it, or of another version, is no error."""
    assert remarks.fitting([], "val_accuracy", TENTH, 10) == []
    assert remarks.fitting([{"epoch": 0.0}], "val_accuracy", TENTH, 10) == []


def test_labels_beside_others_that_are_never_rightly_said_are_named() -> None:
    """Of labels that do not exclude each other; one of two images says nothing."""
    per_label = {
        "cat": {"count": 9.0, "recall": 0.5},
        "dog": {"count": 3.0, "recall": 0.0},
        "tree": {"count": 2.0, "recall": 0.0},
    }
    assert remarks.never_right(per_label, 4) == ["Of 4 labels, 1 never rightly answered: dog."]
    assert remarks.never_right({"cat": per_label["cat"]}, 4) == []
