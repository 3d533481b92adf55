"""The tasks that are served, by name."""

from typing import Any

from service.manifest import Task
from service.tasks.classification import CLASSIFICATION
from service.tasks.localization import LOCALIZATION
from service.tasks.segmentation import SEGMENTATION
from service.tasks.task import ServedTask

TASKS: dict[Task, ServedTask[Any]] = {
    task.name: task for task in (CLASSIFICATION, LOCALIZATION, SEGMENTATION)
}
