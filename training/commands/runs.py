"""The commands of `python -m training` on what is trained: measure it, show it, export it, answer with it."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from training.commands.options import DataDir, ModelsDir, OwnData, RunName, RunsDir


def evaluate(
    run: RunName,
    data: OwnData = None,
    data_dir: DataDir = Path("data"),
    runs_dir: RunsDir = Path("runs"),
    split: Annotated[Literal["test", "validation"], typer.Option(help="The samples to measure on.")] = "test",
) -> None:
    """Calibrate a run's best checkpoint on validation and measure it; writes evaluation.json into the run.

    --data says where a folder of your own lies now, where it was moved since training.
    """
    from training.evaluation import evaluate as evaluation
    from training.evaluation import words
    from training.fit.runs import open_run
    from training.recipes import defaults

    opened = open_run(_folder(run, runs_dir))
    opened = replace(opened, recipe=defaults.moved(opened.recipe, data))
    typer.echo(words.describe(evaluation.evaluate(opened, data_dir, split)))


def report(
    run: RunName, data: OwnData = None, data_dir: DataDir = Path("data"), runs_dir: RunsDir = Path("runs")
) -> None:
    """Write an evaluated run as one HTML file, report.html in its folder.

    --data says where a folder of your own lies now, where it was moved since training.
    """
    from training.fit.runs import open_run
    from training.recipes import defaults
    from training.reports import page

    opened = open_run(_folder(run, runs_dir))
    typer.echo(page.write(replace(opened, recipe=defaults.moved(opened.recipe, data)), data_dir))


def look(
    run: RunName,
    image: Annotated[Path, typer.Argument(help="An image file.")],
    runs_dir: RunsDir = Path("runs"),
    layer: Annotated[list[str] | None, typer.Option(help="Repeat for several; else the deepest.")] = None,
    label: Annotated[str, typer.Option(help="Explain this label instead of the answer.")] = "",
    output: Annotated[Path, typer.Option(help="The picture to write.")] = Path("look.png"),
) -> None:
    """Draw what a run answers for an image, its layers' feature maps, and where they look (Grad-CAM)."""
    from training.fit.runs import open_run
    from training.reports import look as looking

    looking.look(open_run(_folder(run, runs_dir)), image, layer or [], label, output)
    typer.echo(output)


def predict(  # noqa: PLR0913, PLR0917 - one parameter per option is how Typer is told of them
    photos: Annotated[list[Path], typer.Argument(help="Photos, and folders of them.")],
    model: Annotated[
        str, typer.Option(help="A name in MODELS_DIR, a version's folder, or a run's folder or name.")
    ],
    to: Annotated[
        Path | None,
        typer.Option(help="A .csv, a .json as the service answers, a folder for pictures; else the screen."),
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="The least score that counts, instead of the model's.")
    ] = None,
    top_k: Annotated[int, typer.Option(min=1, help="Of classes, so many at most in a .json.")] = 5,
    max_objects: Annotated[
        int | None,
        typer.Option(min=1, max=10_000, help="Of all objects of a photo, so many at most, the best."),
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help="Objects of these labels alone, separated by commas.")
    ] = None,
    tile: Annotated[
        int | None,
        typer.Option(min=64, max=4096, help="Look at parts of a large photo, of so many pixels' width."),
    ] = None,
    models_dir: ModelsDir = Path("models"),
    runs_dir: RunsDir = Path("runs"),
) -> None:
    """Answer photos without a server, with the answers that it would give; exit code 1 if one is broken."""
    from training.prediction import predict as predicting

    asked = predicting.Asked(
        tuple(photos),
        model,
        to,
        threshold,
        top_k,
        max_objects=max_objects,
        labels=labels,
        tile=tile,
        models_dir=models_dir,
        runs_dir=runs_dir,
    )
    told = predicting.predict(asked)
    typer.echo(predicting.describe(told, to), err=True)
    raise typer.Exit(1 if told.broken else 0)


def export(run: RunName, models_dir: ModelsDir = Path("models"), runs_dir: RunsDir = Path("runs")) -> None:
    """Write the run's best checkpoint as the next version of its model."""
    from training import export as exporting
    from training.fit.runs import open_run

    typer.echo(exporting.export(open_run(_folder(run, runs_dir)), models_dir))


def baselines(
    versions: Annotated[list[Path], typer.Argument(help="Folders of exported versions, as models/pets/3.")],
    data_dir: DataDir = Path("data"),
) -> None:
    """Measure what constant answers get on versions' held-out images, and write it into their manifests."""
    from training import amend
    from training.evaluation import words

    for folder in versions:
        typer.echo(f"{folder}: {words.describe(amend.restate(folder, data_dir))}")


def familiarity(
    versions: Annotated[list[Path], typer.Argument(help="Folders of exported versions, as models/pets/4.")],
    data: OwnData = None,
    data_dir: DataDir = Path("data"),
) -> None:
    """Write versions' next ones, which also tell how familiar an image is; nothing is trained.

    --data says where a folder of your own lies now, where it was moved since training.
    """
    from training import amend

    for folder in versions:
        made, told = amend.add_familiarity(folder, data_dir, data)
        typer.echo("\n".join([f"{folder} -> {made}", *told]))


def _folder(run: str, runs_dir: Path) -> Path:
    # A folder of photos in the working directory may have the run's name.
    return Path(run) if (Path(run) / "recipe.json").is_file() else runs_dir / run
