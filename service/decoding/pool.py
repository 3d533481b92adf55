"""Who decodes: threads of the server, or processes that can crash, hang or be taken over without harm."""

import logging
import math
import os
import select
import signal
import socket
import struct
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from queue import LifoQueue

import numpy as np
from numpy.typing import NDArray

from service.configuration.settings import Settings
from service.decoding.budget import Budget
from service.decoding.nursery import Barren, Born, Nursery
from service.decoding.worker import ERRORS, ORDER, REPLY
from service.errors import DecoderCrashed, ImageTooCostly, NotAnImage
from service.formats import names
from service.images import codec, fitting, headers
from service.images.codec import Photo
from service.manifest import Input
from service.priority import HANDS, step_back
from service.work import Abandoned, Errand

log = logging.getLogger("service")

MEMORY_BYTES = 2**30
"""What a decoder may take above what it starts with, at least."""
MOST_BYTES_PER_PIXEL = 32
MAX_TEXT = 500
BUFFER_BYTES = 2**20


class _Lost(Exception):
    """A decoder is gone. `untouched` is whether it had not read its image, so that another may try."""

    def __init__(self, untouched: bool) -> None:
        super().__init__()
        self.untouched = untouched


class _Late(Exception):
    """A decoder took too long. `busy` is whether it computed meanwhile, not only waited for a processor."""

    def __init__(self, busy: bool) -> None:
        super().__init__()
        self.busy = busy


class _Link:
    """The server's end of one decoder, for one thread at a time."""

    def __init__(self, born: Born, seconds: float) -> None:
        self.pid, self._peer, self._handle = born.pid, born.peer, born.handle
        self._seconds = seconds
        self._used = 0.0
        limit = struct.pack("@ll", int(seconds), int(seconds % 1 * 1e6))
        # The kernel watches the time, at no cost; a time-out of Python's would take a poll for each call.
        self._peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        self._peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        self._peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)

    def ask(self, data: bytes, spec: Input, max_pixels: int, whole: bool) -> tuple[Photo, NDArray[np.uint8]]:
        """Have an image decoded. Raises an ImageError, _Lost or _Late; after the last two, end it."""
        started = time.monotonic()
        frame = (spec.height, spec.width, spec.channels, fitting.RULES.index(spec.resize), spec.crop_share)
        order = ORDER.pack(len(data), *frame, whole, max_pixels)
        try:
            self._peer.sendall(order)
            self._peer.sendall(data)
            return self._reply(spec, max_pixels, whole)
        except (ConnectionResetError, BrokenPipeError):
            # Hung up with the image, or a part of it, unread.
            raise _Lost(untouched=True) from None
        except (EOFError, BlockingIOError):
            if time.monotonic() - started < self._seconds:
                raise _Lost(untouched=False) from None
            raise _Late(self._is_busy()) from None

    def _reply(self, spec: Input, max_pixels: int, whole: bool) -> tuple[Photo, NDArray[np.uint8]]:
        outcome, width, height, *drawn, self._used = REPLY.unpack(self._receive(REPLY.size))
        # A decoder that an image has taken over could answer anything: what does not fit ends it.
        if outcome:
            if outcome > len(ERRORS) or width > MAX_TEXT:
                raise EOFError
            raise ERRORS[outcome - 1](self._receive(width).decode("ascii", "replace"))
        if not 0 < width * height <= headers.most_pixels(max_pixels):
            raise EOFError
        shape = (spec.height, spec.width, spec.channels)
        tensor = np.frombuffer(self._receive(math.prod(shape)), np.uint8).reshape(shape)
        if not whole:
            return codec.without_pixels(width, height), tensor
        size = (drawn[0], drawn[1])
        if not 0 < math.prod(size) <= max_pixels:
            raise EOFError
        pixels = self._receive(math.prod(size) * spec.channels)
        return codec.photo_of(pixels, size, spec.channels, width, height), tensor

    def _receive(self, count: int) -> bytearray:
        buffer = bytearray(count)
        if count and self._peer.recv_into(buffer, count, socket.MSG_WAITALL) < count:
            raise EOFError
        return buffer

    def _is_busy(self) -> bool:
        """Return whether the decoder has computed for half of the time that it had."""
        with suppress(OSError):
            # The clock of another process, by its number (clock_getcpuclockid).
            return time.clock_gettime((~self.pid << 3) | 2) - self._used > self._seconds / 2
        return False

    def kill(self) -> None:
        """Have the decoder end, whatever it is at; who waits for its answer learns of it."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    def end(self) -> None:
        """Kill the decoder, if it lives."""
        self.kill()
        # Gone for sure before another takes its place: there are never more than were asked for.
        gone = select.poll()
        gone.register(self._handle, select.POLLIN)
        gone.poll(1000)
        os.close(self._handle)
        self._peer.close()


class Decoders:
    """At most `count` processes that decode, born when first needed. Thread-safe.

    `seconds` is the longest that an image may take; `module` is what runs in the processes.
    """

    def __init__(
        self, count: int, seconds: float, memory: int, niceness: int, module: str = "service.decoding.worker"
    ) -> None:
        self._seconds = seconds
        self.nursery = Nursery(module, memory, niceness)
        # The one that was used last has the warmest caches; None stands for one that is to be born.
        self._idle: LifoQueue[_Link | None] = LifoQueue()
        for _ in range(count):
            self._idle.put(None)
        self._count = count

    def decode(
        self, data: bytes, spec: Input, max_pixels: int, whole: bool = False, errand: Errand | None = None
    ) -> tuple[Photo, NDArray[np.uint8]]:
        """Decode in one of the processes, which is ended when the errand is stopped.

        Raises an ImageError, DecoderCrashed or Abandoned.
        """
        errand = errand or Errand()
        for _ in range(2):
            try:
                return self._once(data, spec, max_pixels, whole, errand)
            except _Lost as lost:
                if errand.gone:
                    raise Abandoned from None
                if not lost.untouched:
                    break
            except _Late as late:
                log.warning("a decoder was stopped: an image of %d bytes took too long", len(data))
                if late.busy:
                    raise ImageTooCostly(
                        f"The image takes longer than {self._seconds:g} s to decode. Send it smaller."
                    ) from None
                break
        log.warning("a decoder was lost with an image of %d bytes", len(data))
        raise DecoderCrashed(
            "The process that decoded the image was lost. Others are not affected; try again once."
        )

    def _once(
        self, data: bytes, spec: Input, max_pixels: int, whole: bool, errand: Errand
    ) -> tuple[Photo, NDArray[np.uint8]]:
        link = self._idle.get()
        try:
            link = link or self._born()
            with errand.stopped_by(link.kill):
                return link.ask(data, spec, max_pixels, whole)
        except (_Lost, _Late):
            if link:
                link.end()
            link = None
            raise
        finally:
            self._idle.put(link)

    def start(self) -> None:
        """Start the nursery, so that the first image need not wait for its imports."""
        self.nursery.start()

    def _born(self) -> _Link:
        try:
            born = self.nursery.bear()
        except Barren:
            raise _Lost(untouched=False) from None
        return _Link(born, self._seconds)

    def close(self) -> None:
        """End all processes. Nobody may ask any more."""
        self.nursery.close()
        for _ in range(self._count):
            if link := self._idle.get():
                link.end()


class Hands(ThreadPoolExecutor):
    """The threads that decode and encode; where decoding is isolated, each waits for a process meanwhile.

    `budget` is the memory that decodes may take together.
    """

    def __init__(self, settings: Settings, module: str = "service.decoding.worker") -> None:
        niceness = min(HANDS, settings.engine_niceness)
        super().__init__(settings.decode_threads, "hand", initializer=step_back, initargs=(niceness,))
        self.budget = Budget(settings.decode_budget_bytes, max(1, settings.decode_threads - 1))
        self.isolated = settings.isolates_decoding
        """Whether all images are decoded outside this process; those of the rarer formats always are."""
        self._decoders: Decoders | None = None
        if sys.platform == "linux":
            memory = max(MEMORY_BYTES, MOST_BYTES_PER_PIXEL * settings.max_pixels)
            seconds = settings.decode_limit_ms / 1000
            self._decoders = Decoders(settings.decode_threads, seconds, memory, niceness, module)

    def decode(
        self,
        data: bytes,
        spec: Input,
        max_pixels: int,
        whole: bool = False,
        errand: Errand | None = None,
        head: headers.Head | None = None,
    ) -> tuple[Photo, NDArray[np.uint8]]:
        """Decode where the settings and the format say, in a thread of the caller's. `head` is what
        `headers.read` gave of it already; a process of its own reads it again, for it trusts nobody.

        Raises an ImageError or Abandoned.
        """
        if errand and errand.gone:
            raise Abandoned
        kind = head.format if head else names.kind_of(data)
        if not self.isolated and (kind is None or kind in names.PLAIN):
            return codec.read(data, spec, max_pixels, whole=whole, head=head)
        if not self._decoders:
            raise NotAnImage(
                "Images of this format are decoded in processes of their own, which this system does not "
                f"have; the formats that are read: {names.listed(names.PLAIN)}."
            )
        return self._decoders.decode(data, spec, max_pixels, whole, errand)

    def start(self) -> None:
        """Get ready to decode."""
        if self._decoders and self.isolated:
            self._decoders.start()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Finish what was taken on, then end threads and processes."""
        super().shutdown(wait, cancel_futures=cancel_futures)
        if self._decoders:
            self._decoders.close()
            self._decoders = None
