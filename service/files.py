"""Files that somebody else may write: opened without waiting, plain ones only, and read up to a size.

A pipe in the place of a file would hold up whoever opens it for ever, a device or a link to one would be read
until memory is full. What was opened is looked at, not what has the name: in between, that may change.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_SLICE = 2**20


class Unfit(OSError):
    """There is something, but no file to be read; `strerror` says why."""

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(number, reason)


@contextmanager
def opened(path: Path, most: int, *, follow: bool = False) -> Iterator[BinaryIO]:
    """Open a plain file of at most `most` bytes; OSError where there is none, Unfit where it is none.

    A symbolic link in its place is one only with `follow`.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
    try:
        descriptor = os.open(path, flags if follow else flags | os.O_NOFOLLOW)
    except OSError as error:
        # A socket, or a link that is not to be followed.
        if error.errno in {errno.ENXIO, errno.ELOOP, errno.ENODEV}:
            raise Unfit(errno.EINVAL, "it is no plain file") from None
        raise
    try:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode):
            raise Unfit(errno.EINVAL, "it is no plain file")
        if state.st_size > most:
            raise _too_large(most)
        with open(descriptor, "rb", buffering=0, closefd=False) as file:
            yield file
    finally:
        os.close(descriptor)


def read(path: Path, most: int, *, follow: bool = False) -> bytes:
    """Return what is in a file, as `opened` opens it; Unfit where it grows past `most` meanwhile."""
    with opened(path, most, follow=follow) as file:
        return rest(file, most)


def rest(file: BinaryIO, most: int) -> bytes:
    """Return what is still to be read of an open file; Unfit where it is more than `most` bytes."""
    return b"".join(_slices(file, most))


def sha256(path: Path, most: int) -> str:
    """Return the SHA-256 of a file, as `read` reads it, in hexadecimal digits."""
    found = hashlib.sha256()
    with opened(path, most) as file:
        for piece in _slices(file, most):
            found.update(piece)
    return found.hexdigest()


def _slices(file: BinaryIO, most: int) -> Iterator[bytes]:
    left = most + 1
    while piece := file.read(min(_SLICE, left)):
        left -= len(piece)
        if not left:
            raise _too_large(most)
        yield piece


def _too_large(most: int) -> Unfit:
    return Unfit(errno.EFBIG, f"it is larger than {most:,} bytes")
