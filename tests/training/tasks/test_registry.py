"""Every task is known on both sides."""

from typing import get_args

import pytest

from service.tasks.registry import TASKS as SERVED
from training.learnable import LEARNABLE, OPTIONS, Task, TaskOption
from training.schema import Training
from training.tasks.registry import TASKS


def test_what_can_be_trained_can_be_served() -> None:
    """Each name that a recipe may give has an object in training, and all that the service answers is one."""
    assert set(TASKS) == set(LEARNABLE) == set(get_args(Task))
    assert {task.served or task.name for task in TASKS.values()} == set(SERVED)


def test_command_lines_know_every_task() -> None:
    """Each task has a name of its own for `--task`, and these are all that there are."""
    assert set(OPTIONS) == set(get_args(TaskOption))
    assert set(OPTIONS.values()) == set(TASKS)


@pytest.mark.parametrize("name", TASKS)
def test_the_labels_have_an_output(name: Task) -> None:
    """It is among those that the manifest explains, and a validation figure chooses the checkpoint."""
    task = TASKS[name]
    assert task.name == name
    assert task.label_output in task.outputs
    assert task.monitor(Training(epochs=1, batch_size=1, learning_rate=0.1)).startswith("val_")
    assert task.golden_bytes <= task.outputs.keys()
