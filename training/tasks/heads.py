"""Head, loss and metrics of each task, on any backbone. The mirror of `service/tasks/`.

The outputs of a model are a dict of float32 arrays:

* classification: `scores` `[N, K]`, probabilities that sum to 1;
* localization: `scores` `[N, K]` and `box` `[N, 4]`, x_min, y_min, x_max, y_max as fractions in 0..1;
* segmentation: `mask` `[N, H, W, K]`, probabilities per pixel; with two classes `[N, H, W, 1]`, the
  probability of the second.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import layers, ops

from training.datasets import Task
from training.schema import Recipe
from training.tasks import losses
from training.tasks.losses import box_iou
from training.zoo import ARCHITECTURES
from training.zoo.decoder import decode

MONITOR: dict[Task, str] = {
    "classification": "val_accuracy",
    "localization": "val_box_mean_iou",
    "segmentation": "val_mean_iou",
}
"""The validation figure, higher is better, that chooses the checkpoint; but see `monitor`."""

BALANCED = "val_balanced_accuracy"


def monitor(recipe: Recipe, history: Sequence[Mapping[str, float]] = ()) -> str:
    """Return the validation figure that chooses the checkpoint of this recipe.

    Where all classes count the same in the loss, so they do in the choice: with nine images in ten of one
    class, the best accuracy may be that of always saying it. A `history` from before there was that figure
    has been chosen by the other one.
    """
    balanced = recipe.task == "classification" and recipe.training.balance
    known = not history or any(BALANCED in row for row in history)
    return BALANCED if balanced and known else MONITOR[recipe.task]


def build(recipe: Recipe, label_count: int) -> keras.Model:
    """Build the whole network, untrained: normalised images `[N, H, W, C]` to the task's outputs."""
    backbone = ARCHITECTURES[recipe.architecture].build(recipe.input.shape)
    for layer in backbone.layers:
        if isinstance(layer, layers.Dropout):
            layer.rate *= recipe.training.dropout_scale
    features = backbone.output
    rate = recipe.training.head_dropout
    if recipe.task == "segmentation":
        outputs = {"mask": _mask_head(backbone, label_count)}
    else:
        outputs = {"scores": _class_head(features, label_count, rate)}
    if recipe.task == "localization":
        outputs["box"] = _box_head(features, rate)
    return keras.Model(backbone.input, outputs, name=recipe.name)


def _class_head(features: Any, label_count: int, rate: float) -> Any:
    if len(features.shape) == 4:
        features = layers.GlobalAveragePooling2D(name="head_pool")(features)
    if rate:
        features = layers.Dropout(rate, name="head_dropout")(features)
    activation = "softmax" if label_count > 1 else certain
    return layers.Dense(label_count, activation=activation, dtype="float32", name="scores")(features)


def certain(logits: Any) -> Any:
    """Return the softmax of one number, which is 1 whatever it is: for boxes that all have one label.

    Of Keras's own softmax that would be a warning.
    """
    return 0.0 * logits + 1.0


def _box_head(features: Any, rate: float) -> Any:
    """Four numbers in 0..1: the box's centre and size through a sigmoid, then its corners.

    The lectures take them from pooled features. Pooling forgets where things are, so a feature map is
    narrowed and flattened instead.
    """
    if len(features.shape) == 4:
        side = max(features.shape[1:3])
        if side > 16:
            # A U-Net's features have full size: flattened, they would need 100 million weights.
            features = layers.AveragePooling2D(side // 8, padding="same", name="box_pool")(features)
        features = layers.Conv2D(64, 1, activation="relu", name="box_narrow")(features)
        features = layers.Flatten(name="box_flatten")(features)
    if rate:
        features = layers.Dropout(rate, name="box_dropout")(features)
    features = layers.Dense(128, activation="relu", name="box_dense")(features)
    centre_size = layers.Dense(4, activation="sigmoid", dtype="float32", name="box_centre_size")(features)
    centre, half = centre_size[:, :2], centre_size[:, 2:] / 2
    return ops.clip(ops.concatenate([centre - half, centre + half], axis=1), 0.0, 1.0)


def _mask_head(backbone: keras.Model, label_count: int) -> Any:
    features = backbone.output
    if len(features.shape) != 4 or features.shape[1:3] != backbone.input.shape[1:3]:
        features = decode(backbone)
    channels, activation = (1, "sigmoid") if label_count == 2 else (label_count, "softmax")
    return layers.Conv2D(channels, 1, activation=activation, dtype="float32", name="mask")(features)


def is_head(name: str) -> bool:
    """Whether the layer of that name belongs to a task's head, and not to the backbone."""
    return name.startswith(("head_", "box_")) or name in {"scores", "mask"}


def compile_model(
    model: keras.Model,
    recipe: Recipe,
    label_count: int,
    optimizer: Any,
    *,
    class_weights: Any = None,
    **options: Any,
) -> None:
    """Compile with the task's losses and metrics.

    `class_weights` float32 `[K]` counts for the pixels of masks; images bring theirs along, see `pipeline`.
    """
    settings = recipe.training
    crossentropy = keras.losses.CategoricalCrossentropy(label_smoothing=settings.label_smoothing)
    accuracy = keras.metrics.CategoricalAccuracy(name="accuracy")
    if recipe.task == "classification":
        metrics = [accuracy, *([BalancedAccuracy(label_count)] if settings.balance else [])]
        model.compile(optimizer, {"scores": crossentropy}, metrics={"scores": metrics}, **options)
    elif recipe.task == "localization":
        model.compile(
            optimizer,
            {
                "scores": crossentropy if label_count > 1 else no_loss,
                "box": losses.BOX_LOSSES[settings.box_loss],
            },
            loss_weights={"scores": 1.0, "box": settings.box_weight},
            metrics={
                "scores": [accuracy] if label_count > 1 else [],
                "box": [keras.metrics.MeanMetricWrapper(box_iou, name="mean_iou")],
            },
            **options,
        )
    else:
        mask_loss = losses.mask_loss(settings.mask_loss, label_count, class_weights)
        model.compile(
            optimizer, {"mask": mask_loss}, metrics={"mask": [_mask_metric(label_count)]}, **options
        )
    # Left to the first step, the optimiser's variables cost a second trace of the whole step.
    optimizer.build(model.trainable_variables)


def no_loss(true: Any, predicted: Any) -> Any:
    """Return 0 for each row `[N]`: where there is one label, there is nothing to be wrong about."""
    return 0.0 * ops.sum(predicted, axis=-1)


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


def _mask_metric(label_count: int) -> keras.metrics.Metric:
    if label_count == 2:
        # Of both classes, as in the evaluation: one name for one figure.
        return keras.metrics.BinaryIoU(target_class_ids=[0, 1], name="mean_iou")
    return keras.metrics.MeanIoU(label_count, sparse_y_pred=False, name="mean_iou")
