"""What the frozen part of a network answers, computed once, so that the rest trains in seconds.

Donahue et al., "DeCAF: A Deep Convolutional Activation Feature for Generic Visual Recognition" (ICML 2014):
what a network has learnt of many images serves other tasks as it is. Here the network is cut in two. The
backbone answers some augmented views of each image, the first of them unchanged, and is not asked again; what
learns is fitted on these answers. They are kept in memory with 16 bits. Random layers of the backbone are at
rest.
"""

import logging
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from training.datasets import Samples, Splits
from training.fit import distributed
from training.fit.pipeline import in_epochs, pipeline
from training.schema import Augmentation, Recipe

log = logging.getLogger("training")

CACHE_BYTES = 2**30
"""What is kept of all images; where their views would take more there are fewer views, or none is kept."""

HALF = np.float16
_LARGEST = float(np.finfo(HALF).max)

AT_ONCE = 32
"""So many images the backbone answers at a time."""


@dataclass(frozen=True)
class Cut:
    """A network in two parts that share its layers: `backbone`, images to a tuple of features, is computed
    once for `views` of each image; `rest`, features to the network's outputs, is fitted.
    """

    backbone: keras.Model
    rest: keras.Model
    views: int


@dataclass(frozen=True)
class Fed:
    """What a phase is fitted on: batches for training and validation."""

    train: Any
    validation: Any
    first: Callable[[], Any]
    """The batches of the very first epoch, whichever the phase begins with."""
    shown: Any = None
    """What stands for the images of the validation part, where these are not what the model takes in."""


def cut(model: keras.Model, recipe: Recipe, splits: Splits) -> Cut | None:
    """Cut the network where what learns begins; None where the recipe does not want it, where nothing is
    frozen, on several devices, or where the features of one view alone would take too much memory.
    """
    if not recipe.transfer.cached_views or not distributed.alone():
        return None
    edge = tuple(frontier(model))
    if not edge:
        return None
    each = _values(edge) * np.dtype(HALF).itemsize
    # Keras compares the structure of what it is given with this one.
    taps = edge if len(edge) > 1 else edge[0]
    room = CACHE_BYTES // each - len(splits.validation)
    views = min(recipe.transfer.cached_views, room // len(splits.train))
    if views < 1:
        log.info(
            "Features of %d images would take %.1f GB of memory: they are computed anew in each epoch.",
            len(splits.train) + len(splits.validation),
            (len(splits.train) + len(splits.validation)) * each / 1e9,
        )
        return None
    return Cut(keras.Model(model.input, taps), keras.Model(taps, model.output, name=model.name), views)


def frontier(model: keras.Model) -> list[Any]:
    """Return the tensors from which all that learns can be computed, and which hang on nothing that learns.

    Of layers without weights behind the last frozen one, those are computed once, too, that leave less to
    keep, as a pooling does. Nothing is returned where no layer with weights could be computed once.
    """
    operations = model.operations
    fixed = _fixed(operations)
    if not any(_is_weighted(op) for op in operations if id(op) in fixed):
        return []
    edge = _edge(operations, fixed)
    for op in reversed(operations):
        if id(op) not in fixed or _is_weighted(op) or isinstance(op, keras.layers.InputLayer):
            continue
        smaller = fixed - {id(op)}
        wider = _edge(operations, smaller)
        # Only an operation at the edge may go: of another, something fixed still needs the answer.
        if _is_closed(operations, smaller) and _values(wider) <= _values(edge):
            fixed, edge = smaller, wider
    return edge


def _fixed(operations: list[Any]) -> set[int]:
    """Return the operations, by their ids, that hang on nothing that learns, nor on chance.

    A dropout amid the backbone is at rest; one behind its last layer with weights belongs to what learns.
    """
    learning = {id(op) for op in operations if _is_weighted(op) and op.trainable}
    backbone = _free_of(operations, learning)
    last = max((n for n, op in enumerate(operations) if id(op) in backbone and _is_weighted(op)), default=-1)
    return _free_of(operations, learning | {id(op) for op in operations[last + 1 :] if _is_random(op)})


def _free_of(operations: list[Any], some: set[int]) -> set[int]:
    """Return the operations that are none of these, and hang on none of them."""
    free: set[int] = set()
    for op in operations:
        if id(op) not in some and all(id(each) in free for each in _behind(op)):
            free.add(id(op))
    return free


def _is_weighted(op: Any) -> bool:
    return bool(getattr(op, "weights", ()))


def _is_random(op: Any) -> bool:
    return any("seed_generator_state" in variable.path for variable in getattr(op, "variables", ()))


def _inputs(op: Any) -> list[Any]:
    """Return the tensors that an operation takes in; none of the image's own."""
    return [] if isinstance(op, keras.layers.InputLayer) else keras.tree.flatten(op.input)


def _behind(op: Any) -> list[Any]:
    """Return the operations that make what this one takes in."""
    return [tensor._keras_history.operation for tensor in _inputs(op)]


def _edge(operations: list[Any], fixed: set[int]) -> list[Any]:
    """Return what fixed operations make and others take in."""
    others = (op for op in operations if id(op) not in fixed)
    taken = (tensor for op in others for tensor in _inputs(op))
    edge = {id(tensor): tensor for tensor in taken if id(tensor._keras_history.operation) in fixed}
    return list(edge.values())


def _is_closed(operations: list[Any], fixed: set[int]) -> bool:
    """Whether fixed operations hang on fixed ones alone."""
    return all(id(each) in fixed for op in operations if id(op) in fixed for each in _behind(op))


def _values(tensors: Iterable[Any]) -> int:
    """Return how many numbers these tensors have for one image."""
    return sum(math.prod(tensor.shape[1:]) for tensor in tensors)


def feed(halves: Cut, splits: Splits, recipe: Recipe, label_count: int, epochs: tuple[int, int]) -> Fed:
    """Compute all features, and return what `halves.rest` is fitted on from the first epoch up to the second.

    Views, order and blends follow from the recipe's seed alone, so that a run that is resumed sees the same.
    """
    began = time.monotonic()
    answer = _compiled(halves.backbone)
    settings = recipe.training.model_copy(update={"batch_size": AT_ONCE})
    plain = recipe.model_copy(update={"training": settings, "augmentation": Augmentation()})
    varied = recipe.model_copy(update={"training": settings})

    def batches(samples: Samples, how: Recipe, first: int, last: int) -> Any:
        return pipeline(samples, how, label_count, training=True, epochs=(first, last))

    parts = [*_answered(answer, batches(splits.train, plain, 0, 1))]
    if halves.views > 1:
        parts += _answered(answer, batches(splits.train, varied, 1, halves.views))
    train = _joined(parts)
    held_out = pipeline(splits.validation, plain, label_count, training=False)
    validation = _joined([*_answered(answer, held_out)])
    features = keras.tree.flatten(train[0])
    log.info(
        "%d features of each of %d images in %d view(s), %.1f MB, computed once in %.1f s.",
        _values(halves.backbone.outputs),
        len(splits.train),
        halves.views,
        sum(each.nbytes for each in features) / 1e6,
        time.monotonic() - began,
    )
    count, size, seed = len(features[0]), recipe.training.batch_size, recipe.training.seed
    return Fed(
        _picked(train, in_epochs(count, seed, size, epochs)),
        _picked(validation, tf.data.Dataset.range(len(splits.validation)).batch(size)),
        lambda: _picked(train, in_epochs(count, seed, size, (0, 1))),
        keras.tree.map_structure(lambda half: half.astype(np.float32), validation[0]),
    )


def _compiled(backbone: keras.Model) -> Any:
    """Return what answers images `[N, H, W, C]`, compiled once for any number of them."""
    if keras.backend.backend() != "tensorflow":
        return lambda images: backbone.predict_on_batch(np.asarray(images))
    spec = tf.TensorSpec(backbone.input.shape, tf.float32)
    return tf.function(lambda images: backbone(images, training=False), input_signature=[spec])


def _answered(answer: Any, batches: Any) -> Iterable[Any]:
    """Yield each batch with features in the images' place."""
    for images, *rest in batches:
        features = keras.tree.map_structure(_halved, answer(images))
        yield (features, *keras.tree.map_structure(np.asarray, rest))


def _halved(values: Any) -> Any:
    whole = np.asarray(keras.ops.convert_to_numpy(values), np.float32)
    return np.clip(whole, -_LARGEST, _LARGEST).astype(HALF)


def _joined(parts: list[Any]) -> Any:
    return keras.tree.map_structure(lambda *rows: np.concatenate(rows), *parts)


def _picked(arrays: Any, order: Any) -> Any:
    """Return batches of the rows whose numbers a dataset has, alone or first.

    NumPy picks and widens them: TensorFlow would hold a copy of all, and has no quick way with 16 bits.
    """
    flat = keras.tree.flatten(arrays)
    kinds = [np.dtype(np.float32) if each.dtype == HALF else each.dtype for each in flat]

    def take(rows: Any) -> list[Any]:
        return [each[rows].astype(kind, copy=False) for each, kind in zip(flat, kinds, strict=True)]

    def pick(rows: Any, *_: Any) -> Any:
        picked = tf.numpy_function(take, [rows], kinds)
        for tensor, each in zip(picked, flat, strict=True):
            tensor.set_shape((None, *each.shape[1:]))
        return keras.tree.pack_sequence_as(arrays, picked)

    return order.map(pick, num_parallel_calls=2).prefetch(2)
