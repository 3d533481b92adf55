"""A sensible recipe for a folder of one's own, from what lies in it.

Where a figure here is not a matter of course, it is that of the shipped recipes for photos of about the size.
"""

import re
from collections import Counter
from dataclasses import fields
from pathlib import Path
from typing import Any

from training.datasets import DatasetError, Task
from training.datasets.own.layout import list_folder, task_of
from training.datasets.own.listing import Listing
from training.datasets.reading import read_header
from training.learnable import OPTIONS
from training.recipes import rules, starting
from training.recipes.registry import load, reopen, shipped, validate
from training.recipes.starting import Asked
from training.schema import Recipe, RecipeError

SEEN_IMAGES = 40_000
"""Images that training looks at in all, repetitions included, within 10 to 100 epochs."""
UNEQUAL = 1.5
"""The largest class has so many times the images of the smallest: from here on classes are balanced."""
_GREY = frozenset(("1", "L", "LA", "I;16", "I;16B", "I"))


def choose(
    name: str | None, data: Path | None, task: Task | None, own: dict[str, Any], resume_in: Path | None
) -> Recipe:
    """Return the recipe that a command line asks for; RecipeError where it asks for none, or for two.

    It is the one called `name`, or that of the run below `resume_in` which is to go on, or one made for
    `data`; `own` are the `choices` of `for_folder`, None for what the user leaves to it. A run goes on with
    its own recipe, whatever has become of the file since.
    """
    if name is not None:
        _refuse(own | {"task": task}, "a recipe says this itself; it goes with --data and no recipe")
        if resume_in and name not in shipped() and (resume_in / name / "recipe.json").is_file():
            raise RecipeError(f"{name} is a run, not a recipe: it goes on with train --resume --name {name}.")
        recipe = load(name)
        begun = resume_in / recipe.name / "recipe.json" if resume_in else None
        if begun and begun.is_file():
            recipe = reopen(begun)
        return moved(recipe, data)
    run = own.get("name") or (_slug(data.resolve().name) if data else "")
    if resume_in and run and (resume_in / run / "recipe.json").is_file():
        _refuse(own | {"task": task, "name": None}, f"the run {run} goes on with what it began with")
        return moved(reopen(resume_in / run / "recipe.json"), data)
    if data is None and resume_in and run:
        others = sorted(path.parent.name for path in resume_in.glob("*/recipe.json"))
        raise RecipeError(f"{resume_in} holds no run {run}. There are: {', '.join(others) or 'none'}.")
    if data is None:
        raise RecipeError(
            f"Say what to train: a recipe ({', '.join(shipped())}, or a .toml file), or --data FOLDER --task "
            f"{', '.join(OPTIONS)}; with --resume, --name and the run's name."
        )
    return for_folder(data, task_of(data, task, own.get("labels") or ""), **own)


def _refuse(options: dict[str, Any], reason: str) -> None:
    given = sorted("--" + name.replace("_", "-") for name, value in options.items() if value is not None)
    if given:
        raise RecipeError(f"{', '.join(given)}: {reason}.")


def moved(recipe: Recipe, data: Path | None) -> Recipe:
    """Return the recipe with its folder at `data`, if that is given; RecipeError where it has none."""
    if data is None:
        return recipe
    if recipe.dataset != "folder":
        raise RecipeError(
            f"{recipe.name} is trained on {recipe.dataset}, not on a folder of one's own: leave out --data, "
            f"or leave out the recipe."
        )
    return recipe.model_copy(update={"data": str(data.resolve())})


def for_folder(folder: Path, task: Task, **choices: Any) -> Recipe:
    """Make a recipe for the images below `folder`; DatasetError where they are not labelled for the task.

    `choices` are what the user has chosen instead: `name`, `flip`, `resize`, `quick`, `architecture`, `size`,
    `weights` (see `starting.py` for these), and the fields of a recipe that concern such folders.

    A mirrored b is a d and a left turn a right one, so images with several class labels are mirrored only
    where `flip` says that this changes nothing; masks, and boxes of one label, are mirrored along with their
    images.
    """
    from training.tasks.registry import TASKS

    folder = folder.resolve()
    listing = list_folder(folder, task, choices.get("labels") or "")
    if not listing.items:
        faults = "\n  ".join(str(fault) for fault in listing.faults)
        raise DatasetError(f"{folder} has no image with a label that can be read:\n  {faults}")
    chosen = {key: value for key, value in choices.items() if value is not None}
    sizes, grey = _headers(listing)
    usual = TASKS[task].own
    asked = Asked(**{each.name: chosen.pop(each.name) for each in fields(Asked) if each.name in chosen})
    start = starting.choose(usual, sorted(map(min, sizes)), asked)
    rule, why = rules.choose(usual.resize, sizes)
    reasons = start.reasons if "resize" in chosen else (*start.reasons, why)
    rule = chosen.pop("resize", rule)
    fitted = {"resize": rule, "overlap": start.side // 4 if rule == "tile" else 0}
    one_label = TASKS[task].one_label_is_meant and len({item.label for item in listing.items} - {""}) == 1
    flip = chosen.pop("flip", usual.mirrored or one_label)
    training = _training(
        listing, balanced=not (TASKS[task].per_pixel or "training.balance" in TASKS[task].refused)
    )
    table = {
        "name": _slug(folder.name),
        "description": f"{len(listing.items)} images of one's own: {listing.layout}.",
        "task": task,
        "dataset": "folder",
        "data": str(folder),
        "architecture": start.architecture,
        "reasons": reasons,
        "input": {"height": start.side, "width": start.side, "channels": 1 if grey else 3} | fitted,
        "augmentation": {
            "flip": flip,
            "rotation_degrees": 10,
            "zoom": 0.2,
            "aspect": 0.1,
            "shift": 0.1,
            "brightness": 0.15,
            "contrast": 0.3,
            "saturation": 0.0 if grey else 0.3,
        },
        "training": training | start.training,
        "transfer": start.transfer,
    }
    return validate(table | chosen, str(folder))


def _headers(listing: Listing) -> tuple[list[tuple[int, int]], bool]:
    """Return the stored size of each image (width, height), and whether all are grey."""
    headers = [header for header in (read_header(item.path) for item in listing.items) if header]
    return [size for size, _, _ in headers], all(mode in _GREY for _, mode, _ in headers)


def _training(listing: Listing, *, balanced: bool) -> dict[str, Any]:
    count = max(1, len(listing.items))
    classes = Counter(item.label for item in listing.items).values()
    return {
        "epochs": min(100, max(10, SEEN_IMAGES // count)),
        "batch_size": 32 if count >= 1000 else 16 if count >= 200 else 8,
        "learning_rate": 0.002,
        "weight_decay": 0.05,
        "balance": balanced and max(classes) > UNEQUAL * min(classes),
    }


def _slug(name: str) -> str:
    """Turn a folder's name into a model's: small letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:63] or "own"
