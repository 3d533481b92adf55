"""Weights from elsewhere: taking them over, and training what is new before what is old.

Yosinski et al., "How transferable are features in deep neural networks?" (NIPS 2014): the first layers of one
task serve another; its head does not.
"""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import h5py
import keras
import tensorflow as tf
from numpy.typing import NDArray

from training.schema import Recipe
from training.tasks import heads
from training.zoo import ARCHITECTURES
from training.zoo.torchfile import PretrainedError

log = logging.getLogger("training")

LAYERS = "transfer.json"
"""The file of a run that names the layers whose weights were taken over."""


VERSION = "assets.extra/manifest.json"
"""The file by which an exported version is known."""

Weight = NDArray[Any]


class TransferError(Exception):
    """Weights cannot be had, or do not fit. The text says which and what would."""


@dataclass(frozen=True)
class Phase:
    """Some epochs with one rate and one set of layers that learn; phases count from 1."""

    number: int
    epochs: int
    learning_rate: float
    frozen: bool


def phases(recipe: Recipe) -> list[Phase]:
    """Return the phases of training: the frozen one, and the one in which more learns, if there are any."""
    frozen, settings = recipe.transfer.frozen_epochs, recipe.training
    parts = (
        (frozen, recipe.transfer.frozen_learning_rate, True),
        (settings.epochs - frozen, settings.learning_rate, False),
    )
    return [Phase(number, *part) for number, part in enumerate((p for p in parts if p[0]), start=1)]


def set_trainable(model: keras.Model, recipe: Recipe, phase: Phase, taken: list[str]) -> None:
    """Let each layer learn, or not, as the phase says; to be called before compiling.

    A batch normalisation that does not learn is in inference mode: Keras ties the two together.
    TransferError where the recipe names a layer that there is not.
    """
    first = _first_unfrozen(model, recipe)
    for place, layer in enumerate(model.layers):
        frozen = (phase.frozen or place < first) and _is_backbones(layer, taken)
        layer.trainable = not frozen
    if not phase.frozen and recipe.transfer.frozen_epochs and recipe.transfer.frozen_normalisation:
        for layer in model._flatten_layers(include_self=False):
            if isinstance(layer, keras.layers.BatchNormalization) and layer.name in taken:
                layer.trainable = False


def slowed(model: keras.Model, recipe: Recipe, phase: Phase, taken: list[str]) -> list[Any]:
    """Return the variables that learn with the backbone's rate, a part of that of the others."""
    if phase.frozen or recipe.transfer.backbone_rate == 1:
        return []
    layers = [layer for layer in model.layers if _is_backbones(layer, taken)]
    return [variable for layer in layers for variable in layer.trainable_variables]


def _is_backbones(layer: keras.Layer, taken: list[str]) -> bool:
    """Whether the layer's weights were taken over and are not a head's."""
    return layer.name in taken and not heads.is_head(layer.name)


def _first_unfrozen(model: keras.Model, recipe: Recipe) -> int:
    """Return the place of the first layer that learns after the frozen epochs."""
    name = recipe.transfer.unfreeze_from
    names = [layer.name for layer in model.layers]
    if not name or name in names:
        return names.index(name) if name else 0
    weighted = ", ".join(layer.name for layer in model.layers if layer.weights)
    raise TransferError(f"transfer.unfreeze_from is {name!r}: {model.name} has {weighted}.")


def take_over(model: keras.Model, donor: keras.Model, origin: str) -> list[str]:
    """Copy the weights of every layer that has the same name and shapes in the donor; return their names."""
    return _take(model, {layer.name: layer.get_weights() for layer in donor.layers}, origin)


def _take(model: keras.Model, theirs: dict[str, list[Weight]], origin: str) -> list[str]:
    taken = []
    for layer in model.layers:
        weights = theirs.get(layer.name, [])
        if weights and [w.shape for w in weights] == [w.shape for w in layer.get_weights()]:
            layer.set_weights(weights)
            taken.append(layer.name)
    return _told(model, taken, origin)


def take_over_version(model: keras.Model, folder: Path) -> list[str]:
    """Take over what fits of an exported version, `models/<name>/<version>`."""
    return take_over(model, of_version(folder), str(folder))


def of_version(folder: Path) -> keras.Model:
    """Rebuild the network of an exported version with its weights."""
    try:
        manifest = json.loads((folder / VERSION).read_text("utf-8"))
        recipe = Recipe.model_validate(manifest["recipe"])
        donor = heads.build(recipe, len(manifest["labels"]))
        kept = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
        for number, variable in enumerate(donor.variables):
            variable.assign(kept.get_tensor(f"weights/{number}/.ATTRIBUTES/VARIABLE_VALUE"))
    except (OSError, ValueError, KeyError, TypeError, tf.errors.OpError) as error:
        reason = str(error).strip().splitlines()[0]
        raise TransferError(f"{folder} is no whole version that this package exported: {reason}") from error
    return donor


def take_over_file(model: keras.Model, path: Path) -> list[str]:
    """Take over what fits of a .keras or .weights.h5 file."""
    try:
        if path.suffix == ".keras":
            return take_over(model, keras.models.load_model(path, compile=False), str(path))
        theirs = _named_weights(path)
    except (OSError, ValueError, BadZipFile, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise TransferError(f"{path} cannot be read as .keras or .weights.h5: {reason}") from error
    return _take(model, theirs, str(path))


def _named_weights(path: Path) -> dict[str, list[Weight]]:
    """Read the weights of a .weights.h5 file by the names of their layers.

    Keras itself goes by each layer's class and place among those of its class: in another network that is
    another layer.
    """
    found: dict[str, list[Weight]] = {}
    with h5py.File(path) as file:
        for group in file["layers"].values():
            values = group["vars"]
            if "name" in values.attrs:
                found[str(values.attrs["name"])] = [values[str(n)][()] for n in range(len(values))]
    if not found:
        raise ValueError("its layers have no names; save the whole model as .keras")
    return found


def take_over_imagenet(model: keras.Model, recipe: Recipe) -> list[str]:
    """Take over the weights that are published for the architecture."""
    pretrained = ARCHITECTURES[recipe.architecture].pretrained
    if pretrained is None:
        raise TransferError(f"There are no ImageNet weights for {recipe.architecture}.")
    try:
        donor = pretrained.load(recipe.input.shape)
    except PretrainedError as error:
        raise TransferError(f"{recipe.architecture}: {error}") from error
    return take_over(model, donor, "imagenet")


def _told(model: keras.Model, taken: list[str], origin: str) -> list[str]:
    if not taken:
        raise TransferError(f"{origin} shares no layer with {model.name}: nothing would be taken over.")
    if all(heads.is_head(name) for name in taken):
        raise TransferError(
            f"{origin} shares only {', '.join(taken)} with {model.name}, a head without what feeds it: give "
            f"weights of the same architecture."
        )
    weighted = [layer.name for layer in model.layers if layer.weights]
    left = [name for name in weighted if name not in taken]
    log.info(
        "%s: weights of %d of %d layers from %s; new: %s",
        model.name,
        len(set(weighted) & set(taken)),
        len(weighted),
        origin,
        ", ".join(left) or "none",
    )
    return taken


def remember(folder: Path, taken: list[str]) -> None:
    """Note in a run's folder which layers were taken over: resuming asks for it."""
    (folder / LAYERS).write_text(json.dumps(taken) + "\n", "utf-8")


def recall(folder: Path) -> list[str]:
    """Return what `remember` noted, nothing where it did not."""
    path = folder / LAYERS
    return list(json.loads(path.read_text("utf-8"))) if path.is_file() else []
