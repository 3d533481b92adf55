"""The structure of a JPEG: its scans, where each one's data ends, what may stand behind (T.81, annex B)."""

import math
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .names import Unreadable

END = b"\xff\xd9"
TEXT = bytes((9, 10, 13, *range(32, 127)))
_SEGMENTS = 4096
"""Segments in front of one scan."""
_TABLES = 8
"""Huffman tables that there can be."""
_SCANS = 500
"""Scans of a file. Usual progressive ones have ten, and each takes time for the whole image."""
_ALL = 2**64 - 1
_BLOCK = 2**18
_RUN = 24
"""Bytes of one pattern or of text, at the end of a scan, that are no picture by their look."""
_HOLE = bytes(64)
_MARK = re.compile(rb"\xff[^\x00\xff]")
_FILL = re.compile(rb"\xff*")

_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_TELLING = _FRAMES | {0xC4, 0xDD}
"""Markers of what a scan is read by: frames, Huffman tables, the restart interval."""
_MARKERS = frozenset((*range(0xC0, 0xF0), 0xFE))
"""Markers with a meaning."""
_SEQUENTIAL = frozenset((0xC0, 0xC1))
_PROGRESSIVE, _LOSSLESS = frozenset((0xC2, 0xCA)), frozenset((0xC3, 0xCB))
_ARITHMETIC = frozenset((0xC9, 0xCA, 0xCB))
_LAST = frozenset((0xD8, 0xD9))
"""Markers that no scan follows: of the end, and of the start of another image."""
_ALONE = frozenset((0x00, 0x01, *range(0xD0, 0xD8)))


class Damaged(Unreadable):
    """A file without all of its pixels; the text says so to people."""

    def __init__(self) -> None:
        super().__init__(
            "The JPEG is cut short or damaged: not every row of its pixels is there. Send the whole file."
        )


@dataclass(frozen=True, slots=True)
class Scan:
    """One scan, by its header (T.81, section B.2.3)."""

    planes: tuple[int, ...]
    """Numbers of its components."""
    bits: int
    """The coefficients that it brings to their last bit, as bits of a number: all 64, if not progressive."""
    first: bool
    """Whether it is a first one of all, with the lowest frequencies."""
    refines: bool
    """Whether it adds a bit to what others brought: most of its bits are no codes."""
    start: int
    interval: int
    """The units between two restart marks; 0 for none."""
    busy: bool
    """Whether bytes of zeros are 63 values to a block, not its end: no picture has that."""

    def has_hole(self, data: bytes, end: int) -> bool:
        """Return whether there are zeros in its data, up to `end`, that cannot be pixels."""
        return self.busy and data.find(_HOLE, self.start, end) >= 0


class Layout:
    """The structure of a JPEG. Raises Damaged where there is none up to the first scan."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._frame = 0
        self._size = (0, 0)
        # Number of a component: its sampling factors, across and down.
        self._planes: dict[int, tuple[int, int]] = {}
        self._interval = 0
        # Class and number of a Huffman table: the symbol that its code of zeros stands for.
        self._symbols: dict[int, int] = {}
        first = self._scan_from(2)
        if first is None or not self._planes:
            raise Damaged
        self.first = first
        self.single = self._frame not in _PROGRESSIVE and len(first.planes) >= len(self._planes)
        self.arithmetic = self._frame in _ARITHMETIC
        """Whether its coding is arithmetic, not Huffman's."""
        self.scalable = self._frame not in _LOSSLESS
        """Whether it can be decoded at a fraction of its size."""

    def is_stray(self, end: int) -> bool:
        """Return whether nothing stands there that can follow a scan: the file's end, or a chance marker."""
        at = _marker_at(self.data, end)
        marker = self.data[at : at + 1]
        if not marker or marker[0] not in _MARKERS:
            return True
        if marker[0] == 0xD9:
            return False
        # What has a length is followed by the next marker, and the start of an image by its first one.
        size = 0 if marker[0] == 0xD8 else int.from_bytes(self.data[at + 1 : at + 3], "big")
        return self.data[at + 1 + size : at + 2 + size] != b"\xff" and marker[0] != 0xDA

    def is_copied(self, at: int) -> bool:
        """Return whether what stands around a place stands before it too: data that was repeated."""
        around = self.data[at - _RUN : at + 8]
        return self.data.find(around, self.first.start, at - _RUN + len(around) - 1) != -1

    def scans(self) -> Iterator[tuple[Scan, int]]:
        """Go through the scans, each with where its data ends. Raises Damaged where some are missing."""
        scan: Scan | None = self.first
        missing, bits, count = set(self._planes), dict.fromkeys(self._planes, 0), 0
        while scan:
            end, restarts = end_of(self.data, scan)
            count += 1
            if count > _SCANS or (scan.interval and restarts < self._restarts(scan)):
                raise Damaged
            yield scan, end
            missing -= set(scan.planes if scan.first else ())
            bits |= {plane: bits[plane] | scan.bits for plane in scan.planes}
            last, scan = scan, None if self.single else self._scan_from(end)
        ended = self.data.startswith(END, end) and filler_of(self.data, last, end)[0] == end
        if missing or not (ended or set(bits.values()) == {_ALL}):
            raise Damaged

    def _restarts(self, scan: Scan) -> int:
        """Return how many restart marks a scan has at least (T.81, sections A.1.1 and A.2)."""
        block = 1 if self._frame in _LOSSLESS else 8
        units = 1
        for side, length in enumerate(self._size):
            most = max(factors[side] for factors in self._planes.values())
            # A scan of one component goes block by block, of several by as many as the sampling says.
            own = self._planes[scan.planes[0]][side] if len(scan.planes) == 1 else 1
            samples = math.ceil(length * own / most)
            units *= math.ceil(samples / block)
        return (units - 1) // scan.interval

    def _scan_from(self, at: int) -> Scan | None:
        """Read segments up to the next scan's data; None where there is no other scan."""
        data = self.data
        try:
            for _ in range(_SEGMENTS):
                at = data.index(b"\xff", at) + 1
                if data[at] == 0xFF:
                    at = _marker_at(data, at)
                marker = data[at]
                at += 1
                if marker in _ALONE:
                    continue
                if marker not in _MARKERS or marker in _LAST:
                    return None
                body = data[at + 2 : at + max(2, *struct.unpack_from(">H", data, at))]
                at += 2 + len(body)
                if marker == 0xDA:
                    return self._scan(body, at)
                if marker in _TELLING:
                    self._keep(marker, body)
        except (ValueError, IndexError, struct.error):
            pass
        return None

    def _keep(self, marker: int, body: bytes) -> None:
        if marker in _FRAMES:
            height, width = struct.unpack_from(">xHH", body)
            self._frame, self._size = marker, (width, height)
            self._planes = {body[at]: (body[at + 1] >> 4, body[at + 1] & 15) for at in range(6, len(body), 3)}
        elif marker == 0xDD:
            (self._interval,) = struct.unpack_from(">H", body)
        elif marker == 0xC4:
            # Sixteen counts of codes, by their length, and the symbols (T.81, section B.2.4.2).
            for _ in range(_TABLES):
                if len(body) > 17:
                    self._symbols[body[0]] = body[17]
                    body = body[17 + sum(body[1:17]) :]

    def _scan(self, body: bytes, start: int) -> Scan | None:
        planes = tuple(body[1 : 1 + 2 * body[0] : 2])
        first, last, bits = body[-3:]
        if not planes or not set(planes) <= set(self._planes):
            return None
        if self._frame not in _PROGRESSIVE:
            # The low bits are a value's length; the symbols of none end the block or pass over zeros.
            busy = self._frame in _SEQUENTIAL and self._symbols.get(0x10 | body[2] & 15, 0) & 15 > 0
            return Scan(planes, _ALL, True, False, start, self._interval, busy)
        done = (2 << last) - (1 << first) if not bits & 15 and first <= last < 64 else 0
        refines = bits >> 4 > 0
        return Scan(planes, done, first == 0 and not refines, refines, start, self._interval, False)


def _marker_at(data: bytes, at: int) -> int:
    """Pass over a marker's first byte, and what fills up before it (T.81, section B.1.1.2)."""
    found = _FILL.match(data, at)
    return found.end() if found else at


def end_of(data: bytes, scan: Scan) -> tuple[int, int]:
    """Return where a scan's data ends, at a marker or the file's end, and how many restart marks it has."""
    start, end, restarts = scan.start, len(data), 0
    # A progressive image has many short scans, for which this is faster.
    if not scan.interval and (found := _MARK.search(data, start, start + 16_384)):
        return _before_fill(data, start, found.start()), 0
    for at in range(start, len(data) - 1, _BLOCK):
        block = np.frombuffer(data, np.uint8, min(_BLOCK + 1, len(data) - at), at)
        places = np.flatnonzero(block[:-1] == 0xFF)
        codes = block[places + 1]
        markers = (codes != 0) & (codes != 0xFF)
        if scan.interval:
            marks = (codes & 0xF8) == 0xD0
            markers &= ~marks
            restarts += int(np.count_nonzero(marks[: np.argmax(markers)] if markers.any() else marks))
        if markers.any():
            end = at + int(places[np.argmax(markers)])
            break
    return _before_fill(data, start, end), restarts


def _before_fill(data: bytes, start: int, end: int) -> int:
    """Go back over bytes that fill up before a marker."""
    return start + len(data[start:end].rstrip(b"\xff")) if data[end - 1] == 0xFF else end


def filler_of(data: bytes, scan: Scan, end: int) -> tuple[int, bool]:
    """Return where a run of one pattern, or of text, starts that goes up to the scan's end; else its end.

    And whether that cannot be pixels: text, ones alone, or zeros where they are values. What is repeated can
    be a plain surface.
    """
    start = scan.start
    tail = data[max(start, end - _RUN) : end]
    if len(tail) < _RUN:
        return end, False
    for period in range(1, _RUN // 3):
        if tail[period:] == tail[:-period]:
            whole = np.frombuffer(data, np.uint8, end - start, start)
            breaks = np.flatnonzero(whole[period:] != whole[:-period])
            certain = scan.busy if not any(tail) else period == 2 and set(tail) == {0, 0xFF}
            return start + int(breaks[-1]) + 1 if len(breaks) else start, certain
    if not tail.strip(TEXT):
        return start + len(data[start:end].rstrip(TEXT)), True
    return end, False
