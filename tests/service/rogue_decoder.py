"""A nursery whose decoders misbehave on images of certain sizes: for the tests of what happens then."""

import ctypes
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.decoding import worker
from service.images.codec import Photo
from service.manifest import Input

SEGFAULT, ABORT, SPIN, SLEEP, GREEDY, OPEN, CONNECT, LIE, BIG_LIE = range(101, 110)
"""Widths in pixels that make a decoder do so."""


def work(data: bytes, spec: Input, max_pixels: int, whole: bool) -> tuple[Photo, NDArray[np.uint8]]:
    photo, tensor = worker.decode(data, spec, max_pixels, whole)
    if photo.width == LIE:
        return photo, tensor[:1]
    if photo.width == BIG_LIE:
        return Photo(photo.image, 2**16, 2**16), tensor
    if deed := _DEEDS.get(photo.width):
        deed()
    return photo, tensor


def _spin() -> None:
    while True:
        pass


_DEEDS: dict[int, Callable[[], object]] = {
    SEGFAULT: lambda: ctypes.string_at(0),
    ABORT: os.abort,
    SPIN: _spin,
    SLEEP: lambda: time.sleep(60),  # it is ended before  # it is killed before
    GREEDY: lambda: np.ones(2**31, np.uint8),
    OPEN: Path("/etc/hostname").read_bytes,
    CONNECT: socket.socket,
}


if __name__ == "__main__":
    worker.main(work)
