"""Classification: each image is of one class. `scores` `[N, K]` are probabilities that sum to 1."""

from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from training.datasets import Samples
from training.schema import Training
from training.tasks import baselines, measures
from training.tasks.baselines import Baselines
from training.tasks.pictures import Picture
from training.tasks.task import Found, Labels, Measured, Outputs, OwnImages, Pretrained, TrainedTask

MEANING = "probability of each label; they sum to 1"

OWN_TRAINING = {"label_smoothing": 0.05, "head_dropout": 0.2}


def head(backbone: keras.Model, label_count: int, settings: Training) -> dict[str, Any]:
    """Return the scores from the backbone's features, pooled where they are a map."""
    activation = "softmax" if label_count > 1 else certain
    return {"scores": scored(backbone, label_count, settings, activation)}


def scored(backbone: keras.Model, label_count: int, settings: Training, activation: Any) -> Any:
    """Return a score for each label, `[N, K]`, from the backbone's features."""
    features = backbone.output
    if len(features.shape) == 4:
        features = layers.GlobalAveragePooling2D(name="head_pool")(features)
    if settings.head_dropout:
        features = layers.Dropout(settings.head_dropout, name="head_dropout")(features)
    return layers.Dense(label_count, activation=activation, dtype="float32", name="scores")(features)


def certain(logits: Any) -> Any:
    """Return the softmax of one number, which is 1 whatever it is: for boxes that all have one label.

    Of Keras's own softmax that would be a warning.
    """
    return 0.0 * logits + 1.0


def crossentropy(settings: Training) -> keras.losses.Loss:
    """Return the loss of scores."""
    return keras.losses.CategoricalCrossentropy(label_smoothing=settings.label_smoothing)


def accuracy() -> keras.metrics.Metric:
    """Return the share of right answers."""
    return keras.metrics.CategoricalAccuracy(name="accuracy")


def _goal(settings: Training, label_count: int, _: Any) -> dict[str, Any]:
    metrics = [accuracy(), *([BalancedAccuracy(label_count)] if settings.balance else [])]
    return {"loss": {"scores": crossentropy(settings)}, "metrics": {"scores": metrics}}


class BalancedAccuracy(keras.metrics.Metric):  # type: ignore[misc]  # Keras ships no types
    """The mean of the classes' own accuracies, those with no image left out: of always saying the same class
    it is 1 / K (Brodersen et al., "The balanced accuracy and its posterior distribution", ICPR 2010).
    """

    def __init__(self, label_count: int) -> None:
        super().__init__(name="balanced_accuracy", dtype="float32")
        self._right, self._there = (
            self.add_variable((label_count,), initializer="zeros", name=name) for name in ("right", "there")
        )

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count rows `[N, K]`, each as one; the weights that balance the loss are no weights here."""
        count = self._there.shape[0]
        labels = ops.one_hot(ops.argmax(y_true, axis=-1), count)
        answers = ops.one_hot(ops.argmax(y_pred, axis=-1), count)
        self._there.assign_add(ops.sum(labels, axis=0))
        self._right.assign_add(ops.sum(labels * answers, axis=0))

    def result(self) -> Any:
        """Return the mean over the classes that have been there."""
        there = ops.cast(self._there > 0, "float32")
        shares = self._right / ops.maximum(self._there, 1.0)
        return ops.sum(shares * there) / ops.maximum(ops.sum(there), 1.0)


def targets(samples: Samples, label_count: int, _: Training) -> dict[str, NDArray[Any]]:
    """Return the labels one-hot, float32 `[N, K]`; nothing where there are none."""
    if samples.labels is None:
        return {}
    return {"scores": np.eye(label_count, dtype=np.float32)[samples.labels]}


def _collect(parts: Iterable[Outputs], samples: Samples) -> Found:
    assert samples.labels is not None
    return Found(np.concatenate([part["scores"] for part in parts]).astype(np.float64), samples.labels)


def measure(found: Found, samples: Samples, labels: Labels, _: Any = None) -> Measured:
    """Measure the labels; an answer is as good as the score of its true label."""
    good = found.rows[np.arange(len(found.rows)), found.true]
    if len(labels) < 2:
        # Always saying the one label that there is, is no merit.
        return Measured("accuracy", {}, {}, {}, None, good)
    return Measured("accuracy", *measures.measure_scores(found.rows, found.true, labels), good)


def constant_answers(train: Samples, test: Samples, labels: Labels) -> Baselines:
    """Return the figures of always saying the commonest label."""
    assert train.labels is not None
    assert test.labels is not None
    return baselines.of_labels(train.labels, test.labels, labels)


def columns(found: Found, samples: Samples, labels: Labels) -> dict[str, Sequence[Any] | NDArray[Any]]:
    """Return true and answered label, and the score."""
    best = found.rows.argmax(axis=1)
    return {
        "label": [labels[index] for index in found.true],
        "answer": [labels[index] for index in best],
        "score": found.rows[np.arange(len(best)), best],
    }


def shares(outputs: Outputs, _: int) -> NDArray[Any]:
    """Return the scores."""
    return np.asarray(outputs["scores"][0])


def _draw(image: Picture, _: Outputs, __: Samples | None) -> Picture:
    return image


def words(outputs: Outputs, truth: Samples, labels: Labels) -> list[str]:
    """Return the answer with its score, and the truth where it is another."""
    scores = outputs["scores"][0]
    found = int(scores.argmax())
    lines = [f"{labels[found]} {scores[found]:.2f}"]
    if truth.labels is not None and truth.labels[0] != found:
        lines.append(f"not {labels[truth.labels[0]]}")
    return lines


CLASSIFICATION = TrainedTask(
    name="classification",
    outputs={"scores": MEANING},
    label_output="scores",
    per_pixel=False,
    head=head,
    goal=_goal,
    targets=targets,
    monitor=lambda _: "val_accuracy",
    # Where all classes count the same in the loss, so they do in the choice: with nine images in ten of one
    # class, the best accuracy may be that of always saying it.
    balanced_monitor="val_balanced_accuracy",
    # The mean accuracy of the classes is their mean recall.
    figures={"balanced_accuracy": "macro_recall"},
    collect=_collect,
    measure=measure,
    baselines=constant_answers,
    columns=columns,
    shares=shares,
    draw=_draw,
    words=words,
    own=OwnImages(
        lambda side: "se-resnet-small" if side < 96 else "se-resnet-short",
        OWN_TRAINING,
        Pretrained(
            224,
            "",
            {"epochs": 24, "batch_size": 32, "learning_rate": 0.001, "patience": 3},
            {"frozen_epochs": 12, "frozen_learning_rate": 0.003, "backbone_rate": 0.2},
            # Of 180 photos 30 are for validation: chosen by these, fine-tuning cost 3 % (docs/experiments.md)
            fine_tuned_from=700,
        ),
        ("crop", "cut to their middle square, where what a photo is of mostly is"),
    ),
)
