"""The golden replay: a version goes live only if it answers training's samples as training did."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service import files
from service.errors import VersionRefused
from service.manifest import Manifest, golden_path
from service.tasks.registry import TASKS
from service.tasks.task import Row

MAX_BYTES = 256 * 2**20
"""Most bytes in golden.npz, packed and unpacked."""


@dataclass(frozen=True)
class Goldens:
    """Encoded samples with the names and the rows that training got for them."""

    names: list[str]
    encoded: list[bytes]
    rows: list[Row]


@dataclass(frozen=True)
class Deviation:
    """The largest difference of one output over all samples, and the sample where it was."""

    output: str
    sample: str
    difference: float
    allowed: float


def read(folder: Path, manifest: Manifest) -> Goldens:
    """Read golden.npz; VersionRefused where it does not fit the manifest."""
    try:
        # The file is opened here because np.load leaves it open where it is no archive.
        with (
            files.opened(golden_path(folder), MAX_BYTES) as file,
            np.load(file, allow_pickle=False) as archive,
        ):
            if sum(each.file_size for each in archive.zip.infolist()) > MAX_BYTES:
                raise ValueError(f"it holds more than {MAX_BYTES:,} bytes")
            names = [str(name) for name in archive["names"]]
            encoded = [archive[f"data_{index}"].tobytes() for index in range(len(names))]
            answers: Row = {
                output.name: _widened(archive[f"answer_{output.name}"]) for output in manifest.outputs
            }
    except Exception as error:  # whatever is wrong with the archive, the version is not to be used
        raise VersionRefused(f"golden.npz cannot be read: {error}") from error
    if not names:
        raise VersionRefused("golden.npz holds no samples.")
    for output in manifest.outputs:
        expected = (len(names), *output.shape)
        if answers[output.name].shape != expected:
            raise VersionRefused(
                f"golden.npz: {output.name} has shape {answers[output.name].shape}, not {expected}."
            )
        if not np.isfinite(answers[output.name]).all():
            raise VersionRefused(f"golden.npz: {output.name} holds a number that is not finite.")
    rows = [{name: values[index] for name, values in answers.items()} for index in range(len(names))]
    return Goldens(names, encoded, rows)


def _widened(values: NDArray[Any]) -> NDArray[np.float32]:
    """Return probabilities as float32; uint8 counts steps of 1/255, as a mask's are stored."""
    return values.astype(np.float32) / np.float32(255 if values.dtype == np.uint8 else 1)


class Deviates(VersionRefused):
    """A golden answer is further from training's than the manifest allows."""


def check(goldens: Goldens, served: list[Row], manifest: Manifest) -> list[Deviation]:
    """Compare as `compare` does. Raises Deviates, which names what is off, where something is."""
    deviations = compare(goldens, served, manifest)
    bad = [each for each in deviations if each.difference > each.allowed]
    if bad:
        raise Deviates(
            "; ".join(
                f"{each.output} of golden sample {each.sample} is off by {each.difference:.4f}, "
                f"allowed {each.allowed:g}"
                for each in bad
            )
        )
    return deviations


def compare(goldens: Goldens, served: list[Row], manifest: Manifest) -> list[Deviation]:
    """Compare served rows with training's, as their task does; one Deviation per output that counts.

    VersionRefused where an output is missing or of another shape.
    """
    differences = TASKS[manifest.task].differences
    worst: dict[str, tuple[str, float]] = {}
    for name, expected, found in zip(goldens.names, goldens.rows, served, strict=True):
        for wanted in manifest.outputs:
            if wanted.name not in found or found[wanted.name].shape != wanted.shape:
                raise VersionRefused(f"The model gives no output {wanted.name} of shape {wanted.shape}.")
        for output, difference in differences(expected, found, manifest).items():
            if difference > worst.setdefault(output, (name, 0.0))[1]:
                worst[output] = name, difference
    return [
        Deviation(output, *found, getattr(manifest.tolerance, _ALLOWED.get(output, output)))
        for output, found in worst.items()
    ]


_ALLOWED = {"boxes": "box", "border": "mask"}
"""The tolerances of outputs that have none of their own."""
