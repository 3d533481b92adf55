"""Samples as pictures: an image with what is true and what was answered drawn on it."""

import numpy as np

from training.datasets import Samples
from training.tasks.pictures import Picture, caption, enlarge
from training.tasks.task import Labels, Outputs, TrainedTask


def draw_samples(task: TrainedTask, samples: Samples, outputs: Outputs, labels: Labels) -> Picture:
    """Draw all samples with their answers, `[N, H, W, 3]`; `outputs` are the rows for these samples."""
    return np.stack([draw_sample(task, samples, outputs, row, labels) for row in range(len(samples))])


def draw_sample(
    task: TrainedTask,
    samples: Samples,
    outputs: Outputs,
    row: int,
    labels: Labels,
    aspect: float | None = None,
) -> Picture:
    """Draw one sample with its answer, in the `aspect` (width by height) of its photo where that is given."""
    answer, truth = take(outputs, row), samples.take(np.asarray([row]))
    drawn = task.draw(enlarge(samples.images[row], aspect=aspect), answer, truth)
    # What has no words is drawn side by side.
    lines = task.words(answer, truth, labels) or ["true | answered"]
    return np.vstack([drawn, caption("\n".join(lines), drawn.shape[1])])


def take(outputs: Outputs, row: int) -> Outputs:
    """Return one image's outputs, `[1, ...]` each."""
    return {name: rows[row : row + 1] for name, rows in outputs.items()}
