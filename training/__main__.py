"""`python -m training`: parses and calls."""

import logging
import os
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def main() -> None:
    """Train small vision models on labelled images and export them for the service."""


DataDir = Annotated[
    Path, typer.Option(help="Folder with one folder per data set; what is absent is downloaded.")
]
RunsDir = Annotated[Path, typer.Option(help="Folder with one folder per run.")]


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe's name, or a .toml file.")],
    data_dir: DataDir = Path("data"),
    runs_dir: RunsDir = Path("runs"),
    epochs: Annotated[int | None, typer.Option(min=1, help="Instead of the recipe's.")] = None,
    seed: Annotated[int | None, typer.Option(help="Instead of the recipe's.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after the last finished epoch.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete the run of that name first.")] = False,
) -> None:
    """Train a recipe; its run lands in RUNS_DIR/<name>."""
    from training import evaluate as evaluation
    from training import loop, recipes

    chosen = recipes.load(recipe)
    overrides = {"epochs": epochs, "seed": seed}
    changed = {key: value for key, value in overrides.items() if value is not None}
    chosen = chosen.model_copy(update={"training": chosen.training.model_copy(update=changed)})
    folder = runs_dir / chosen.name
    if fresh:
        loop.remove(folder)
    _log_to(folder)
    run = loop.train(chosen, folder, data_dir, resume=resume)
    typer.echo(evaluation.describe(evaluation.evaluate(run, data_dir)))


def _log_to(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    handlers = [logging.StreamHandler(), logging.FileHandler(folder / "train.log")]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", handlers=handlers, force=True)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    app()
