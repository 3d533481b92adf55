"""What `make bench` measures, and when two answers are the same."""

import statistics
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Case:
    """One row: a server, an address on it, a body and a number of callers."""

    server: str
    workload: str
    form: str
    callers: int
    path: str

    @property
    def key(self) -> str:
        """The row's name."""
        return f"{self.server} | {self.workload} | {self.form} | {self.callers}"


@dataclass
class Row:
    """What was measured for one case, one entry per round."""

    case: Case
    rate: list[float]
    p50: list[float]
    p95: list[float]
    p99: list[float]
    cpu_ms: list[float]
    mean_batch: list[float]
    errors: int = 0

    def median(self, field: str) -> float:
        """The median over the rounds."""
        return float(statistics.median(getattr(self, field) or [0.0]))


OTHERS = (
    ("garment", "/classify?model=fashion"),
    ("sign", "/classify?model=signs"),
    ("photo to classes", "/classify?model=pets"),
    ("photo to box", "/localize?model=pet-heads"),
    ("photo to three classes of pixels", "/segment?model=pet-masks"),
)
"""What the other shipped models are asked: `digits` and `nuclei` are measured more closely."""

DIALECTS = (
    ("digit", "V2 binary", "/v2/models/digits/infer"),
    ("digit", "TFS rows", "/v1/models/digits:predict"),
    ("photo to mask", "V2 BYTES", "/v2/models/nuclei/infer"),
)
"""What clients of other servers post, beside our own faces with the same images."""


def cases(quick: bool) -> list[Case]:
    """List what is measured."""
    callers = (1, 32) if quick else (1, 8, 32, 64)
    found = [
        Case("striate", "digit", form, n, "/classify?model=digits")
        for form in ("raw", "multipart")
        for n in callers
    ]
    found += [Case("striate", "photo to mask", "multipart", n, "/segment?model=nuclei") for n in callers]
    found += [Case("striate", "photo to mask", "raw", n, "/segment?model=nuclei") for n in (1, 32)]
    found += [Case("striate", name, form, n, path) for name, form, path in DIALECTS for n in (1, 32)]
    found += [Case("striate", "12 MP to mask", "multipart", 8, "/segment?model=nuclei")]
    if not quick:
        found += [Case("striate", name, "multipart", n, path) for name, path in OTHERS for n in (1, 32)]
        found += [Case("striate", "16 photos to mask", "multipart", 4, "/segment?model=nuclei")]
        found += [Case("bare ASGI", "digit", "raw", n, "/") for n in (1, 32)]
    forms = ("raw",) if quick else ("raw", "multipart")
    found += [Case("FastAPI floor", "digit", form, n, f"/{form}") for form in forms for n in (1, 32)]
    found += [Case("plain digits", "digit", "multipart", n, "/predict") for n in callers if n in (1, 32)]
    found += [Case("plain nuclei", "photo to mask", "multipart", n, "/predict") for n in (1, 32)]
    found += [Case("plain nuclei", "12 MP to mask", "multipart", 8, "/predict")]
    return found


def same(found: Any, expected: Any) -> bool:
    """Compare answers: structure and text exactly, numbers within what batching may change."""
    if isinstance(expected, dict):
        return set(found) == set(expected) and all(
            key in {"data", "pixels", "fraction"} or same(found[key], value)
            for key, value in expected.items()
        )
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(expected, float):
        return bool(abs(found - expected) <= 0.01)
    return bool(found == expected)
