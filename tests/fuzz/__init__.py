"""Fuzz targets for our own parsers: whatever comes in, an answer or the error that says what is wrong.

    pip install atheris==3.0.0
    python -m tests.fuzz.multipart -max_total_time=60

A target is a function of bytes that raises nothing. Coverage guides atheris through `service`; its options
are libFuzzer's.
"""

import importlib
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

Target = Callable[[bytes], None]


def run(load: Callable[[], tuple[Target, Sequence[bytes]]]) -> None:
    """Fuzz a target until it fails or the options say that it is enough. `load` imports and returns it."""
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["service"]):
        target, seeds = load()
    folder = Path(tempfile.mkdtemp(prefix="striate-fuzz-"))
    for number, seed in enumerate(seeds):
        (folder / str(number)).write_bytes(seed)
    atheris.Setup([*sys.argv, str(folder)], target)
    atheris.Fuzz()
