"""Options that several commands of `python -m training` have."""

from pathlib import Path
from typing import Annotated, Literal

import typer

DataDir = Annotated[
    Path,
    typer.Option(
        help="Folder with one folder per data set; what is absent is downloaded, but for nuclei and bccd."
    ),
]
RunsDir = Annotated[Path, typer.Option(help="Folder with one folder per run.")]
ModelsDir = Annotated[Path, typer.Option(help="Folder that the service reads.")]
RunName = Annotated[str, typer.Argument(help="A run's folder, or its name below RUNS_DIR.")]
OwnData = Annotated[Path | None, typer.Option(help="A folder of your own, labelled images in it.")]
GroupBy = Annotated[
    str | None, typer.Option(help="Regular expression on file names; what it finds stays in one part.")
]
MaskNumbers = Annotated[
    Literal["binary", "classes", "instances"] | None, typer.Option(help="What the masks' numbers mean.")
]
Labels = Annotated[
    str | None, typer.Option(help="Of several kinds of labels, the one to take: a kind, a file or a folder.")
]
