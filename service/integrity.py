"""Is a version's folder what was exported? Its manifest, its files, its graph; nothing of it is run."""

import hashlib
import os
import stat
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import ValidationError

from service import graph
from service.errors import VersionRefused
from service.manifest import Manifest, manifest_path

MAX_FILES = 10_000
"""Most files in one version."""

Fingerprint = tuple[tuple[str, int, int, int], ...]
"""Path, size, time of change in ns and inode of each file of a version."""


def fingerprint(folder: Path) -> Fingerprint:
    """Return what tells whether anything in the folder has changed, without reading files."""
    found = []
    for path in sorted(_walk(folder)):
        try:
            state = path.lstat()
        except FileNotFoundError:
            continue
        found.append((str(path), state.st_size, state.st_mtime_ns, state.st_ino))
    return tuple(found)


def stamp(folder: Path) -> tuple[int, int, int] | None:
    """Return what tells whether the manifest has changed, by one system call; None where there is none."""
    try:
        state = manifest_path(folder).stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return state.st_mtime_ns, state.st_size, state.st_ino


def examine(name: str, version: int, folder: Path) -> Manifest:
    """Check everything that can be checked without an engine; VersionRefused says what is wrong."""
    try:
        if folder.is_symlink():
            raise VersionRefused("The version's folder is a symbolic link; a version holds plain files only.")
        manifest = read_manifest(name, version, folder)
        check_files(folder, manifest)
        graph.check(folder)
    except FileNotFoundError:
        raise VersionRefused("A file went away while it was read.", "incomplete") from None
    except OSError as error:
        raise VersionRefused(f"A file cannot be read: {os.strerror(error.errno or 0)}.", "passing") from error
    return manifest


def read_manifest(name: str, version: int, folder: Path) -> Manifest:
    """Read the manifest of `models/<name>/<version>`; VersionRefused says what is wrong with it."""
    try:
        data = manifest_path(folder).read_bytes()
    except OSError:
        raise VersionRefused("assets.extra/manifest.json is missing or unreadable.", "incomplete") from None
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        kind: Literal["incomplete", "lasting"] = (
            "incomplete" if first["type"] == "json_invalid" else "lasting"
        )
        raise VersionRefused(f"manifest.json: {place}: {first['msg']}.", kind) from error
    if (manifest.name, manifest.version) != (name, version):
        raise VersionRefused(
            f"manifest.json is of {manifest.name}/{manifest.version}, not of {name}/{version}."
        )
    return manifest


def check_files(folder: Path, manifest: Manifest) -> None:
    """Compare the folder with the manifest's list: no file more, none less, each with its sha256."""
    for relative in manifest.files:
        if PurePosixPath(relative).is_absolute() or ".." in PurePosixPath(relative).parts:
            raise VersionRefused("The manifest lists a file outside the version's folder.")
    found = _plain_files(folder) - {manifest_path(folder).relative_to(folder).as_posix()}
    if foreign := found - manifest.files.keys():
        raise VersionRefused(f"{min(foreign)} is not in the manifest's list of files.", "incomplete")
    if missing := manifest.files.keys() - found:
        raise VersionRefused(f"{min(missing)} is missing.", "incomplete")
    for relative, expected in sorted(manifest.files.items()):
        with (folder / relative).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != expected:
                reason = f"{relative} is not what was exported: its sha256 differs."
                raise VersionRefused(reason, "incomplete")


def _plain_files(folder: Path) -> set[str]:
    """Return the files below the folder; VersionRefused where there is anything but files and folders."""
    found = set()
    for path in _walk(folder):
        relative, mode = path.relative_to(folder).as_posix(), path.lstat().st_mode
        if stat.S_ISLNK(mode):
            raise VersionRefused(f"{relative} is a symbolic link; a version holds plain files only.")
        if stat.S_ISREG(mode):
            found.add(relative)
        elif not stat.S_ISDIR(mode):
            raise VersionRefused(f"{relative} is no plain file.")
    return found


def _walk(folder: Path) -> list[Path]:
    """Return everything below the folder; it does not follow symbolic links."""
    found: list[Path] = []
    for path in folder.rglob("*"):
        found.append(path)
        if len(found) > MAX_FILES:
            raise VersionRefused(f"There are more than {MAX_FILES} files in the version's folder.")
    return found
