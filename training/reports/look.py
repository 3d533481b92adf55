"""What a network looks at: feature maps and Grad-CAM of chosen layers, for one image."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from training.datasets.reading import read_image
from training.evaluation import evaluate
from training.fit.runs import Run, check_place
from training.inputs.normalisation import normalise
from training.reports.report import new_figure
from training.tasks import grouping, heads
from training.tasks.pictures import Picture, enlarge
from training.tasks.registry import TASKS
from training.tasks.task import Outputs, TrainedTask

MAPS = 16
"""So many channels of a layer are shown: those that answer most."""


class LayerError(Exception):
    """A layer or label does not exist, or has nothing to show. The text names those that do."""


def layers_with_maps(model: keras.Model) -> list[str]:
    """Return the names of the layers whose output is a map of more than one place, in order."""
    return [layer.name for layer in model.layers if _places(layer) > 1]


def deepest(model: keras.Model) -> str:
    """Return the last layer before the head on the coarsest map that a convolution makes: it sees most and
    still knows where. What the branches of a block have found comes together there.

    A network without convolutions has none: LayerError.
    """
    found = [layer for layer in model.layers if _places(layer) > 1 and not heads.is_head(layer.name)]
    sizes = [_places(layer) for layer in found if hasattr(layer, "kernel_size")]
    if not sizes:
        raise LayerError(f"{model.name} has no convolution whose output is a map.")
    return str([layer.name for layer in found if _places(layer) == min(sizes)][-1])


def _places(layer: keras.Layer) -> int:
    """Return the number of places of a layer's map, 0 where its output is none."""
    shape = layer.output.shape
    return shape[1] * shape[2] if len(shape) == 4 else 0


def check(model: keras.Model, layers: list[str]) -> None:
    """Raise LayerError unless each layer's output is a map."""
    known = layers_with_maps(model)
    for layer in layers:
        if layer not in known:
            raise LayerError(f"{model.name} has no map at {layer!r}; there are: {', '.join(known)}.")


def feature_maps(model: keras.Model, tensors: Any, layer: str) -> NDArray[np.float32]:
    """Return a layer's output `[N, h, w, C]` for normalised images."""
    check(model, [layer])
    part = keras.Model(model.input, model.get_layer(layer).output)
    maps: NDArray[np.float32] = keras.ops.convert_to_numpy(part(tensors, training=False))
    return maps.astype(np.float32)


def has_gradients() -> bool:
    """Return whether Keras runs on TensorFlow, whose gradients `grad_cam` takes."""
    return str(keras.backend.backend()) == "tensorflow"


def grad_cam(model: keras.Model, tensors: Any, layer: str, label: int) -> NDArray[np.float32]:
    """Return where the layer speaks for the label, `[N, h, w]` in 0..1, for normalised images.

    Selvaraju et al., "Grad-CAM" (ICCV 2017), equations 1 and 2: channels weighed by the mean gradient of the
    label's logit, negative sums dropped. For masks the logit is summed over all pixels (Vinogradova et al.,
    "Towards Interpretable Semantic Segmentation via Gradient-weighted Class Activation Mapping", 2020).
    """
    check(model, [layer])
    if not has_gradients():
        raise LayerError("Grad-CAM needs gradients of TensorFlow: unset KERAS_BACKEND.")
    head = heads.label_layer(model)
    parts = keras.Model(model.input, [model.get_layer(layer).output, head.input])
    kernel, *bias = head.get_weights()
    tensors = tf.convert_to_tensor(tensors)
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        maps, features = parts(tensors, training=False)
        # Before the softmax, whose gradient vanishes where the answer is sure.
        logits = tf.cast(features, tf.float32) @ kernel.reshape(kernel.shape[-2:])
        logits += bias[0] if bias else 0.0
        chosen = logits[..., 0] * (2 * label - 1) if logits.shape[-1] == 1 else logits[..., label]
        total = tf.reduce_sum(chosen)
    slopes = tape.gradient(total, maps)
    if slopes is None:
        raise LayerError(f"The labels' scores do not come from {layer!r}: it has no Grad-CAM.")
    weights = tf.reduce_mean(slopes, axis=(1, 2), keepdims=True)
    heat = np.asarray(tf.nn.relu(tf.reduce_sum(tf.cast(weights * maps, tf.float32), axis=-1)))
    return np.asarray(heat / np.maximum(heat.max(axis=(1, 2), keepdims=True), 1e-12), np.float32)


def warm(image: Picture, heat: NDArray[np.float32]) -> Picture:
    """Lay heat `[h, w]` in 0..1 over an RGB image of any size: blue is cold, red is hot."""
    import cv2

    height, width = image.shape[:2]
    fitted = np.clip(cv2.resize(heat, (width, height), interpolation=cv2.INTER_LINEAR), 0, 1)
    hues = cv2.applyColorMap((fitted * 255).astype(np.uint8), cv2.COLORMAP_JET)[..., ::-1]
    return np.asarray(image * 0.55 + hues * 0.45, np.uint8)


def strongest(maps: NDArray[np.float32], count: int = MAPS) -> list[Picture]:
    """Return the channels of `[h, w, C]` with the largest mean, as grey pictures from their least to most."""
    order = np.argsort(-maps.mean(axis=(0, 1)), kind="stable")[:count]
    pictures = []
    for channel in order:
        values = maps[..., channel]
        span = max(float(values.max() - values.min()), 1e-12)
        pictures.append(((values - values.min()) / span * 255).astype(np.uint8))
    return pictures


def answered(task: TrainedTask, outputs: Outputs, label_count: int) -> int:
    """Return the label that one image's outputs `[1, ...]` speak for; of a mask its commonest but 0."""
    first = int(task.per_pixel)
    return int(task.shares(outputs, label_count)[first:].argmax()) + first


def look(run: Run, image: Path, layers: list[str], label: str, picture: Path) -> None:
    """Draw the answer for an image file, and of each layer the feature maps and Grad-CAM, into `picture`.

    Without layers the deepest one; without a label the one that was answered.
    """
    if picture.suffix.lower() != ".png" or not picture.parent.is_dir():
        raise LayerError(f"The picture cannot be {picture}: give a .png file in a folder that there is.")
    if picture.resolve() == image.resolve():
        raise LayerError(f"The picture would replace {image}: give --output another name.")
    check_place(run.recipe, picture, "--output")
    if label and label not in run.labels:
        raise LayerError(f"There is no label {label!r}; there are: {', '.join(run.labels)}.")
    shape = run.recipe.input
    pixels = read_image(image, shape, shape.channels)
    model = evaluate.calibrated(run)
    layers = layers or [deepest(model)]
    check(model, layers)
    tensors = normalise(pixels[None], shape.normalisation)
    outputs = evaluate.answer(model, run, pixels[None])
    task = TASKS[run.recipe.task]
    index = run.labels.index(label) if label else answered(task, outputs, len(run.labels))
    rows = []
    for layer in layers:
        maps = feature_maps(model, tensors, layer)[0]
        # Nothing speaks for the only label there is.
        speaks = len(run.labels) > 1
        heat = grad_cam(model, tensors, layer, index)[0] if speaks else np.zeros_like(maps[..., 0])
        rows.append((layer, maps, heat))
    title = "share of pixels" if task.per_pixel else "score"
    shown = _Shown(
        task.draw(enlarge(pixels, 320), outputs, None),
        _largest(task.shares(outputs, len(run.labels)), run.labels),
        f"{title}; {grouping.words(outputs['scores'][0], run.groups)}" if run.groups else title,
    )
    _draw(shown, rows, (picture, run.labels[index]))


@dataclass(frozen=True)
class _Shown:
    """An answer: the image with what is drawn on it, the labels with a number each, and what that is."""

    image: Picture
    shares: list[tuple[str, float]]
    title: str


def _draw(
    shown: _Shown,
    rows: list[tuple[str, NDArray[np.float32], NDArray[np.float32]]],
    target: tuple[Path, str],
) -> None:
    picture, label = target
    figure = new_figure(9, 3 + 3 * len(rows))
    first, *others = figure.subfigures(1 + len(rows), 1, squeeze=False).ravel()
    left, right = first.subplots(1, 2)
    left.imshow(shown.image)
    left.set_axis_off()
    names, shares = zip(*shown.shares, strict=True)
    right.barh(names, shares, color="#e67e04")
    right.set(xlim=(0, 1), title=shown.title)
    right.invert_yaxis()
    for part, (layer, maps, heat) in zip(others, rows, strict=True):
        size = f"{maps.shape[-1]} maps of {maps.shape[0]}x{maps.shape[1]}"
        part.suptitle(f"{layer}: {size}; Grad-CAM for {label}")
        grid = part.subplots(2, 6, gridspec_kw={"width_ratios": [2, 1, 1, 1, 1, 1]})
        for axes in grid.ravel():
            axes.set_axis_off()
        big = part.add_subplot(grid[0, 0].get_gridspec()[:, 0])
        big.imshow(warm(shown.image, heat))
        big.set_axis_off()
        for axes, channel in zip(grid[:, 1:].ravel(), strongest(maps, 10), strict=False):
            axes.imshow(channel, cmap="viridis")
    figure.savefig(picture, dpi=110, metadata={"Software": None})


def _largest(shares: NDArray[Any], labels: tuple[str, ...]) -> list[tuple[str, float]]:
    """Return up to ten labels with their shares `[K]`; the largest first."""
    order = np.argsort(-shares, kind="stable")[:10]
    return [(labels[index], float(shares[index])) for index in order]
