"""Is a version's folder what was exported? Its manifest, its files, its graph; nothing of it is run."""

import contextlib
import os
import stat
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import ValidationError

from service import files
from service.errors import VersionRefused
from service.manifest import Manifest, manifest_path
from service.versions import graph

MAX_FILES = 10_000
"""Most files in one version."""
MAX_BYTES = 16 * 2**30
"""Most bytes in one version: to look at what is sparse takes as long as if it were full."""
MAX_MANIFEST_BYTES = 8 * 2**20
"""Most bytes of a manifest: those of ten thousand files, and text."""

Fingerprint = tuple[tuple[str, int, int, int], ...]
"""Path, size in bytes, time of change in ns and inode of each file of a version."""

_DEBRIS = (
    *(".ds_store", "._*", ".appledouble", ".localized", ".spotlight-v100", ".trashes", ".fseventsd"),
    *("thumbs.db", "ehthumbs.db", "desktop.ini"),
    *(".nfs*", ".fuse_hidden*", ".directory", "lost+found", ".snapshot"),
    *("@eadir", "@tmp", "#recycle"),
)
"""Files and folders that systems leave by themselves, in lower case: macOS, Windows, file systems of Unix (a
file that is open when it is deleted over NFS stays as `.nfs*`), Synology. No engine reads them."""


def is_debris(name: str) -> bool:
    """Tell whether a file or folder of that name is nobody's doing: it is passed over wherever it lies."""
    return any(fnmatchcase(name.lower(), pattern) for pattern in _DEBRIS)


def fingerprint(folder: Path) -> Fingerprint:
    """Return what tells whether anything in the folder has changed, without reading files; () without it."""
    found = []
    # Of what is being deleted the next look will differ; what cannot be read is for `examine` to tell.
    with contextlib.suppress(OSError):
        for path in _walk(folder):
            state = path.lstat()
            found.append((str(path), state.st_size, state.st_mtime_ns, state.st_ino))
    return tuple(sorted(found))


def examine(name: str, version: int, folder: Path) -> Manifest:
    """Check everything that can be checked without an engine; VersionRefused says what is wrong."""
    try:
        if folder.is_symlink():
            # The listing follows a link to a folder within the models' folder.
            raise VersionRefused("It is a symbolic link that leads nowhere or out of the models' folder.")
        manifest = read_manifest(name, version, folder)
        check_files(folder, manifest)
        graph.check(folder)
    except FileNotFoundError:
        raise VersionRefused("A file went away while it was read.", "incomplete") from None
    except files.Unfit as error:
        raise VersionRefused(f"A file of it cannot be used: {error.strerror}.") from None
    except OSError as error:
        raise VersionRefused(f"A file cannot be read: {os.strerror(error.errno or 0)}.", "passing") from error
    return manifest


def read_manifest(name: str, version: int, folder: Path) -> Manifest:
    """Read the manifest of `models/<name>/<version>`; VersionRefused says what is wrong with it."""
    try:
        data = files.read(manifest_path(folder), MAX_MANIFEST_BYTES)
    except files.Unfit as error:
        raise VersionRefused(f"assets.extra/manifest.json cannot be read: {error.strerror}.") from None
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
    if sum((folder / relative).lstat().st_size for relative in found) > MAX_BYTES:
        raise VersionRefused(f"Its files are larger than {MAX_BYTES:,} bytes.")
    for relative, expected in sorted(manifest.files.items()):
        if files.sha256(folder / relative, MAX_BYTES) != expected:
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


def _walk(folder: Path) -> Iterator[Path]:
    """Give everything below the folder but what systems leave; it does not follow symbolic links. OSError."""

    def give_up(error: OSError) -> None:
        raise error

    count = 0
    for root, folders, names in os.walk(folder, onerror=give_up):
        folders[:] = [each for each in folders if not is_debris(each)]
        for name in (*folders, *(each for each in names if not is_debris(each))):
            count += 1
            if count > MAX_FILES:
                raise VersionRefused(f"There are more than {MAX_FILES} files in the version's folder.")
            yield Path(root, name)
