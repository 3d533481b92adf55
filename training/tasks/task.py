"""What training does differently for one task: an object for each, found by its name in `registry.py`.

The mirror of `service/tasks/`. A task has outputs, a dict of float32 arrays, on any backbone; all that
depends on what they mean is here: head, loss, figures, pictures, tables, and what is sensible for it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from training.datasets import Resize, Samples, Task
from training.halves import Difference, largest_difference
from training.schema import Training
from training.tasks.baselines import Baselines
from training.tasks.intervals import Interval
from training.tasks.measures import Figures
from training.tasks.pictures import Picture

Labels = tuple[str, ...]
Outputs = dict[str, NDArray[np.float32]]
"""By their names, row by row."""


@dataclass(frozen=True)
class Found:
    """What is kept of the answers to all samples: `rows` `[M, K]` are probabilities that sum to 1, of images
    or of some pixels or objects, `true` `[M]` their labels; `answers` `[N, ...]` what the task says besides,
    `objects` `[N, H, W]` which one each pixel belongs to, where the network tells them apart.
    """

    rows: NDArray[np.float64]
    true: NDArray[Any]
    answers: NDArray[Any] | None = None
    objects: NDArray[np.int32] | None = None
    counted: NDArray[np.bool_] | None = None
    """Which rows say how far scores can be believed; None: all."""
    threshold: float = 0.0
    """From which score on an object counts, where that was chosen."""
    least: float = 0.0
    """The last label's probability below which a row does not say how far scores can be believed."""
    label_thresholds: tuple[float, ...] = ()
    """From which score on each label counts, where that was chosen."""

    @property
    def judged(self) -> tuple[NDArray[np.float64], NDArray[Any]]:
        """The rows that are counted, and whether or what each truly is."""
        kept = self.rows[:, -1] >= self.least
        if self.counted is not None:
            kept &= self.counted
        return self.rows[kept], self.true[kept]


@dataclass(frozen=True)
class Measured:
    """Answers against the truth: `headline` names the figure that stands for the model, `good` `[N]` says how
    good each answer is. Where there is one label, there is no `confusion`; one that is larger than the labels
    has another row and column for nothing.
    """

    headline: str
    figures: Figures
    intervals: dict[str, Interval]
    per_class: dict[str, Figures]
    confusion: NDArray[np.int64] | None
    good: NDArray[np.float64]
    details: dict[str, Any] = field(default_factory=dict)
    """What a report shows besides, as plain data."""


@dataclass(frozen=True)
class Pretrained:
    """What is sensible for a network that starts from weights trained on many other photos."""

    side: int
    """Of the input for large photos; smaller ones have a smaller one."""
    suffix: str
    """What the EfficientNet-Lite's name ends with that suits the task, where the input's side is a multiple
    of 32."""
    training: Mapping[str, Any]
    transfer: Mapping[str, Any]
    """Settings of training and of transfer."""
    time: float = 1.0
    """Fine-tuning may take so many times the minutes that it usually may."""
    fine_tuned_from: int = 0
    """With fewer images only what is new learns, as nobody could tell whether more would be a gain."""

    def architecture(self, side: int) -> str:
        """Return the network's name for an input of that side."""
        return "efficientnet-lite0" + ("" if side % 32 else self.suffix)


@dataclass(frozen=True)
class OwnImages:
    """What is sensible for a folder of one's own, where nobody says otherwise."""

    architecture: Callable[[int], str]
    """The input's side -> the network's name, from scratch."""
    training: Mapping[str, Any]
    """Settings of training that other tasks do not have, from scratch."""
    pretrained: Pretrained
    resize: tuple[Resize, str]
    """How photos of any aspect come into the frame, and why: "Photos are ..."."""
    least_side: int = 32
    """Of the input."""
    mirrored: bool = False
    """Whether what is learnt is mirrored along with its image."""


@dataclass(frozen=True)
class TrainedTask:
    """All that a task does its own way."""

    name: Task
    served: str = field(default="", kw_only=True)
    """The task as which the service answers, where that has another name."""
    outputs: Mapping[str, str]
    """Each output's name and what it means, in words."""
    label_output: str
    """The output, and the layer that makes it, with the probabilities of the labels."""
    per_pixel: bool
    """Whether each pixel is of a class, instead of each image."""

    head: Callable[[keras.Model, int, Training], dict[str, Any]]
    """(backbone, number of labels, settings) -> what is trained, by name: mostly the outputs themselves."""
    goal: Callable[[Training, int, Any], dict[str, Any]]
    """(settings, number of labels, weights of classes `[K]` or None) -> losses and metrics for `compile`."""
    targets: Callable[[Samples, int, Training], dict[str, NDArray[Any]]]
    """(samples, number of labels, settings) -> what `fit` compares each of the head's with."""
    monitor: Callable[[Training], str]
    """The validation figure, higher is better, that chooses the checkpoint: its name in the history."""

    collect: Callable[[Iterable[Outputs], Samples], Found]
    """Answers in the order of the samples, some at a time -> what is kept of them."""
    measure: Callable[[Found, Samples, Labels, NDArray[np.int32] | None], Measured]
    """Answers against the truth; the last are separate objects as answered `[N, H, W]`, where known."""
    baselines: Callable[[Samples, Samples, Labels], Baselines]
    """(training, test, labels) -> the figures of the best answer that never looks at an image."""
    columns: Callable[[Found, Samples, Labels], dict[str, Sequence[Any] | NDArray[Any]]]
    """Truth and answer of each sample, column by column, for the run's table."""
    shares: Callable[[Outputs, int], NDArray[Any]]
    """(one image's outputs `[1, ...]`, number of labels) -> how far the answer is each label, `[K]`."""
    draw: Callable[[Picture, Outputs, Samples | None], Picture]
    """(image, its outputs `[1, ...]`, its truth where that is to be seen too) -> what is drawn on it."""
    words: Callable[[Outputs, Samples, Labels], list[str]]
    """One image's answer, and the truth where it is another; nothing of an answer that is only drawn."""

    own: OwnImages
    answer: Callable[[dict[str, Any], Training], dict[str, Any]] = lambda outputs, _: outputs
    """(what is trained, settings) -> the outputs, in operations of Keras: a part of the graph."""
    difference: Difference = largest_difference
    """How far two networks' outputs are apart."""
    choose_threshold: Callable[[Found, Samples], float] | None = None
    """Answers for validation -> the threshold that is exported; None where it depends on the labels alone."""
    choose_label_thresholds: Callable[[Found, Samples], tuple[float, ...]] | None = None
    """The same, one for each label, where labels do not exclude each other."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Settings of a recipe that make no sense here -> why."""
    loss_classes: Callable[[Samples], NDArray[Any] | None] = lambda _: None
    """The classes that the loss itself weighs, as indices; None where images are weighed by their labels."""
    balanced_monitor: str = ""
    """What chooses the checkpoint instead where classes are balanced."""
    figures: Mapping[str, str] = field(default_factory=dict)
    """Names of the history's figures -> the evaluation's names, where they differ."""
    one_label_is_meant: bool = False
    """Whether images that all have the same label are as they should be."""
    threshold: Callable[[int], float] = lambda _: 0.0
    """Number of labels -> the threshold that is exported."""
    tolerance: Callable[[Outputs], dict[str, float]] = lambda _: {}
    """Golden answers -> how far an output's may be off when served, where that depends on them."""
    golden_bytes: frozenset[str] = frozenset()
    """The outputs whose golden answers are kept in steps of 1/255, far within the tolerance."""


WHOLE: tuple[Resize, str] = (
    "letterbox",
    "letterboxed, so that shapes are what they are and no object is cut off",
)
"""`OwnImages.resize` where boxes are learnt."""


def no_blends(task: Task) -> dict[str, str]:
    """Return why images must not be blended: for `TrainedTask.refused`."""
    why = f"blends two images, and a blend has no one box or mask: it is for classification, not {task}."
    return {"augmentation.mixup": why, "augmentation.cutmix": why}
