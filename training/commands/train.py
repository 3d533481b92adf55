"""The commands of `python -m training` that train: one run, or a sweep of many."""

import logging
from pathlib import Path
from typing import Annotated, Literal

import typer

from training.commands.options import (
    DataDir,
    GroupBy,
    Labels,
    MaskNumbers,
    ModelsDir,
    OwnData,
    RunsDir,
)
from training.learnable import OPTIONS, TaskOption

_ONE_OF_TWO = "--fresh starts over and --resume goes on: give one of them."


def train(  # noqa: PLR0913, PLR0915, PLR0917 - one parameter per option is how Typer is told of them
    recipe: Annotated[str | None, typer.Argument(help="A shipped recipe's name, or a .toml file.")] = None,
    data: OwnData = None,
    task: Annotated[TaskOption | None, typer.Option(help="What to learn from --data.")] = None,
    name: Annotated[str | None, typer.Option(help="The model's name; else that of --data.")] = None,
    architecture: Annotated[str | None, typer.Option(help="Instead of what fits --data.")] = None,
    size: Annotated[int | None, typer.Option(min=8, max=1024, help="Side of the model's input.")] = None,
    resize: Annotated[
        Literal["stretch", "letterbox", "crop", "tile"] | None,
        typer.Option(help="How a photo comes to that size, instead of what fits --data."),
    ] = None,
    flip: Annotated[bool | None, typer.Option(help="Mirror images in training.")] = None,
    group_by: GroupBy = None,
    masks: MaskNumbers = None,
    labels: Labels = None,
    licence: Annotated[str | None, typer.Option(help="Of --data; else private.")] = None,
    skip_broken: Annotated[
        bool | None, typer.Option("--skip-broken", help="Leave out files with faults.")
    ] = None,
    data_dir: DataDir = Path("data"),
    runs_dir: RunsDir = Path("runs"),
    epochs: Annotated[int | None, typer.Option(min=1, help="Instead of the recipe's.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=2**32 - 1, help="Instead of the recipe's.")] = None,
    weights: Annotated[
        str | None,
        typer.Option(help="`imagenet`, a file, a run, a version, a model in MODELS_DIR; or `none`."),
    ] = None,
    quick: Annotated[
        bool | None, typer.Option("--quick", help="A draft of --data in half a minute: only the head learns.")
    ] = None,
    max_minutes: Annotated[
        float | None, typer.Option(min=0.01, help="End after this time; the schedule is shortened to fit.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after the last finished epoch.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Replace the run of that name.")] = False,
    exported: Annotated[bool, typer.Option("--export", help="Export it as well, as `export` does.")] = False,
    models_dir: ModelsDir = Path("models"),
    devices: Annotated[
        Literal["one", "all", "hosts"],
        typer.Option(help="`all` GPUs of this machine, or all `hosts` of TF_CONFIG or Slurm."),
    ] = "one",
) -> None:
    """Train a recipe, or on a folder of your own, and evaluate it; its run lands in RUNS_DIR/<name>."""
    from training import schema
    from training.commands import asking
    from training.recipes import defaults, registry
    from training.recipes import weights as origins

    if fresh and resume:
        raise schema.RecipeError(_ONE_OF_TWO)
    if resume and weights is not None:
        raise schema.RecipeError("--resume goes on with the run's own weights: leave out --weights.")
    own = {
        "name": name,
        "architecture": architecture,
        "size": size,
        "resize": resize,
        "flip": flip,
        "group_by": group_by,
        "masks": masks,
        "licence": licence,
        "skip_broken": skip_broken,
        "quick": quick,
        # Where a recipe is named, its own transfer says more than the weights.
        "weights": None if recipe else weights,
    }
    chosen = asking.answered(
        lambda task, labels: defaults.choose(
            recipe, data, task, own | {"labels": labels}, runs_dir if resume else None
        ),
        OPTIONS[task] if task else None,
        labels,
    )
    # TensorFlow takes seconds to import: what is wrong with the command line is told before.
    from training import export as exporting
    from training.evaluation import evaluate as evaluation
    from training.evaluation import words
    from training.fit import distributed, loop, runs
    from training.reports import page

    chosen = registry.overridden(chosen, resume=resume, epochs=epochs, seed=seed, max_minutes=max_minutes)
    if recipe and weights is not None:
        chosen = registry.with_weights(chosen, weights)
    if not resume:
        chosen = origins.located(chosen, models_dir, runs_dir)
    registry.check_craft(chosen, recipe or chosen.name)
    folder = runs_dir / chosen.name
    if exported:
        runs.check_place(chosen, models_dir / chosen.name, "--models-dir")
    with distributed.scope(devices, folder, resume=resume) as worker:
        _log()
        run = loop.train(chosen, worker.folder, data_dir, resume=resume, fresh=fresh)
    if worker.chief:
        typer.echo(words.describe(evaluation.evaluate(run, data_dir)))
        if exported:
            # Before the report: a service takes it while that is written.
            typer.echo(exporting.export(run, models_dir))
        typer.echo(page.write(run, data_dir))


def sweep(  # noqa: PLR0913, PLR0917 - one parameter per option is how Typer is told of them
    file: Annotated[str, typer.Argument(help="A sweep's .toml file, or a shipped sweep's name.")],
    data_dir: DataDir = Path("data"),
    runs_dir: RunsDir = Path("runs"),
    address: Annotated[
        str | None,
        typer.Option(help="A Ray cluster: auto, HOST:PORT, ray://...; else this machine."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Run what has not ended, or failed.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Replace the sweep of that name.")] = False,
    max_concurrent: Annotated[int | None, typer.Option(min=1, help="Trials at a time.")] = None,
) -> None:
    """Train every combination that a sweep names, and compare them; it lands in RUNS_DIR/<name>."""
    from training.sweeps import sweep as sweeps
    from training.sweeps.plan import SweepError

    if fresh and resume:
        raise SweepError(_ONE_OF_TWO)
    chosen = sweeps.load(file)
    folder = runs_dir / chosen.name
    try:
        from training.fit.runs import held
        from training.sweeps import comparison, tuner
    except ModuleNotFoundError as error:
        raise SweepError(f"Sweeps need {error.name}: pip install -e '.[sweep]'.") from None

    with held(folder):
        tuner.prepare(chosen, folder, resume=resume, fresh=fresh)
        _log(folder / "train.log")
        with tuner.cluster(address):
            tuner.run(chosen, folder, data_dir, max_concurrent=max_concurrent)
        for page in comparison.write(folder):
            typer.echo(page)
    failed = tuner.failed(chosen, folder)
    if failed:
        raise SweepError(f"These trials failed; --resume tries them again: {', '.join(failed)}.")


def _log(file: Path | None = None) -> None:
    handlers: list[logging.Handler] = [logging.StreamHandler()]
    if file:
        handlers.append(logging.FileHandler(file))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", handlers=handlers, force=True)
