"""What lies beside a version's manifest: how it was measured and how it was trained, and drawn samples.

These files are no part of the contract by which a version is served: a version without them, or with others
than these, goes live all the same, and its page shows what there is. Each is read when somebody looks, and
counts only while its sha256 is the manifest's: a folder may be changed or gone after it was loaded.
"""

import csv
import hashlib
import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
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


def record(live: Live) -> Record:
    """Return how a version was measured."""
    try:
        return _Evaluation.model_validate_json(_read(live, "evaluation.json") or b"{}").details
    except ValidationError:
        return Record()


def history(live: Live) -> dict[str, list[float]]:
    """Return the columns of history.csv, a number for each epoch; columns with anything else are left out."""
    try:
        rows = list(csv.reader(io.StringIO(_read(live, "history.csv").decode("utf-8"))))
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


def samples(live: Live) -> tuple[Sample, ...]:
    """Return the version's drawn images, those that every browser shows."""
    place = f"{EXTRA}/golden.npz"
    return _samples(live.folder / place, live.predictor.manifest.files.get(place))


@lru_cache(32)
def _samples(path: Path, expected: str | None) -> tuple[Sample, ...]:
    data = _verified(path, expected, _MOST_GOLDEN)
    if data is None:
        return ()
    # It was read when the version was loaded, and is the same.
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        named = list(enumerate(map(str, archive["names"])))[:SAMPLES]
        encoded = [(name, archive[f"data_{index}"].tobytes()) for index, name in named]
    kinds = [(name, image, names.kind_of(image) or "") for name, image in encoded]
    return tuple(Sample(name, image, _TYPES[kind]) for name, image, kind in kinds if kind in _TYPES)


def _read(live: Live, name: str) -> bytes:
    """Return a file that is what the manifest says; nothing where there is none such, or no longer."""
    place = f"{EXTRA}/{name}"
    return _verified(live.folder / place, live.predictor.manifest.files.get(place), _MOST) or b""


def _verified(path: Path, expected: str | None, most: int) -> bytes | None:
    if expected is None:
        return None
    try:
        data = files.read(path, most)
    except OSError:
        return None
    return data if hashlib.sha256(data).hexdigest() == expected else None
