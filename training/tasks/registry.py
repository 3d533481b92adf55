"""The tasks that are trained, by name."""

from training.datasets import Task
from training.tasks.classification import CLASSIFICATION
from training.tasks.detection import DETECTION
from training.tasks.localization import LOCALIZATION
from training.tasks.multilabel import MULTILABEL
from training.tasks.segmentation import SEGMENTATION
from training.tasks.task import TrainedTask

TASKS: dict[Task, TrainedTask] = {
    task.name: task for task in (CLASSIFICATION, MULTILABEL, LOCALIZATION, DETECTION, SEGMENTATION)
}
