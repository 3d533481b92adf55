"""`python -m training`: parses and calls."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from training import quiet
from training.commands import runs, tell, train

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def main(
    cache_dir: Annotated[
        Path | None,
        typer.Option(
            envvar="TRAINING_CACHE_DIR", help="Folder for decoded images.", show_default="~/.cache/striate"
        ),
    ] = None,
) -> None:
    """Train small vision models on labelled images and export them for the service."""
    if cache_dir:
        # Processes that this one starts decode into the same place.
        os.environ["TRAINING_CACHE_DIR"] = str(cache_dir)


_INTERRUPTED = 128 + 2
"""The status after Ctrl-C, as Typer gives it."""

_GOES_ON = "\nstopped; the same command with --resume goes on after what is finished.\n"

for _command in (
    *(tell.datasets, tell.architectures, tell.summary, tell.sample, tell.inspect),
    *(train.train, runs.evaluate, runs.report, runs.look, runs.predict, runs.export),
    *(runs.baselines, runs.familiarity),
    train.sweep,
):
    app.command()(_command)


def _tell_stop(error: SystemExit) -> None:
    if error.code == _INTERRUPTED:
        sys.stderr.write(_GOES_ON if {"train", "sweep"} & set(sys.argv[1:]) else "\nstopped.\n")


def run() -> None:
    """Run the command line; what a user can mend is told in one line, without a traceback."""
    quiet.hush()
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    try:
        app()
    except SystemExit as error:
        _tell_stop(error)
        raise
    except ModuleNotFoundError as error:
        if error.name != os.environ.get("KERAS_BACKEND"):
            raise
        sys.exit(f"error: KERAS_BACKEND={error.name} needs it: pip install {error.name}")
    except OSError as error:
        if not error.filename:
            raise
        sys.exit(f"error: {error.filename}: {error.strerror}")
    except Exception as error:
        if not error.__class__.__module__.startswith("training"):
            raise
        typer.echo(f"error: {error}", err=True)
        sys.exit(getattr(error, "exit_code", 1))


if __name__ == "__main__":
    run()
