"""Recipes: one TOML file per shipped model in `recipes/`, read, checked and changed. See `schema.py`."""

import tomllib
from collections.abc import Callable
from importlib import resources
from operator import attrgetter
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from training.datasets import SOURCES
from training.recipes import weights as origins
from training.schema import Augmentation, Input, Recipe, RecipeError, Training, Transfer


def shipped() -> list[str]:
    """Return the names of the recipes in this package."""
    folder = resources.files("training") / "recipes"
    return sorted(item.name[:-5] for item in folder.iterdir() if item.name.endswith(".toml"))


def load(name: str) -> Recipe:
    """Return the recipe of that name, or the one in the TOML file at that path."""
    path = Path(name)
    if path.suffix == ".toml":
        if not path.is_file():
            raise RecipeError(f"There is no recipe file {path}.")
        try:
            recipe = parse(path.read_text("utf-8"), str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"{path} cannot be read as UTF-8: {error}.") from None
        return located(recipe, path.parent)
    if name not in shipped():
        raise RecipeError(
            f"There is no recipe {name!r}. There are: {', '.join(shipped())}; or give a .toml file."
        )
    text = (resources.files("training") / "recipes" / f"{name}.toml").read_text("utf-8")
    return parse(text, f"{name}.toml")


def reopen(path: Path) -> Recipe:
    """Read the recipe.json of a run; RecipeError where it is of another version, or not whole."""
    try:
        recipe = Recipe.model_validate_json(path.read_text("utf-8"))
    except ValidationError as error:
        raise RecipeError(f"{path} is of another version, or not whole: {faults(error)}.") from None
    # A file that was changed by hand is a recipe like any other.
    check(recipe, str(path))
    return recipe


def _data_beside(folder: Path, data: str) -> str:
    return str((folder / data).resolve()) if data else ""


PATHS: dict[str, Callable[[Path, str], str]] = {
    "data": _data_beside,
    "transfer.weights": origins.anywhere,
}
"""The fields of a sweep's file that hold paths; each function takes that file's folder and the path in it."""


def located(recipe: Recipe, folder: Path) -> Recipe:
    """Return the recipe of a TOML file in `folder`, with the paths that are relative to it."""
    found = origins.beside(folder, recipe.transfer.weights)
    transfer = recipe.transfer.model_copy(update={"weights": found})
    return recipe.model_copy(update={"data": _data_beside(folder, recipe.data), "transfer": transfer})


def parse(text: str, origin: str) -> Recipe:
    """Read a recipe from TOML; RecipeError names the file and each field that is wrong."""
    try:
        return validate(tomllib.loads(text), origin)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{origin} is not valid TOML: {error}") from error


def validate(fields: dict[str, Any], origin: str) -> Recipe:
    """Make a recipe of its fields; RecipeError names each that is wrong."""
    try:
        recipe = Recipe.model_validate(fields)
    except ValidationError as error:
        raise RecipeError(f"{origin}: {faults(error)}") from error
    check(recipe, origin)
    return recipe


def faults(error: ValidationError) -> str:
    """Return each wrong field and what is wrong with it, in one line."""
    return "; ".join(_fault(fault["loc"], fault["type"], fault["msg"]) for fault in error.errors())


def _fault(place: tuple[int | str, ...], kind: str, message: str) -> str:
    name = ".".join(map(str, place))
    if kind == "string_pattern_mismatch" and name == "name":
        return "name: give small letters, digits and hyphens, such as my-photos"
    tables: dict[tuple[int | str, ...], type[BaseModel]] = {
        (): Recipe,
        ("input",): Input,
        ("augmentation",): Augmentation,
        ("training",): Training,
        ("transfer",): Transfer,
    }
    if kind == "extra_forbidden" and place[:-1] in tables:
        return f"{name}: there is no such setting; there are {', '.join(tables[place[:-1]].model_fields)}"
    return f"{name}: {message}"


def check(recipe: Recipe, origin: str) -> None:
    """Raise RecipeError where data set, task and architecture do not go together."""
    from training.zoo import ARCHITECTURES

    if recipe.dataset not in SOURCES:
        raise RecipeError(f"{origin}: no data set {recipe.dataset!r}; there are {', '.join(SOURCES)}.")
    if (recipe.dataset == "folder") != bool(recipe.data):
        raise RecipeError(
            f'{origin}: one\'s own images need both dataset = "folder" and data = "where/they/lie"; '
            f"here are dataset = {recipe.dataset!r} and data = {recipe.data!r}."
        )
    tasks = SOURCES[recipe.dataset].tasks
    if recipe.task not in tasks:
        raise RecipeError(
            f"{origin}: the data set {recipe.dataset} is for {', '.join(tasks)}, not {recipe.task}."
        )
    if recipe.architecture not in ARCHITECTURES:
        raise RecipeError(
            f"{origin}: no architecture {recipe.architecture!r}; there are {', '.join(ARCHITECTURES)}."
        )
    check_craft(recipe, origin)


def overridden(recipe: Recipe, *, resume: bool, **training: Any) -> Recipe:
    """Return the recipe with other settings of training, but for those that are None.

    Of other epochs, those whose features are cached have the same part, and so has fine-tuning; but not in a
    run that goes on.
    """
    changed = {key: value for key, value in training.items() if value is not None}
    before, frozen = recipe.training.epochs, recipe.transfer.frozen_epochs
    recipe = recipe.model_copy(update={"training": recipe.training.model_copy(update=changed)})
    epochs = recipe.training.epochs
    if resume or not (frozen and recipe.transfer.cached_views) or epochs == before:
        return recipe
    part = epochs if frozen == before else max(1, min(epochs - 1, round(epochs * frozen / before)))
    return recipe.model_copy(update={"transfer": recipe.transfer.model_copy(update={"frozen_epochs": part})})


def with_weights(recipe: Recipe, weights: str) -> Recipe:
    """Return the recipe started from these weights, or from none.

    Where it says nothing of frozen epochs, they are the first fifth, at the recipe's rate; the others have a
    fifth of that rate.
    """
    if weights == "none":
        return recipe.model_copy(update={"transfer": Transfer(), "start_from": ""})
    table: dict[str, object] = {"weights": weights}
    training = recipe.training
    if not recipe.transfer.frozen_epochs and training.epochs > 1:
        rate = training.learning_rate
        table |= {"frozen_epochs": -(-training.epochs // 5), "frozen_learning_rate": rate}
        training = training.model_copy(update={"learning_rate": rate / 5})
    transfer = recipe.transfer.model_copy(update=table)
    return recipe.model_copy(update={"transfer": transfer, "training": training})


def check_craft(recipe: Recipe, origin: str) -> None:
    """Raise RecipeError where settings of training contradict the task or each other."""
    from training.tasks.registry import TASKS

    _check_network(recipe, origin)
    _check_rule(recipe, origin)
    for name, why in TASKS[recipe.task].refused.items():
        if attrgetter(name)(recipe):
            raise RecipeError(f"{origin}: {name} {why}")
    if recipe.training.keep == "last" and recipe.training.patience:
        raise RecipeError(
            f"{origin}: training.patience waits for a better epoch, and training.keep = 'last' for none: "
            "leave one of them out."
        )
    frozen = recipe.transfer.frozen_epochs
    if frozen and not (recipe.transfer.weights or recipe.start_from):
        raise RecipeError(f"{origin}: transfer.frozen_epochs needs weights to freeze: give transfer.weights.")
    if frozen > recipe.training.epochs:
        raise RecipeError(
            f"{origin}: transfer.frozen_epochs is {frozen}: it must not be more than "
            f"training.epochs, {recipe.training.epochs}."
        )
    if recipe.transfer.cached_views and not frozen and not recipe.transfer.unfreeze_from:
        raise RecipeError(
            f"{origin}: transfer.cached_views needs something frozen: give transfer.frozen_epochs or "
            f"transfer.unfreeze_from."
        )


def _check_rule(recipe: Recipe, origin: str) -> None:
    """Raise RecipeError where the resize rule would leave something to be answered without being seen."""
    shape = recipe.input
    if shape.resize == "crop" and recipe.request.truth == "mask":
        raise RecipeError(
            f'{origin}: input.resize = "crop" leaves pixels unseen of which a mask has to say something: '
            f'choose "letterbox" or "stretch".'
        )
    if shape.crop_share != 1 and shape.resize != "crop":
        raise RecipeError(f'{origin}: input.crop_share goes with resize = "crop", not with "{shape.resize}".')
    _check_tiles(recipe, origin)
    if shape.resize == "letterbox" and shape.normalisation == "light-on-dark":
        raise RecipeError(
            f'{origin}: input.normalisation = "light-on-dark" looks at the border, which "letterbox" fills '
            f'with grey: choose "stretch" or "crop".'
        )


def _check_tiles(recipe: Recipe, origin: str) -> None:
    shape = recipe.input
    if shape.overlap and shape.resize != "tile":
        raise RecipeError(f'{origin}: input.overlap goes with resize = "tile", not with "{shape.resize}".')
    if 2 * shape.overlap > min(shape.height, shape.width):
        raise RecipeError(f"{origin}: input.overlap is {shape.overlap}: it can be half of a side at most.")
    if shape.resize != "tile":
        return
    if recipe.request.truth != "mask":
        raise RecipeError(f'{origin}: input.resize = "tile" is for segmentation, not for {recipe.task}.')
    if not SOURCES[recipe.dataset].tiles:
        able = ", ".join(name for name, source in SOURCES.items() if source.tiles)
        raise RecipeError(f'{origin}: input.resize = "tile" is for {able}, not for {recipe.dataset}.')


def _check_network(recipe: Recipe, origin: str) -> None:
    from training.zoo import ARCHITECTURES, ArchitectureError

    architecture = ARCHITECTURES[recipe.architecture]
    try:
        architecture.size.check(architecture.name, recipe.input.shape)
    except ArchitectureError as error:
        raise RecipeError(f"{origin}: {error}") from None
    if recipe.transfer.weights == "imagenet" and architecture.pretrained is None:
        known = [each.name for each in ARCHITECTURES.values() if each.pretrained]
        raise RecipeError(
            f"{origin}: there are no ImageNet weights for {architecture.name}, but for {', '.join(known)}: "
            f"choose one of these with --architecture, or give a file or a run's folder."
        )


def resize(shape: Input, size: str) -> Input:
    """Return the input at `size`, HEIGHTxWIDTH or HEIGHTxWIDTHxCHANNELS; as it is where that is empty."""
    if not size:
        return shape
    try:
        height, width, *rest = (int(side) for side in size.lower().split("x"))
        (channels,) = rest or (shape.channels,)
        return Input.model_validate(
            {**shape.model_dump(), "height": height, "width": width, "channels": channels}
        )
    except ValueError:
        raise RecipeError(
            f"{size!r} is no size: give HEIGHTxWIDTHxCHANNELS, each side 8 to 1024, 1 or 3 channels."
        ) from None


def sketch(architecture: str) -> Recipe:
    """Return a recipe that only says enough to build the architecture with the head it is made for."""
    from training.zoo import ARCHITECTURES

    height, width, channels = ARCHITECTURES[architecture].input_shape
    task, dataset = ("segmentation", "nuclei") if "unet" in architecture else ("classification", "mnist")
    return Recipe.model_validate(
        {
            "name": architecture,
            "description": ARCHITECTURES[architecture].title,
            "task": task,
            "dataset": dataset,
            "architecture": architecture,
            "input": {"height": height, "width": width, "channels": channels},
            "training": {"epochs": 1, "batch_size": 1, "learning_rate": 1e-3},
        }
    )
