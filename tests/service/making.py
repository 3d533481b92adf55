"""Versions of a model, made from one that is there: good ones, and bad ones of each kind."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from service.manifest import manifest_path

Change = Callable[[Path], None]

MODELS = Path(__file__).parents[2] / "models"


def shipped(name: str) -> Path:
    """Return the folder of the one version of that model that comes with the project."""
    (folder,) = (MODELS / name).iterdir()
    return folder


def first(name: str, home: Path) -> Path:
    """Copy a shipped model into `home`, as its version 1 whatever it is; return that version's folder."""
    folder = home / name / "1"
    shutil.copytree(shipped(name), folder)
    edit(folder, version=1)
    return folder


def add(home: Path, number: int, change: Change | None = None, *, seal: bool = False) -> Path:
    """Put version `number` beside version 1, as an export does: made aside and renamed into place.

    `change` is done to its files before; with `seal` the manifest then lists them as if they were exported.
    """
    work = home / f".export-{number}"
    shutil.copytree(home / "1", work)
    edit(work, version=number)
    if change is not None:
        change(work)
    if seal:
        files = (path for path in work.rglob("*") if path.is_file() and path != manifest_path(work))
        edit(work, files={path.relative_to(work).as_posix(): digest(path) for path in files})
    return work.rename(home / str(number))


def edit(folder: Path, **fields: Any) -> None:
    """Change fields of a version's manifest."""
    path = manifest_path(folder)
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def digest(path: Path) -> str:
    """Return a file's sha256."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def flip(name: str) -> Change:
    """Return a change that flips one bit in the middle of a file."""

    def change(folder: Path) -> None:
        data = bytearray((folder / name).read_bytes())
        data[len(data) // 2] ^= 1
        (folder / name).write_bytes(data)

    return change


def cut(name: str) -> Change:
    """Return a change that cuts a file in half."""

    def change(folder: Path) -> None:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: len(data) // 2])

    return change


def link(folder: Path) -> None:
    """Put a symbolic link into a version."""
    (folder / "variables" / "more").symlink_to("/etc/hostname")


def replace(name: str, old: bytes, new: bytes) -> Change:
    """Return a change that replaces bytes in a file by as many others."""
    assert len(old) == len(new)

    def change(folder: Path) -> None:
        data = (folder / name).read_bytes()
        assert old in data
        (folder / name).write_bytes(data.replace(old, new))

    return change
