"""A `Sweep`: one TOML file that names architectures, data sets and settings, and becomes many recipes.

    name = "lecture"                            [search]
    description = "..."                         scheduler = "asha"          # or "all", the default
                                                [[where]]
    [base]            # what all trials share   match.dataset = "cifar-10"
    task = "classification"                     set.input = { height = 32, width = 32, channels = 3 }
    training.epochs = 4
                                                [[exclude]]
    [grid]            # every combination       dataset = "mnist"
    dataset = ["mnist", "cifar-10"]             architecture = ["se-resnet"]
    training.learning_rate = [0.001, 0.004]
                                                [ranges]          # drawn `search.samples` times
                                                training.weight_decay = { low = 1e-4, high = 0.1, log = true }

Fields are a recipe's, dotted. Each combination of the grid, times each draw, is a trial: an ordinary recipe.
"""

import itertools
import re
import tomllib
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from training.recipes import registry
from training.schema import Recipe, RecipeError
from training.sweeps.plan import Match, Scalar, Sweep, SweepError, flat


def problem(recipe: Recipe) -> str:
    """Return what figures may be compared within: data, target, and any task but classification."""
    words = [recipe.data or recipe.dataset, recipe.target, recipe.task.removeprefix("classification")]
    return " ".join(filter(None, words))


@dataclass(frozen=True)
class Trial:
    """One recipe of a sweep, and the settings that set it apart (dotted field to value)."""

    recipe: Recipe
    settings: dict[str, Scalar]

    @property
    def name(self) -> str:
        """Unique in the sweep; also the name of the run's folder."""
        return self.recipe.name


def shipped() -> list[str]:
    """Return the names of the sweeps in this package."""
    folder = resources.files("training") / "sweeps"
    return sorted(item.name[:-5] for item in folder.iterdir() if item.name.endswith(".toml"))


def load(name: str) -> Sweep:
    """Return the shipped sweep of that name, or the one in the TOML file at that path."""
    path = Path(name)
    if path.suffix == ".toml" and path.is_file():
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError as error:
            raise SweepError(f"{path} cannot be read as UTF-8: {error}.") from None
        return _located(parse(text, str(path)), path.parent)
    if path.name.removesuffix(".toml") not in shipped() or len(path.parts) > 1:
        raise SweepError(
            f"There is no sweep {name!r}. There are: {', '.join(shipped())}; or give a .toml file."
        )
    stem = path.name.removesuffix(".toml")
    return parse((resources.files("training") / "sweeps" / f"{stem}.toml").read_text("utf-8"), f"{stem}.toml")


def _located(sweep: Sweep, folder: Path) -> Sweep:
    """Return the sweep with the paths that are relative to its file, wherever in it they are."""

    def table(fields: dict[str, Any]) -> dict[str, Any]:
        moved = deepcopy(fields)
        for field, value in flat(fields).items():
            if field in registry.PATHS:
                _put(moved, field, registry.PATHS[field](folder, str(value)))
        return moved

    def lists(fields: Mapping[str, Any]) -> dict[str, Any]:
        return {
            field: [registry.PATHS[field](folder, str(value)) for value in values]
            if field in registry.PATHS
            else values
            for field, values in fields.items()
        }

    where = [
        each.model_copy(update={"match": lists(each.match), "set": table(each.set)}) for each in sweep.where
    ]
    return sweep.model_copy(
        update={
            "base": table(sweep.base),
            "grid": lists(sweep.grid),
            "where": tuple(where),
            "exclude": tuple(lists(match) for match in sweep.exclude),
        }
    )


def parse(text: str, origin: str) -> Sweep:
    """Read a sweep from TOML; SweepError names the file and each field that is wrong."""
    try:
        return Sweep.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise SweepError(f"{origin} is not valid TOML: {error}") from error
    except ValidationError as error:
        raise SweepError(f"{origin}: {registry.faults(error)}") from error


def trials(sweep: Sweep) -> list[Trial]:
    """Return every trial, in a fixed order; SweepError names the first that is no valid recipe."""
    chance = np.random.default_rng(sweep.search.seed)
    points = list(_points(sweep, chance))
    _check_used("exclude", list(sweep.exclude), points)
    points = [point for point in points if not any(_matches(point, match) for match in sweep.exclude)]
    if not points:
        raise SweepError(f"{sweep.name}: [[exclude]] leaves no trial.")
    merged = [_merged(sweep.base, point) for point in points]
    _check_used("where", [where.match for where in sweep.where], list(map(flat, merged)))
    _check_free(sweep)
    width = len(str(len(points)))
    return [
        Trial(_recipe(sweep, fields, f"{number:0{width}}"), point)
        for number, (fields, point) in enumerate(zip(merged, points, strict=True), start=1)
    ]


def _points(sweep: Sweep, chance: np.random.Generator) -> Iterator[dict[str, Scalar]]:
    for values in itertools.product(*sweep.grid.values()):
        for _ in range(sweep.search.samples if sweep.ranges else 1):
            drawn: dict[str, Scalar] = {field: span.draw(chance) for field, span in sweep.ranges.items()}
            yield dict(zip(sweep.grid, values, strict=True)) | drawn


def _check_used(table: str, matches: list[Match], points: list[dict[str, Any]]) -> None:
    for number, match in enumerate(matches, start=1):
        if not any(_matches(point, match) for point in points):
            raise SweepError(f"[[{table}]] number {number} matches no trial: check its fields and values.")


def _check_free(sweep: Sweep) -> None:
    for number, where in enumerate(sweep.where, start=1):
        if taken := sorted({*sweep.grid, *sweep.ranges} & flat(where.set).keys()):
            reason = "which [grid] or [ranges] vary: exclude those trials instead"
            raise SweepError(f"[[where]] number {number} sets {taken[0]}, {reason}.")


def _matches(point: dict[str, Any], match: Match) -> bool:
    return all(field in point and point[field] in values for field, values in match.items())


def _merged(base: dict[str, Any], point: dict[str, Scalar]) -> dict[str, Any]:
    fields = deepcopy(base)
    for field, value in point.items():
        _put(fields, field, value)
    return fields


def _recipe(sweep: Sweep, fields: dict[str, Any], number: str) -> Recipe:
    for where in sweep.where:
        if _matches(flat(fields), where.match):
            for field, value in flat(where.set).items():
                _put(fields, field, value)
    words = "-".join(str(fields.get(field, "")) for field in ("dataset", "architecture"))
    name = slug(f"{number}-{words}")
    try:
        recipe = Recipe.model_validate({"description": sweep.description, **fields, "name": name})
        registry.check(recipe, f"{sweep.name}: trial {name}")
    except ValidationError as error:
        raise SweepError(f"{sweep.name}: trial {name}: {registry.faults(error)}") from error
    except RecipeError as error:
        raise SweepError(str(error)) from error
    return recipe


def slug(text: str) -> str:
    """Return the text as part of a file's or a run's name."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63].rstrip("-")


def _put(fields: dict[str, Any], field: str, value: Any) -> None:
    *parents, last = field.split(".")
    for parent in parents:
        fields = fields.setdefault(parent, {})
        if not isinstance(fields, dict):
            raise SweepError(f"{field}: {parent} is a value, not a table.")
    fields[last] = value
