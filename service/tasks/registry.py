"""The tasks that are served, by name, and which of them one face stands for."""

from typing import Any

from service.manifest import Task
from service.tasks.classification import CLASSIFICATION
from service.tasks.detection import DETECTION
from service.tasks.localization import LOCALIZATION
from service.tasks.segmentation import SEGMENTATION
from service.tasks.task import Face, ServedTask

TASKS: dict[Task, ServedTask[Any]] = {
    task.name: task for task in (CLASSIFICATION, LOCALIZATION, DETECTION, SEGMENTATION)
}

FACES: dict[Face, tuple[Task, ...]] = {}
for _task in TASKS.values():
    FACES[_task.face] = (*FACES.get(_task.face, ()), _task.name)
