"""Every task is known on both sides."""

from typing import get_args

import pytest

from service.tasks.registry import TASKS as SERVED
from training.datasets import Task
from training.schema import Training
from training.tasks.registry import TASKS


def test_what_can_be_trained_can_be_served() -> None:
    """Each name that a recipe may give has an object in training and one in the service."""
    assert set(TASKS) == set(SERVED) == set(get_args(Task))


@pytest.mark.parametrize("name", TASKS)
def test_the_labels_have_an_output(name: Task) -> None:
    """It is among those that the manifest explains, and a validation figure chooses the checkpoint."""
    task = TASKS[name]
    assert task.name == name
    assert task.label_output in task.outputs
    assert task.monitor(Training(epochs=1, batch_size=1, learning_rate=0.1)).startswith("val_")
    assert task.golden_bytes <= task.outputs.keys()
