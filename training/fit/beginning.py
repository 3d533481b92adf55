"""What a run begins with: its folder, and the weights that it starts from."""

from pathlib import Path

import keras

from training.fit import transfer
from training.fit.checkpoints import read_last
from training.fit.runs import Run, RunError, check_place, open_run
from training.schema import Recipe


def first_weights(model: keras.Model, run: Run) -> list[str]:
    """Take over the weights that the recipe starts from, if any; return the names of their layers."""
    if run.recipe.transfer.weights == "imagenet":
        return transfer.take_over_imagenet(model, run.recipe)
    path = _donor(run.recipe, run.folder)
    if path is None:
        return []
    if not path.is_dir():
        return transfer.take_over_file(model, path)
    if (path / transfer.VERSION).is_file():
        taken = transfer.take_over_version(model, path)
        keras.config.set_dtype_policy(run.recipe.training.precision)
        return taken
    donor = open_run(path).model()
    keras.config.set_dtype_policy(run.recipe.training.precision)
    return transfer.take_over(model, donor, str(path))


def _donor(recipe: Recipe, folder: Path) -> Path | None:
    """Return the file or run that the first weights come from, None where they come from neither."""
    weights = recipe.transfer.weights
    if weights == "imagenet" or not (weights or recipe.start_from):
        return None
    return Path(weights) if weights else folder.parent / recipe.start_from


def prepare(recipe: Recipe, folder: Path, *, resume: bool, fresh: bool) -> None:
    """Raise RunError where the run cannot begin, before anything is read or deleted."""
    check_place(recipe, folder, "--runs-dir")
    _check_begun(recipe, folder, resume=resume, fresh=fresh)
    donor = None if resume else _donor(recipe, folder)
    if donor is None:
        return
    if donor.resolve() == folder.resolve():
        raise RunError(
            f"The weights would come from {folder}, which this run would replace: give the new run another "
            f"name, in a recipe file of your own."
        )
    if not recipe.transfer.weights and not (donor / "recipe.json").is_file():
        raise RunError(
            f"{recipe.name} starts from the run {recipe.start_from}, and there is no {donor}: "
            f"`python -m training train {recipe.start_from}` first."
        )
    if donor.is_dir():
        if not (donor / transfer.VERSION).is_file():
            open_run(donor)
    elif not donor.is_file():
        raise transfer.TransferError(
            f"There are no weights {donor}: give imagenet, a file, a run's folder, or that of a version."
        )


def _check_begun(recipe: Recipe, folder: Path, *, resume: bool, fresh: bool) -> None:
    begun = (folder / "recipe.json").is_file()
    if begun and not (resume or fresh):
        raise RunError(
            f"{folder} holds a run already: add --resume to go on with it, or --fresh to start over."
        )
    if resume and not begun:
        others = sorted(path.parent.name for path in folder.parent.glob("*/recipe.json"))
        raise RunError(f"{folder} holds no run to resume. There are: {', '.join(others) or 'none'}.")
    epochs = len(read_last(folder / "checkpoints")[1]) if resume else 0
    if epochs > recipe.training.epochs:
        raise RunError(f"{folder} has {epochs} epochs already: --epochs must be that many at least.")
