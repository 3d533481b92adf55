"""What lies beside a version's manifest: how it was measured and how it was trained, and drawn samples.

These files are no part of the contract by which a version is served: a version without them, or with others
than these, goes live all the same, and its page shows what there is. They are read when somebody looks, and
each counts only if its sha256 is the manifest's: a folder may be changed or gone after it was loaded.
"""

import csv
import hashlib
import io
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
)

from service import files
from service.formats import names
from service.manifest import EXTRA
from service.versions.repository import Live

_MOST = 8 * 2**20
_MOST_GOLDEN = 256 * 2**20
SAMPLES = 8
"""Samples of one version that are shown at most."""
_TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
"""Formats that every browser shows."""


_Number = Annotated[float, Field(allow_inf_nan=False)]
_Count = Annotated[int, Field(ge=0, le=2**53)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Bin(_Part):
    """Answers whose score lies in one range: how sure they were on average, and how many were right."""

    low: _Number
    count: _Count
    confidence: _Number
    accuracy: _Number


class Calibrated(_Part):
    """How far scores are from how often they are right, in the mean, and where."""

    ece: _Number
    bins: tuple[Bin, ...] = ()


class Calibration(_Part):
    """Before and after the temperature."""

    before: Calibrated
    after: Calibrated


class Overlaps(_Part):
    """How many answers have which IoU with the truth, in equal steps of 0..1."""

    counts: tuple[_Count, ...] = Field(min_length=2, max_length=200)


class Record(_Part):
    """What evaluation.json tells that the manifest does not; all of it may be missing."""

    confusion: tuple[tuple[Annotated[float, Field(ge=0, le=2**53)], ...], ...] = ()
    """Rows are the truth, columns the answers; of detection, the last of each stands for no object."""
    calibration: Calibration | None = None
    overlaps: Overlaps | None = None
    precision_recall: dict[str, tuple[_Number, ...]] = Field(default_factory=dict)
    """Of each label the precision at recalls in equal steps of 0..1."""
    intervals: dict[str, tuple[_Number, _Number]] = Field(default_factory=dict)
    """What holds each figure's true value 95 times in 100."""

    @field_validator("*", mode="wrap")
    @classmethod
    def _sound(cls, value: Any, check: ValidatorFunctionWrapHandler, field: ValidationInfo) -> Any:
        """Leave out a part that cannot be drawn, and only it."""
        try:
            return check(value)
        except ValidationError:
            return cls.model_fields[str(field.field_name)].get_default(call_default_factory=True)


class _Evaluation(_Part):
    details: Record = Record()


@dataclass(frozen=True)
class Sample:
    """A drawn image with its name."""

    name: str
    data: bytes
    media_type: str


@dataclass(frozen=True)
class Beside:
    """All that lies beside a manifest; `whole` unless a file could not be read, which may pass."""

    record: Record
    history: dict[str, list[float]]
    samples: tuple[Sample, ...]
    whole: bool


def read(live: Live) -> Beside:
    """Return what lies beside a version's manifest."""
    most_of = {"evaluation.json": _MOST, "history.csv": _MOST, "golden.npz": _MOST_GOLDEN}
    found, whole = dict.fromkeys(most_of, b""), True
    for name, most in most_of.items():
        try:
            found[name] = _verified(live, f"{EXTRA}/{name}", most)
        except OSError:
            whole = False
    evaluation, history, golden = found.values()
    return Beside(_record(evaluation), _history(history), _samples(golden), whole)


def _verified(live: Live, place: str, most: int) -> bytes:
    """Return a file that is what the manifest says; nothing where there is none such, or no longer."""
    expected = live.predictor.manifest.files.get(place)
    if expected is None:
        return b""
    data = files.read(live.folder / place, most)
    return data if hashlib.sha256(data).hexdigest() == expected else b""


def _record(evaluation: bytes) -> Record:
    """Return how a version was measured."""
    try:
        return _Evaluation.model_validate_json(evaluation or b"{}").details
    except ValidationError:
        return Record()


def _history(told: bytes) -> dict[str, list[float]]:
    """Return the columns of history.csv, a number for each epoch; columns with anything else are left out."""
    try:
        rows = list(csv.reader(io.StringIO(told.decode("utf-8"))))
    except (UnicodeDecodeError, csv.Error):
        return {}
    columns = zip(*rows, strict=False)
    found = {name: [_number(cell) for cell in cells] for name, *cells in columns}
    return {name: values for name, values in found.items() if values and np.isfinite(values).all()}


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")


def _samples(golden: bytes) -> tuple[Sample, ...]:
    """Return the drawn images, those that every browser shows."""
    if not golden:
        return ()
    # It was read when the version was loaded, and is the same.
    with np.load(io.BytesIO(golden), allow_pickle=False) as archive:
        named = list(enumerate(map(str, archive["names"])))[:SAMPLES]
        encoded = [(name, archive[f"data_{index}"].tobytes()) for index, name in named]
    kinds = [(name, image, names.kind_of(image) or "") for name, image in encoded]
    return tuple(Sample(name, image, _TYPES[kind]) for name, image, kind in kinds if kind in _TYPES)
