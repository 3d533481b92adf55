"""Decoded pixels on disk: an image file is decoded once for each size, and then only mapped into memory.

Decoding a set takes minutes, mapping its array none, and one that does not fit in memory is read page by
page. Arrays lie in `$TRAINING_CACHE_DIR`, or else in `striate` below `$XDG_CACHE_HOME` (`~/.cache`); that
folder can be deleted at any time.
"""

import errno
import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import DTypeLike, NDArray

from training.datasets.dataset import DatasetError

log = logging.getLogger("training")

FORMAT = 2
"""To be raised when the same files would be decoded differently."""

Fill = Callable[[NDArray[Any]], None]


def directory() -> Path:
    """Return the folder of the cache, which need not exist yet."""
    if given := os.environ.get("TRAINING_CACHE_DIR"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "striate"


def cached(
    kind: str, paths: Sequence[Path], shape: tuple[int, ...], dtype: DTypeLike, fill: Fill
) -> NDArray[Any]:
    """Return the array `[len(paths), *shape]` that `fill` writes from the files at `paths`, read-only.

    `kind` names what is done to the files, as in `rgb`; with the shape, and each file's path, size and time
    of change, it decides whether the cache's array is the one that is asked for. One that is cut short is
    made again. Where the cache cannot be written, the array is made in memory. A missing file is a
    DatasetError.
    """
    whole = (len(paths), *shape)
    words = "x".join(str(side) for side in shape)
    path = directory() / f"{kind}-{words}-{_digest(paths)}.npy"
    found = _open(path, whole, np.dtype(dtype))
    if found is not None:
        return found
    try:
        hidden = _reserve(path, whole, np.dtype(dtype))
    except OSError as error:
        log.warning("No cache in %s (%s): decoding into memory.", path.parent, error)
        array = np.empty(whole, dtype)
        fill(array)
        return array
    filled = _filled(path, hidden, fill)
    log.info("Decoded %d files into %s.", len(paths), path)
    return filled


def scratch(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Return an array that lies on disk and goes with the process, or in memory where it cannot."""
    try:
        hidden = _reserve(directory() / "scratch.npy", shape, np.dtype(dtype))
    except OSError as error:
        log.warning("No cache in %s (%s): decoding into memory.", directory(), error)
        return np.empty(shape, dtype)
    try:
        return np.lib.format.open_memmap(hidden, mode="r+")
    finally:
        # What is mapped stays until the last who has it mapped ends, however that may be.
        hidden.unlink()


def keep(name: str, shape: tuple[int, ...], dtype: DTypeLike, fill: Fill) -> NDArray[Any]:
    """Write the array of that name with `fill`, and return it, read-only; OSError where it has no room."""
    path = directory() / f"{name}.npy"
    return _filled(path, _reserve(path, shape, np.dtype(dtype)), fill)


def _filled(path: Path, hidden: Path, fill: Fill) -> NDArray[Any]:
    try:
        writable = np.lib.format.open_memmap(hidden, mode="r+")
        fill(writable)
        writable.flush()
        # Whoever else makes the same array at the same time replaces it with an equal one.
        hidden.replace(path)
    except BaseException:
        hidden.unlink(missing_ok=True)
        raise
    return np.lib.format.open_memmap(path, mode="r")


def kept(name: str, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any] | None:
    """Return the array of that name, mapped; None where it is not there, or another one."""
    return _open(directory() / f"{name}.npy", shape, np.dtype(dtype))


def _digest(paths: Sequence[Path]) -> str:
    digest = hashlib.sha256(f"{FORMAT}\n".encode())
    for path in paths:
        try:
            status = path.stat()
        except FileNotFoundError:
            raise DatasetError(f"{path} is missing.") from None
        digest.update(f"{path.absolute()}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:32]


def _open(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any] | None:
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError):
        return None
    return array if array.shape == shape and array.dtype == dtype else None


def _fill_up(file: BinaryIO, size: int) -> None:
    """Take the disk's room for a file of that size; OSError where there is none."""
    if hasattr(os, "posix_fallocate"):  # macOS has none
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            # Some file systems cannot.
            if error.errno not in {errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS}:
                raise
        else:
            return
    # What is written has its room; the header of the array is kept.
    file.seek(0)
    while piece := file.read(2**20):
        file.seek(-len(piece), os.SEEK_CUR)
        file.write(piece)


def _reserve(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Path:
    """Make a hidden file next to `path` with room for the whole array."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".", suffix=".npy", dir=path.parent)
    os.close(handle)
    hidden = Path(name)
    try:
        np.lib.format.open_memmap(hidden, mode="w+", dtype=dtype, shape=shape)
        with hidden.open("r+b") as file:
            # A full disk is an error here; met while writing to mapped memory it would end the process.
            _fill_up(file, hidden.stat().st_size)
    except BaseException:
        hidden.unlink(missing_ok=True)
        raise
    return hidden
