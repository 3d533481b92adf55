"""A process that decodes and can do nothing else: a crash, a hang or worse stays in it.

`python -m service.decoding.worker FD` is the nursery: it has everything imported, and for each socket that it
is sent over its own (`FD`) it forks a decoder, in milliseconds, and sends back a handle on it (a pidfd). A
decoder answers one image at a time over its socket. It has a limit on its memory, can open no file and no
connection, gains no rights, leaves no core, and has nothing of the server's memory or environment. Both end
with the server, however that ends. Linux only.

Over a socket rather than shared memory: that would save 0.02 ms of a small image and 1 ms of one of 8 MB, and
what a decoder could still change after it was checked would have to be thought about.
"""

import contextlib
import ctypes
import gc
import os
import resource
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.errors import BrokenImage, ImageError, ImageTooLarge, ImageTooSmall, NotAnImage
from service.images import codec, fitting
from service.images.codec import Photo
from service.manifest import Input
from service.priority import step_back

ORDER = struct.Struct("=IHHBBdBI")
"""Bytes of data that follow; the tensor's height, width and channels; the resize rule's place in
`fitting.RULES`, and the share that `crop` keeps; whether the photo's pixels are wanted; the most pixels
allowed."""
REPLY = struct.Struct("=BIIIId")
"""0, the photo's width and height, and those of the pixels that follow the tensor; or an index into ERRORS
plus 1, the bytes of text that follow, and 0 three times. Then the processor seconds that the decoder has used
up in its life."""
BIRTH = struct.Struct("=Ii")
"""What the nursery is told: the bytes of memory of a decoder above what it starts with, and its niceness."""
BORN = struct.Struct("=i")
"""What the nursery answers: the number of the new process."""

ERRORS: tuple[type[ImageError], ...] = (BrokenImage, NotAnImage, ImageTooLarge, ImageTooSmall)
NO_MEMORY = "The image takes more memory to decode than is allowed here. Send it smaller, or as a JPEG."

_PDEATHSIG, _DUMPABLE, _NO_NEW_PRIVS = 1, 4, 38

Decode = Callable[[bytes, Input, int, bool], tuple[Photo, NDArray[np.uint8]]]


def decode(data: bytes, spec: Input, max_pixels: int, whole: bool = False) -> tuple[Photo, NDArray[np.uint8]]:
    """Decode in this process."""
    return codec.read(data, spec, max_pixels, whole=whole)


def main(work: Decode = decode) -> None:
    """Run the nursery until the server is gone."""
    control = socket.socket(fileno=int(sys.argv[1]))
    _end_with_parent()
    # Sent to all of a service's processes; the server finishes what it has, and needs its decoders for that.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    codec.warm_up_all()
    # The forks write on fewer of the pages that they share so.
    gc.freeze()
    parent = os.getpid()
    while True:
        with contextlib.suppress(ConnectionResetError):
            message, handles, _, _ = socket.recv_fds(control, BIRTH.size, 1)
        if len(message) < BIRTH.size:
            return
        _reap()
        child = os.fork()
        if not child:
            control.close()
            _live(socket.socket(fileno=handles[0]), parent, message, work)
        os.close(handles[0])
        handle = os.pidfd_open(child)
        socket.send_fds(control, [BORN.pack(child)], [handle])
        os.close(handle)


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _live(server: socket.socket, parent: int, birth: bytes, work: Decode) -> None:
    """Be a decoder until the server hangs up; never returns."""
    try:
        _confine(*BIRTH.unpack(birth))
        # The nursery may have ended before this process asked to end with it.
        if os.getppid() == parent:
            while _answer(server, work):
                pass
    finally:
        os._exit(0)


def _confine(memory: int, niceness: int) -> None:
    _end_with_parent()
    step_back(niceness)
    # Libraries print what they think of a hostile image; nobody can act on it.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    pages = int(Path("/proc/self/statm").read_bytes().split()[0])
    for limit, value in (
        (resource.RLIMIT_AS, pages * resource.getpagesize() + memory),
        (resource.RLIMIT_FSIZE, 0),
        # What is open stays so; no file, no socket, no pipe comes to it.
        (resource.RLIMIT_NOFILE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (value, value))
    prctl = ctypes.CDLL(None).prctl
    prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
    prctl(_DUMPABLE, 0, 0, 0, 0)


def _answer(server: socket.socket, work: Decode) -> bool:
    """Answer one image; False where the server has hung up."""
    order = server.recv(ORDER.size, socket.MSG_WAITALL)
    if len(order) < ORDER.size:
        return False
    length, height, width, channels, rule, share, whole, max_pixels = ORDER.unpack(order)
    data = server.recv(length, socket.MSG_WAITALL)
    if len(data) < length:
        return False
    grey = channels == 1
    spec = Input.model_construct(
        height=height,
        width=width,
        channels=channels,
        colour="grey" if grey else "rgb",
        resize=fitting.RULES[rule],
        crop_share=share,
        normalisation="",
    )
    try:
        photo, tensor = work(data, spec, max_pixels, bool(whole))
    except ImageError as error:
        return _refuse(server, error)
    except MemoryError:
        return _refuse(server, BrokenImage(NO_MEMORY))
    drawn = photo.image.size if whole else (0, 0)
    server.sendall(REPLY.pack(0, photo.width, photo.height, *drawn, time.process_time()))
    server.sendall(np.ascontiguousarray(tensor).data)
    if whole:
        server.sendall(photo.image.tobytes())
    return True


def _refuse(server: socket.socket, error: ImageError) -> bool:
    text = error.detail.encode()
    server.sendall(REPLY.pack(1 + ERRORS.index(type(error)), len(text), 0, 0, 0, time.process_time()) + text)
    return True


if __name__ == "__main__":
    main()
