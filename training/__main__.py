"""`python -m training`: parses and calls."""

import logging
import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def main() -> None:
    """Train small vision models on labelled images and export them for the service."""


DataDir = Annotated[
    Path, typer.Option(help="Folder with one folder per data set; what is absent is downloaded.")
]
RunsDir = Annotated[Path, typer.Option(help="Folder with one folder per run.")]
RunName = Annotated[str, typer.Argument(help="A run's folder, or its name below RUNS_DIR.")]


@app.command()
def datasets() -> None:
    """List the data sets, and how each is split."""
    from training.datasets import SOURCES

    for source in SOURCES.values():
        typer.echo(f"{source.name}: {source.title}\n    for {', '.join(source.tasks)}; {source.licence}")
        typer.echo(f"    split: {source.split_rule}\n    {source.homepage}")


@app.command()
def architectures() -> None:
    """List the architectures with the parameter counts of their backbones."""
    from training.zoo import ARCHITECTURES

    for name, architecture in ARCHITECTURES.items():
        count = architecture.build(architecture.input_shape).count_params()
        shape = "x".join(str(side) for side in architecture.input_shape)
        typer.echo(f"{name}: {architecture.title}; {count:,} parameters at {shape}")


@app.command()
def summary(
    architecture: Annotated[str, typer.Argument(help="An architecture, or a shipped recipe.")],
    labels: Annotated[int, typer.Option(min=2, help="Number of classes of the head.")] = 10,
) -> None:
    """Explain a network layer by layer: shapes, parameters, and how each number comes about."""
    from training import recipes, tasks
    from training import summary as explanation
    from training.zoo import ARCHITECTURES

    if architecture in recipes.shipped():
        recipe = recipes.load(architecture)
    elif architecture in ARCHITECTURES:
        recipe = recipes.sketch(architecture)
    else:
        raise recipes.RecipeError(
            f"There is no architecture or recipe {architecture!r}. "
            f"There are: {', '.join([*ARCHITECTURES, *recipes.shipped()])}."
        )
    typer.echo(explanation.as_text(explanation.explain(tasks.build(recipe, labels))))


@app.command()
def train(  # noqa: PLR0913, PLR0917 - one parameter per option is how Typer is told of them
    recipe: Annotated[str, typer.Argument(help="A shipped recipe's name, or a .toml file.")],
    data_dir: DataDir = Path("data"),
    runs_dir: RunsDir = Path("runs"),
    epochs: Annotated[int | None, typer.Option(min=1, help="Instead of the recipe's.")] = None,
    seed: Annotated[int | None, typer.Option(help="Instead of the recipe's.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after the last finished epoch.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete the run of that name first.")] = False,
    devices: Annotated[
        Literal["one", "all", "hosts"],
        typer.Option(help="`all` GPUs of this machine, or all `hosts` of TF_CONFIG or Slurm."),
    ] = "one",
) -> None:
    """Train a recipe and evaluate it; its run lands in RUNS_DIR/<name>."""
    from training import distributed, loop, recipes
    from training import evaluate as evaluation

    chosen = recipes.load(recipe)
    overrides = {"epochs": epochs, "seed": seed}
    changed = {key: value for key, value in overrides.items() if value is not None}
    chosen = chosen.model_copy(update={"training": chosen.training.model_copy(update=changed)})
    folder = runs_dir / chosen.name
    with distributed.scope(devices, folder, resume=resume) as place:
        if fresh:
            loop.remove(place.folder)
        _log_to(place.folder)
        run = loop.train(chosen, place.folder, data_dir, resume=resume)
    if place.chief:
        typer.echo(evaluation.describe(evaluation.evaluate(run, data_dir)))


@app.command()
def evaluate(run: RunName, data_dir: DataDir = Path("data"), runs_dir: RunsDir = Path("runs")) -> None:
    """Measure a run's best checkpoint on the test split; writes evaluation.json into the run."""
    from training import evaluate as evaluation
    from training import loop

    opened = loop.open_run(_folder(run, runs_dir))
    typer.echo(evaluation.describe(evaluation.evaluate(opened, data_dir)))


@app.command()
def export(
    run: RunName,
    models_dir: Annotated[Path, typer.Option(help="Folder that the service reads.")] = Path("models"),
    runs_dir: RunsDir = Path("runs"),
) -> None:
    """Write the run's best checkpoint as the next version of its model."""
    from training import export as exporting
    from training import loop

    typer.echo(exporting.export(loop.open_run(_folder(run, runs_dir)), models_dir))


@app.command()
def sweep(  # noqa: PLR0913, PLR0917 - one parameter per option is how Typer is told of them
    file: Annotated[str, typer.Argument(help="A sweep's .toml file, or a shipped sweep's name.")],
    data_dir: DataDir = Path("data"),
    runs_dir: RunsDir = Path("runs"),
    address: Annotated[
        str | None,
        typer.Option(help="A Ray cluster: auto, HOST:PORT, ray://...; else this machine."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Run what has not ended, or failed.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete the sweep of that name first.")] = False,
    max_concurrent: Annotated[int | None, typer.Option(min=1, help="Trials at a time.")] = None,
) -> None:
    """Train every combination that a sweep names, and compare them; it lands in RUNS_DIR/<name>."""
    from training import sweep as sweeps

    chosen = sweeps.load(file)
    folder = runs_dir / chosen.name
    try:
        from training import comparison, tuner
    except ModuleNotFoundError as error:
        raise sweeps.SweepError(f"Sweeps need {error.name}: pip install 'striate[sweep]'.") from None

    if fresh:
        tuner.remove(folder)
    tuner.prepare(chosen, folder, resume=resume)
    _log_to(folder)
    with tuner.cluster(address):
        tuner.run(chosen, folder, data_dir, max_concurrent=max_concurrent)
    for page in comparison.write(folder):
        typer.echo(page)


def _folder(run: str, runs_dir: Path) -> Path:
    return Path(run) if Path(run).is_dir() else runs_dir / run


def _log_to(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    handlers: list[logging.Handler] = [
        logging.StreamHandler(),
        logging.FileHandler(folder / "train.log"),
    ]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", handlers=handlers, force=True)


def run() -> None:
    """Run the command line; what a user can mend is told in one line, without a traceback."""
    # TensorFlow greets with a page of hints about itself.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    try:
        app()
    except Exception as error:
        if not error.__class__.__module__.startswith("training"):
            raise
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    run()
