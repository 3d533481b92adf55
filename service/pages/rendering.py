"""Templates and the files that they name, all of them read once. What is filled in is escaped."""

import hashlib
import mimetypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_HERE = Path(__file__).parent
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}


@dataclass(frozen=True)
class Asset:
    """A file that pages load."""

    body: bytes
    media_type: str
    etag: str


@cache
def assets() -> dict[str, Asset]:
    """Return every file that pages load, by its name."""
    return {path.name: _asset(path) for path in sorted((_HERE / "static").iterdir())}


def _asset(path: Path) -> Asset:
    body = path.read_bytes()
    kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return Asset(body, kind, f'"{hashlib.sha256(body).hexdigest()[:16]}"')


def render(template: str, **values: Any) -> str:
    """Fill a template in; every value is text to it, never markup."""
    return _environment().get_template(template).render(values)


def prepare() -> None:
    """Read and compile everything, before anybody asks: it takes as long as many answers."""
    assets()
    for name in _environment().list_templates():
        _environment().get_template(name)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= {"thousands": thousands, "words": words, "short": short, "compact": compact}
    return environment


def thousands(number: float) -> str:
    """Write a whole number with commas."""
    return f"{number:,.0f}"


_SHORT = {"iou": "IoU", "ece": "ECE", "f1": "F1", "ap": "AP", "map": "mAP", "nll": "NLL"}


def words(name: str) -> str:
    """Write a name of a figure or setting as words."""
    return " ".join(_SHORT.get(part, part) for part in name.split("_"))


def short(number: float) -> str:
    """Write a count in three digits, as in 4.05 million."""
    for size, unit in ((1e9, "billion"), (1e6, "million"), (1e3, "thousand")):
        if abs(number) >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:g}"


def compact(number: float) -> str:
    """Write a count in three digits and a letter, as in 4.05M."""
    digits, _, unit = short(number).partition(" ")
    return digits + {"thousand": "k", "million": "M", "billion": "G"}.get(unit, "")
