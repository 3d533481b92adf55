"""Samples with their answers as pictures."""

import numpy as np
import pytest

from training.datasets import Samples
from training.tasks.drawing import draw_sample, draw_samples, take
from training.tasks.pictures import SIDE
from training.tasks.registry import TASKS
from training.tasks.task import Outputs

LABELS = ("ground", "thing")
SAMPLES = Samples(
    np.full((2, 8, 8, 3), 90, np.uint8),
    labels=np.asarray([0, 1], np.int32),
    boxes=np.asarray([[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]], np.float32),
    masks=np.asarray([np.zeros((8, 8)), np.ones((8, 8))], np.uint8),
)
OUTPUTS: Outputs = {
    "scores": np.asarray([[0.75, 0.25], [0.75, 0.25]], np.float32),
    "box": np.asarray([[0, 0, 0.5, 0.5], [0, 0, 0.5, 0.5]], np.float32),
    "mask": np.zeros((2, 8, 8, 1), np.float32),
    "boxes": np.asarray([[[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]]] * 2, np.float32),
    "labels": np.asarray([[0, 1]] * 2, np.float32),
}


def test_samples_are_drawn_with_their_captions() -> None:
    """Each has a strip of words below; where there are none, truth and answer stand side by side."""
    sizes = {name: draw_samples(task, SAMPLES, OUTPUTS, LABELS).shape for name, task in TASKS.items()}
    high = SIDE + 34
    assert sizes["classification"] == sizes["localization"] == (2, high, SIDE, 3)
    assert sizes["segmentation"] == (2, high, 2 * SIDE, 3)
    assert sizes["detection"] == (2, high, SIDE, 3)


@pytest.mark.parametrize("name", ["classification", "localization"])
def test_a_wrong_answer_has_other_words(name: str) -> None:
    """The second sample has the same answer as the first, and another truth: a line more."""
    task = {str(key): value for key, value in TASKS.items()}[name]
    right, wrong = (draw_sample(task, SAMPLES, OUTPUTS, row, LABELS)[SIDE:] for row in range(2))
    assert (right[:17] == wrong[:17]).all()
    assert (right[17:] == 255).all()
    assert (wrong[17:] < 255).any()


def test_a_stretched_photo_is_drawn_as_it_was() -> None:
    """At half the height for twice the width."""
    task = TASKS["classification"]
    picture = draw_sample(task, SAMPLES, OUTPUTS, 0, LABELS, aspect=2.0)
    assert picture.shape == (SIDE // 2 + 34, SIDE, 3)


def test_one_row_is_taken_of_all_outputs() -> None:
    """With its first axis."""
    assert {name: rows.shape for name, rows in take(OUTPUTS, 1).items()} == {
        "scores": (1, 2),
        "box": (1, 4),
        "mask": (1, 8, 8, 1),
        "boxes": (1, 2, 4),
        "labels": (1, 2),
    }
