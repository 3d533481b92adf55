"""Archives from a data set's makers: fetched and unpacked whole or not at all, whoever else does so too."""

import shutil
import tempfile
from pathlib import Path
from typing import Literal

from filelock import FileLock

from training.datasets.dataset import DatasetError
from training.datasets.reading import file_digest


def download(
    name: str, url: str, checksum: str, folder: Path, algorithm: Literal["sha256", "md5"] = "sha256"
) -> Path:
    """Fetch `url` to `folder / name` unless a good copy is there; a wrong checksum is an error."""
    path = folder / name
    if not path.is_file():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder / ".lock"):
                if not path.is_file():
                    _fetch(url, path)
        except Exception as error:
            raise DatasetError(
                f"{path} is missing and could not be downloaded from {url} ({error}). "
                f"Put the file there, or point --data-dir at a folder that has it."
            ) from error
    # A file which was there before is checked as well.
    if file_digest(path, algorithm) != checksum:
        raise DatasetError(f"{path} is damaged: its {algorithm} is not {checksum}. Delete it and try again.")
    return path


def _fetch(url: str, path: Path) -> None:
    from keras.utils import get_file

    beside = path.with_name(f".{path.name}")
    beside.unlink(missing_ok=True)
    get_file(fname=beside.name, origin=url, cache_dir=str(path.parent), cache_subdir=".")
    beside.replace(path)


def unpack(archive: Path, folder: Path, member: str) -> Path:
    """Unpack a tar or zip archive into `folder` unless `member` is there, and return `folder / member`.

    It is unpacked beside its place: a process that is killed leaves nothing that looks whole.
    """
    place = folder / member
    with FileLock(folder / ".lock"):
        if not place.is_dir():
            with tempfile.TemporaryDirectory(prefix=".unpack-", dir=folder) as beside:
                # A zip's members are never placed outside; a filter is for tar alone.
                shutil.unpack_archive(archive, beside, filter=None if archive.suffix == ".zip" else "data")
                for path in Path(beside).iterdir():
                    if not (folder / path.name).exists():
                        path.rename(folder / path.name)
    if not place.is_dir():
        raise DatasetError(f"{archive} does not hold {member}.")
    return place
