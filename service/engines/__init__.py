"""The engines: a SavedModel folder -> a callable over batches. Each framework is imported when chosen."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Name = Literal["tensorflow", "openvino"]
Precision = Literal["float32", "bfloat16"]
Outputs = dict[str, NDArray[np.float32]]
Run = Callable[[NDArray[np.uint8], bool], Outputs]
Check = Callable[[Run], None]
"""Looks at what a model answers, and raises what speaks against it."""


def unchecked(_: Run) -> None:
    """Take the model as it is."""


@dataclass(frozen=True)
class Operation:
    """One step of a computation: its kind and the shape of its output as the engine has them, its seconds."""

    kind: str
    shape: tuple[int, ...]
    seconds: float


class EngineUnavailable(Exception):
    """The asked engine or precision cannot be had on this machine. The text says what to do."""


@dataclass(frozen=True)
class Engine:
    """A loaded model.

    `run(images, solo)` takes uint8 `[N, H, W, C]` with N up to `max_batch` and gives float32 `[N, ...]`
    arrays by output name, which are the caller's to keep. `solo` says that no other call is under way, so
    that all threads may go to this one. It may be called from `lanes` threads at a time. `plan` says how the
    model is run, in words.
    """

    name: Name
    precision: Precision
    run: Run
    lanes: int
    max_batch: int
    plan: str
    inline: bool = False
    """Whether one image alone takes less time than the way to a thread and back, some 0.1 ms."""
    rest: Callable[[], None] = lambda: None
    """Lets go of the memory that only calls need, until the next one. Not while one is under way."""
    timings: Mapping[str, float] = field(default_factory=dict)
    """Seconds per image of each way that was tried when it was loaded, by which the plan was chosen."""
    profile: Callable[[Path], list[Operation]] | None = None
    """A version's folder -> each operation of one image's computation, by a copy of the model on one thread;
    None of an engine that does not tell."""


def choose(setting: Literal["auto", "tensorflow", "openvino"]) -> Name:
    """Settle `auto`: TensorFlow where it sees a GPU, else OpenVINO where installed, else TensorFlow."""
    installed: dict[Name, bool] = {
        "tensorflow": find_spec("tensorflow") is not None,
        "openvino": find_spec("openvino") is not None,
    }
    if setting != "auto":
        if not installed[setting]:
            raise EngineUnavailable(f"STRIATE_ENGINE={setting}, but {setting} is not installed.")
        return setting
    # Importing TensorFlow takes seconds and hundreds of megabytes, so it is asked about GPUs only where
    # there is a driver that could offer one.
    if installed["tensorflow"] and (Path("/dev/nvidiactl").exists() or not installed["openvino"]):
        from service.engines import tensorflow

        if tensorflow.sees_gpu() or not installed["openvino"]:
            return "tensorflow"
    if installed["openvino"]:
        return "openvino"
    raise EngineUnavailable("No engine is installed: install striate[cpu] or striate[gpu].")


def precisions(name: Name, setting: Literal["auto", "float32", "bfloat16"]) -> list[Precision]:
    """Return the precisions to try, best first."""
    offered = _module(name).precisions()
    if setting == "auto":
        return list(offered)
    if setting not in offered:
        raise EngineUnavailable(
            f"STRIATE_PRECISION={setting}, but {name} offers {', '.join(offered)} on this machine."
        )
    return [setting]


def load(
    name: Name,
    folder: Path,
    precision: Precision,
    threads: int,
    max_batch: int,
    check: Check = unchecked,
) -> Engine:
    """Load the SavedModel in `folder`. Whatever the framework raises comes through.

    `check` is handed the model as soon as it can be computed at all, with the precision but not yet in the
    way that is fastest: what it raises comes through, and all that would have been tried and timed is not.
    """
    engine: Engine = _module(name).load(folder, precision, threads, max_batch, check)
    return engine


def _module(name: Name) -> Any:
    if name == "openvino":
        from service.engines import openvino

        return openvino
    from service.engines import tensorflow

    return tensorflow
