"""A folder of one's own as it was read, kept beside the other decoded pixels: see `cache.py`.

What is kept goes by the path, size and time of change of every file below the folder, and by what was asked:
`train`, `evaluate` and `report` decode each image once among them. The parts lie one after the other in one
array, which is only mapped, so that a folder may be larger than memory.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.datasets import cache
from training.datasets.dataset import Doubt, Request, Samples, Splits
from training.datasets.own.tree import State

log = logging.getLogger("training")


@dataclass(frozen=True)
class Reading:
    """All that came of reading a folder: the samples, the first `counts[0]` of them for training, and so on.

    `told` are the lines for the log, each with its level.
    """

    labels: tuple[str, ...]
    samples: Samples
    counts: tuple[int, int, int]
    fingerprint: str
    told: tuple[tuple[int, str], ...]
    groups: tuple[str, ...] = ()
    doubts: tuple[Doubt, ...] = ()

    def splits(self) -> Splits:
        """Return the parts, which share the memory of the whole."""
        ends = np.cumsum((0, *self.counts))
        train, validation, test = (
            _rows(self.samples, int(start), int(stop)) for start, stop in pairwise(ends)
        )
        known = (self.labels, self.fingerprint, self.groups, self.doubts)
        return Splits(train, validation, test, *known)


def _rows(samples: Samples, start: int, stop: int) -> Samples:
    # Not `take`, which would copy what is mapped into memory.
    present = {one.name: getattr(samples, one.name) for one in fields(samples)}
    return replace(samples, **{name: rows[start:stop] for name, rows in present.items() if rows is not None})


def digest(folder: Path, state: State, request: Request) -> str:
    """Name what is kept of a folder in this state, for this request."""
    asked = asdict(replace(request, fingerprint="")) | {"near": request.near}
    text = json.dumps([cache.FORMAT, _VERSION, str(folder.resolve()), asked, state], default=str)
    return f"own-{hashlib.sha256(text.encode('utf-8', 'surrogateescape')).hexdigest()[:32]}"


_VERSION = 4
"""To be raised when the same folder would be read differently."""


def recall(name: str, folder: Path) -> Reading | None:
    """Return what was kept under a name; None where it is not all there."""
    try:
        text = (cache.directory() / f"{name}.json").read_text("utf-8")
        kept = json.loads(text)
        arrays = {
            one: cache.kept(f"{name}-{one}", tuple(kept["shapes"][one]), kept["types"][one])
            for one in kept["shapes"]
        }
        if any(array is None for array in arrays.values()):
            return None
        samples = Samples(
            **arrays,  # type: ignore[arg-type]
            labels=None if kept["classes"] is None else np.asarray(kept["classes"], np.int32),
            boxes=None if kept["boxes"] is None else np.asarray(kept["boxes"], np.float32).reshape(-1, 4),
            contents=None
            if kept["contents"] is None
            else np.asarray(kept["contents"], np.int32).reshape(-1, 4),
            paths=tuple(folder / path for path in kept["paths"]),
        )
        told = tuple((int(level), str(line)) for level, line in kept["told"])
        one, two, three = kept["counts"]
        labels, groups = tuple(kept["labels"]), tuple(kept["groups"])
        doubts = tuple(Doubt(kind, tuple(files), text) for kind, files, text in kept["doubts"])
        return Reading(labels, samples, (one, two, three), kept["fingerprint"], told, groups, doubts)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def keep(name: str, folder: Path, found: Reading, arrays: dict[str, "Rows"]) -> Reading:
    """Write what was read, its `arrays` row by row, and return it with these mapped.

    Where the cache cannot be written they are made in memory.
    """
    made, shapes, types = {}, {}, {}
    try:
        for one, rows in arrays.items():
            shapes[one], types[one] = rows.shape, np.dtype(rows.dtype).str
            made[one] = cache.keep(f"{name}-{one}", rows.shape, rows.dtype, rows.fill)
        samples = replace(found.samples, **made)  # type: ignore[arg-type]
        _write(name, folder, replace(found, samples=samples), shapes, types)
    except OSError as error:
        log.warning("No cache in %s (%s): decoding into memory.", cache.directory(), error)
        samples = replace(found.samples, **{one: rows.array() for one, rows in arrays.items()})  # type: ignore[arg-type]
    return replace(found, samples=samples)


@dataclass(frozen=True)
class Rows:
    """An array to be made: its shape and dtype, and what makes the row of a number."""

    shape: tuple[int, ...]
    dtype: Any
    make: Callable[[int], NDArray[Any]]

    def fill(self, rows: NDArray[Any]) -> None:
        """Write all rows."""
        for place in range(len(rows)):
            rows[place] = self.make(place)

    def array(self) -> NDArray[Any]:
        """Return the array in memory."""
        rows = np.empty(self.shape, self.dtype)
        self.fill(rows)
        return rows


def _write(
    name: str, folder: Path, found: Reading, shapes: Mapping[str, Sequence[int]], types: Mapping[str, str]
) -> None:
    samples = found.samples
    document = {
        "labels": found.labels,
        "groups": found.groups,
        "counts": found.counts,
        "fingerprint": found.fingerprint,
        "told": found.told,
        "doubts": [(doubt.kind, doubt.files, doubt.text) for doubt in found.doubts],
        "shapes": shapes,
        "types": types,
        "classes": None if samples.labels is None else samples.labels.tolist(),
        "boxes": None if samples.boxes is None else samples.boxes.tolist(),
        "contents": None if samples.contents is None else samples.contents.tolist(),
        "paths": [path.relative_to(folder).as_posix() for path in samples.paths or ()],
    }
    path = cache.directory() / f"{name}.json"
    # After the arrays: whoever finds this finds them.
    hidden = path.with_name(f".{path.name}.{id(found)}")
    hidden.write_text(json.dumps(document), "utf-8")
    hidden.replace(path)
