"""Networks with a task's head and goal, on any backbone; see `task.py` for what differs by task."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import layers

from training.schema import Recipe
from training.tasks.registry import TASKS
from training.zoo import ARCHITECTURES


def monitor(recipe: Recipe, history: Sequence[Mapping[str, float]] = ()) -> str:
    """Return the validation figure, higher is better, that chooses the checkpoint of this recipe.

    A `history` from before there was that of balanced classes has been chosen by the other one.
    """
    task = TASKS[recipe.task]
    if not (recipe.training.balance and task.balanced_monitor):
        return task.monitor(recipe.training)
    known = not history or any(task.balanced_monitor in row for row in history)
    return task.balanced_monitor if known else task.monitor(recipe.training)


FIGURES = {name: figure for task in TASKS.values() for name, figure in task.figures.items()}
"""History's names of evaluation's figures, where they differ."""


def build(recipe: Recipe, label_count: int) -> keras.Model:
    """Build the whole network, untrained: normalised images `[N, H, W, C]` to the task's outputs."""
    backbone = ARCHITECTURES[recipe.architecture].build(recipe.input.shape)
    for layer in backbone.layers:
        if isinstance(layer, layers.Dropout):
            layer.rate *= recipe.training.dropout_scale
    outputs = TASKS[recipe.task].head(backbone, label_count, recipe.training)
    return keras.Model(backbone.input, outputs, name=recipe.name)


def answer(model: keras.Model, recipe: Recipe, images: Any) -> dict[str, Any]:
    """Return the network's outputs for normalised images `[N, H, W, C]`."""
    return TASKS[recipe.task].answer(model(images, training=False), recipe.training)


_HEADS = {"head", *(name for task in TASKS.values() for name in task.outputs)}


def is_head(name: str) -> bool:
    """Whether the layer of that name belongs to a task's head, and not to the backbone.

    A head's layers are called by the output that they make, such as `box` or `box_dense`, or `head_`.
    """
    return name.partition("_")[0] in _HEADS


def label_layer(model: keras.Model) -> keras.Layer:
    """Return the layer that makes the probabilities of the labels; its kernel and bias make the logits."""
    names = {task.label_output for task in TASKS.values()}
    return next(layer for layer in model.layers if layer.name in names)


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
    goal = TASKS[recipe.task].goal(recipe.training, label_count, class_weights)
    model.compile(optimizer, **goal, **options)
    # Left to the first step, the optimiser's variables cost a second trace of the whole step.
    optimizer.build(model.trainable_variables)
