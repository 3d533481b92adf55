"""How much an image is like those that a model was trained on, as a number that the model itself tells.

Looked at are the encoder's features, of every size of its maps but the smallest, each channel by its mean
over the picture; what they say is in `distance.py`. The deepest features have unlearnt what does not matter
for the task, and with it what tells another kind of image. All constants are statistics
of many images, none is an image's own.

Of images in tiles, the tiles are what it is learnt from and what it is told of; an image is as familiar as
its tiles are in the mean (`service/inference/tiles.py`), and false alarms are counted of images.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from training.datasets import Samples, Splits
from training.evaluation import stitching
from training.evaluation.distance import Array, Known, fit
from training.inputs.normalisation import normalise
from training.schema import Normalisation
from training.tasks import heads
from training.tasks.intervals import wilson

FILE = "familiarity.npz"
"""What a run keeps of it."""

NAME = "familiarity"
MEANING = (
    "share of the validation images that look at least as unusual to the network; near 0: of another kind"
)

TOLERANCE = 0.05
"""How far a served familiarity may be from training's, at most: bfloat16 moves distances by a hundredth."""
_LEAST_TOLERANCE = 0.0005

FEWEST = 20
"""Of fewer validation images a share says too little: the model does not tell it then."""

_AT_ONCE = 2**20
"""So many pixels are looked at together: all layers' maps of them are in memory at a time."""

MOST = 2048
"""So many images of a split are looked at, by chance: more change the statistics by less than their error."""


def learn(model: keras.Model, rule: Normalisation, splits: Splits) -> Known | None:
    """Fit what a trained network knows its kind by: training images give the distance, validation the scale.

    None where there are too few validation images for a share to mean anything.
    """
    if len(splits.validation) < FEWEST:
        return None
    layers = looked_at(model)
    train = features(model, layers, rule, splits.train)
    return fit(layers, train, features(model, layers, rule, splits.validation))


def looked_at(model: keras.Model) -> tuple[str, ...]:
    """Return the layers whose features count: the last one of each size of the encoder's maps, but for the
    smallest, where there is another; where a network makes no maps, the last before its head.
    """
    maps: list[tuple[int, str]] = []
    learned = False
    for operation in model.operations:
        learned = learned or bool(getattr(operation, "weights", ()))
        shape = operation.output.shape
        if not learned or len(shape) != 4 or isinstance(operation, keras.layers.Dropout):
            continue
        area = shape[1] * shape[2]
        # One value per channel is a gate, or no picture any more.
        if area > 1 and not heads.is_head(operation.name):
            maps.append((area, operation.name))
    if not maps:
        return (str(heads.label_layer(model).input._keras_history.operation.name),)
    least = min(area for area, _ in maps)
    deepest = max(place for place, (area, _) in enumerate(maps) if area == least)
    # A decoder's maps come behind the smallest; of equal areas the last stays.
    last = dict(maps[: deepest + 1])
    return tuple(name for area, name in last.items() if area > least or len(last) == 1)


def features(model: keras.Model, layers: tuple[str, ...], rule: Normalisation, samples: Samples) -> Array:
    """Return the features `[N, D]` of the samples, of `MOST` of them by chance where there are more.

    Of images in tiles all are looked at, as their mean is of all.
    """
    rows = np.arange(len(samples))
    if len(rows) > MOST and samples.tilings is None:
        rows = np.sort(np.random.default_rng(0).permutation(rows)[:MOST])
    looked = keras.Model(model.input, _pooled(model, layers))
    size = max(1, min(64, _AT_ONCE // (samples.images.shape[1] * samples.images.shape[2])))
    found = [
        ops.convert_to_numpy(looked(normalise(samples.images[some], rule), training=False))
        for some in np.array_split(rows, -(-len(rows) // size))
    ]
    return np.concatenate(found).astype(np.float32)


def _pooled(model: keras.Model, layers: tuple[str, ...]) -> Any:
    outputs = {operation.name: operation.output for operation in model.operations}
    means = [
        ops.mean(ops.cast(map_, "float32"), axis=(1, 2)) if len(map_.shape) == 4 else map_
        for map_ in (outputs[name] for name in layers)
    ]
    return means[0] if len(means) == 1 else ops.concatenate(means, axis=-1)


def told(known: Known, found: Array, split: str) -> dict[str, Any]:
    """Return what is told of it, as plain data: how it comes about, and how many of the split's images
    `found` `[N]` says are unlike: false alarms, as they are of the model's own kind.
    """
    below = int((found < known.level).sum())
    return {
        "layers": list(known.layers),
        "features": len(known.mean),
        "dimensions": known.basis.shape[1],
        "centres": len(known.centres),
        "trained_on": known.trained_on,
        "calibrated_on": known.calibrated_on,
        "level": known.level,
        "split": split,
        "count": len(found),
        "false_alarms": below / len(found),
        "interval": wilson(below, len(found)),
    }


def describe(facts: dict[str, Any]) -> str:
    """Return in a sentence when an image is unlike, and how often that is wrong."""
    low, high = facts["interval"]
    return (
        f"familiarity, by {facts['calibrated_on']:,} validation images: below {facts['level']:g}, a false "
        f"alarm for {facts['false_alarms']:.4f} [{low:.4f}, {high:.4f}] of {facts['count']:,} "
        f"{facts['split']} images"
    )


def measure(
    known: Known, model: keras.Model, rule: Normalisation, samples: Samples, split: str
) -> dict[str, Any]:
    """Return what is told of it, measured on samples that it was not fitted on."""
    found = known.tell(features(model, known.layers, rule, samples))
    return told(known, stitching.means(found, samples), split)


def tolerance(answers: Array) -> float:
    """Return how far a served familiarity may be off, by the golden answers `[N]`: by half of the largest at
    most, as drawn pictures are unlike photos, so that one who tells 0 of everything does not pass.
    """
    half = float(answers.max()) / 2
    return TOLERANCE if half < _LEAST_TOLERANCE else min(TOLERANCE, half)


def added(model: keras.Model, known: Known | None) -> keras.Model:
    """Return the model with the output `familiarity` `[N]` beside its own, over the same variables."""
    if known is None:
        return model
    told_by = _Familiarity(known)(_pooled(model, known.layers))
    return keras.Model(model.input, {**model.output, NAME: told_by}, name=model.name)


class _Familiarity(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
    """Features to familiarity. It has no weights: statistics are no parameters, and are never trained."""

    def __init__(self, known: Known) -> None:
        super().__init__(name=NAME, dtype="float32", trainable=False)
        self._known = known

    def call(self, features: Any) -> Any:
        """Return the familiarity `[N]` of features `[N, D]`."""
        return self._known.familiarity(features)


def write(folder: Path, known: Known | None) -> None:
    """Keep in a run's folder what `learn` found, or that it found nothing."""
    path = folder / FILE
    path.unlink(missing_ok=True)
    if known is not None:
        np.savez_compressed(path, **asdict(known))


def read(folder: Path) -> Known | None:
    """Return what `write` kept; None where there is nothing."""
    path = folder / FILE
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as kept:
        table: dict[str, Any] = {name: kept[name] for name in kept.files}
    table["layers"] = tuple(map(str, table["layers"]))
    return Known(**table | {name: int(table[name]) for name in ("trained_on", "calibrated_on")})
