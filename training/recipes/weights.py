"""Where a recipe's first weights lie: what `transfer.weights`, or `--weights`, may be, and which is meant."""

import logging
from collections.abc import Iterator
from pathlib import Path

from training.schema import Recipe, RecipeError

log = logging.getLogger("training")

IMAGENET = "imagenet"
RUN, VERSION = Path("recipe.json"), Path("assets.extra", "manifest.json")
"""The files by which a run's folder and a version's are known."""


def located(recipe: Recipe, models_dir: Path, runs_dir: Path) -> Recipe:
    """Return the recipe with its weights by their place, where it names them; RecipeError where none are so.

    What is meant is looked for in this order, and what else would be meant is told:
    a path to a file, to a run's folder, to a version's, or to a model's with versions in it; a model's name
    below `models_dir`, whose newest version is taken, or `name/3`; a run's name below `runs_dir`.
    """
    wanted = recipe.transfer.weights
    if wanted in ("", IMAGENET):
        return recipe
    places = list(dict.fromkeys(_places(wanted, models_dir, runs_dir)))
    if not places:
        raise RecipeError(_nowhere(wanted, models_dir, runs_dir))
    if len(places) > 1:
        others = " or ".join(map(str, places[1:]))
        log.warning("The weights %s are those of %s; for %s give that path.", wanted, places[0], others)
    transfer = recipe.transfer.model_copy(update={"weights": str(places[0])})
    return recipe.model_copy(update={"transfer": transfer})


def beside(folder: Path, weights: str) -> str:
    """Return the weights that a TOML file in `folder` states: by their place where a path from there leads to
    some, else as they are.
    """
    if weights in ("", IMAGENET):
        return weights
    path = folder / weights
    return str(path.resolve()) if next(_given(path), None) else weights


def anywhere(folder: Path, weights: str) -> str:
    """Return what `beside` does, or what a name means in `models` and `runs` of the working directory.

    For a sweep's file, whose trials run in directories of their own.
    """
    found = beside(folder, weights)
    if found != weights or weights in ("", IMAGENET):
        return found
    place = next(_places(weights, Path("models"), Path("runs")), None)
    return str(place.resolve()) if place else weights


def _places(wanted: str, models_dir: Path, runs_dir: Path) -> Iterator[Path]:
    yield from _given(Path(wanted))
    yield from _given(models_dir / wanted)
    if ((run := runs_dir / wanted) / RUN).is_file():
        yield run


def _given(path: Path) -> Iterator[Path]:
    """Give what a path leads to: itself, or the newest of the versions in it."""
    if path.is_file() or (path / RUN).is_file() or (path / VERSION).is_file():
        yield path
    elif version := _newest(path):
        yield version


def _newest(home: Path) -> Path | None:
    versions = _versions(home)
    return versions[max(versions)] if versions else None


def _versions(home: Path) -> dict[int, Path]:
    """Return the whole versions in a model's folder by their numbers; nothing where it is none."""
    if not home.is_dir():
        return {}
    named = [path for path in home.iterdir() if path.name.isdecimal()]
    return {int(path.name): path for path in named if (path / VERSION).is_file()}


def _nowhere(wanted: str, models_dir: Path, runs_dir: Path) -> str:
    home = models_dir / Path(wanted).parent
    if len(Path(wanted).parts) == 2 and (versions := _versions(home)):
        return (
            f"There is no version {wanted}: of {home.name} there are {', '.join(map(str, sorted(versions)))}."
        )
    models = sorted(path.name for path in models_dir.glob("*") if _versions(path))
    runs = sorted(path.parent.name for path in runs_dir.glob(f"*/{RUN}"))
    return (
        f"There are no weights {wanted}: give imagenet, a .keras or .weights.h5 file, the folder of a run or "
        f"of a version, a model in {models_dir} ({', '.join(models) or 'none'}), or a run in {runs_dir} "
        f"({', '.join(runs) or 'none'})."
    )
