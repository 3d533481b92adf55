"""The commands of `python -m training` that train nothing: they tell what there is, and draw a sample."""

import json
from pathlib import Path
from typing import Annotated

import typer

from training.commands.options import GroupBy, Labels, MaskNumbers
from training.learnable import OPTIONS, TaskOption


def datasets() -> None:
    """List the data sets, and how each is split."""
    from training.datasets import SOURCES

    for source in SOURCES.values():
        typer.echo(f"{source.name}: {source.title}\n    for {', '.join(source.tasks)}; {source.licence}")
        typer.echo(f"    split: {source.split_rule}\n    {source.homepage}")


def architectures(
    names: Annotated[list[str] | None, typer.Argument(help="Only these; all of them takes seconds.")] = None,
) -> None:
    """List the architectures: their backbones' parameters, the sizes that they take, and ImageNet weights."""
    from training.zoo import ARCHITECTURES, find

    for name in names or ARCHITECTURES:
        architecture = find(name)
        count = architecture.build(architecture.input_shape).count_params()
        shape = "x".join(str(side) for side in architecture.input_shape)
        weights = "; ImageNet weights" if architecture.pretrained else ""
        typer.echo(
            f"{name}: {architecture.title}; {count:,} parameters at {shape}; from "
            f"{architecture.size.least}x{architecture.size.least}{weights}"
        )


def summary(
    architecture: Annotated[str, typer.Argument(help="An architecture, a shipped recipe, or a .toml file.")],
    labels: Annotated[
        int | None, typer.Option(min=2, help="Number of classes of the head.", show_default="10")
    ] = None,
    task: Annotated[TaskOption | None, typer.Option(help="Of the head, instead of the usual one.")] = None,
    size: Annotated[str, typer.Option(help="Of the input, as 64x64x3, instead of the usual one.")] = "",
) -> None:
    """Explain a network layer by layer: shapes, parameters, and how each number comes about."""
    from training import schema
    from training.recipes import registry
    from training.reports import summary as explanation
    from training.tasks import heads
    from training.zoo import ARCHITECTURES

    if architecture in registry.shipped() or architecture.endswith(".toml"):
        recipe = registry.load(architecture)
    elif architecture in ARCHITECTURES:
        recipe = registry.sketch(architecture)
    else:
        raise schema.RecipeError(
            f"There is no architecture or recipe {architecture!r}. "
            f"There are: {', '.join([*ARCHITECTURES, *registry.shipped()])}."
        )
    changed = {"task": OPTIONS[task] if task else recipe.task, "input": registry.resize(recipe.input, size)}
    model = heads.build(recipe.model_copy(update=changed), labels or 10)
    typer.echo(explanation.as_text(explanation.explain(model)))
    if labels is None:
        typer.echo("With a head of 10 labels; --labels gives it another number.")


def sample(
    folder: Annotated[Path, typer.Argument(help="The new folder.")],
    task: TaskOption = "classify",
    count: Annotated[int, typer.Option(min=1, help="How many pictures.")] = 120,
) -> None:
    """Draw a small folder of labelled pictures, to try your own data with before you have some."""
    from training import drawn

    drawn.draw_folder(folder, OPTIONS[task], count)
    typer.echo(f"{count} pictures in {folder}")


def inspect(  # noqa: PLR0913, PLR0917 - one parameter per option is how Typer is told of them
    folder: Annotated[Path, typer.Argument(help="A folder of your own, labelled images in it.")],
    task: Annotated[TaskOption | None, typer.Option(help="Where the folder could be for several.")] = None,
    group_by: GroupBy = None,
    masks: MaskNumbers = None,
    labels: Labels = None,
    picture: Annotated[
        Path | None,
        typer.Option(help="Draw labelled samples into this PNG, doubtful ones into NAME-doubts.png."),
    ] = None,
    doubts: Annotated[
        bool, typer.Option("--doubts", help="Look for wrong labels, too, by a network: 13 ms a photo.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Tell what lies in a folder of your own, and what is wrong with it; exit code 1 if anything is.

    Where it can be read in more than one way, it asks; without a terminal to ask on, the exit code is 2.
    """
    from training.commands import asking, inspection
    from training.datasets import DatasetError, Task

    def look(chosen: Task | None, labels: str | None) -> inspection.Inspection:
        own = {"group_by": group_by or "", "labels": labels or ""}
        return inspection.inspect(
            folder, chosen, **own, masks=masks or "", picture=picture, label_errors=doubts
        )

    try:
        told = asking.answered(look, OPTIONS[task] if task else None, labels)
    except DatasetError as error:
        if as_json:
            typer.echo(json.dumps({"folder": str(folder), "sound": False, "obstacle": str(error)}, indent=2))
        raise
    typer.echo(json.dumps(told.as_json(), indent=2) if as_json else inspection.describe(told))
    raise typer.Exit(0 if told.sound else 1)
