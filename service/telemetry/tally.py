"""Instruments' values that several processes share, in memory of their own.

prometheus_client's own way is a file per process in a folder, mapped into memory: where the folder's device
is full, the kernel ends whoever touches a page of it by SIGBUS. This is one piece of anonymous memory
(memfd_create(2)), which no device bounds. It has a region for each process that can live at a time; a process
takes over the region of one that has ended, and counts on from there, so that counters never fall. Gauges are
of the process that set them: they count while it lives.
"""

import json
import logging
import math
import mmap
import os
import struct
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.reduction import DupFd
from typing import Any

from prometheus_client import values
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

log = logging.getLogger("service")

REGION_BYTES = 16 * 2**20
"""Of one process: some 80,000 series. Only what is used takes memory."""

_HEADER = struct.Struct("=QQ")
"""The bytes in use, these included; and whether the process lives."""
_LENGTH = struct.Struct("=Q")
_VALUE = struct.Struct("=d")

_FOLD: dict[str, Callable[[Sequence[float]], float]] = {"livesum": sum, "livemax": max, "livemin": min}


class Tally:
    """The shared memory, made by the process that starts the others, to which it can be handed on."""

    def __init__(self, regions: int, fd: int | None = None) -> None:
        """Make it, or take the one that is handed on. OSError where there is no such memory here."""
        self.regions = regions
        if fd is None:
            if not hasattr(os, "memfd_create"):
                raise OSError("only Linux has memory of that kind")
            fd = os.memfd_create("striate-metrics", os.MFD_CLOEXEC)
            os.ftruncate(fd, regions * REGION_BYTES)
        self.fd = fd

    def __reduce__(self) -> tuple[Any, ...]:
        """Hand it on to a process that is being started."""
        return _take, (self.regions, DupFd(self.fd))

    def open(self, region: int) -> mmap.mmap:
        """Map a region, to write to it."""
        return mmap.mmap(self.fd, REGION_BYTES, offset=region * REGION_BYTES)

    def begin(self, region: int) -> None:
        """Give a region to a process: its counters go on, its gauges begin anew."""
        with self.open(region) as memory:
            used = max(_HEADER.unpack_from(memory)[0], _HEADER.size)
            for key, _, place in _entries(memory[:used]):
                if json.loads(key)[0] == "gauge":
                    memory[place : place + _VALUE.size] = _VALUE.pack(math.nan)
            memory[: _HEADER.size] = _HEADER.pack(used, 1)

    def end(self, region: int) -> None:
        """Note that the process of a region has ended, however it did."""
        with self.open(region) as memory:
            memory[8:16] = _LENGTH.pack(0)

    def read(self, region: int) -> tuple[bool, list[tuple[str, float]]]:
        """Return whether the process of a region lives, and its values by key."""
        start = region * REGION_BYTES
        used, lives = _HEADER.unpack(os.pread(self.fd, _HEADER.size, start))
        data = os.pread(self.fd, used, start) if used else b""
        return bool(lives), [(key, value) for key, value, _ in _entries(data)]


def _take(regions: int, handle: Any) -> Tally:
    return Tally(regions, handle.detach())


def _entries(data: bytes) -> Iterator[tuple[str, float, int]]:
    """Give each key with its value and where that stands."""
    place = _HEADER.size
    while place < len(data):
        (length,) = _LENGTH.unpack_from(data, place)
        place += _LENGTH.size
        key = data[place : place + length].decode()
        place += length + -length % 8
        yield key, _VALUE.unpack_from(data, place)[0], place
        place += _VALUE.size


class _Region:
    """This process's own region: a place for each key."""

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory
        self._used = _HEADER.unpack_from(memory)[0]
        self._places = {key: place for key, _, place in _entries(memory[: self._used])}
        self.full = False

    def place(self, key: str) -> int | None:
        """Return where a key's value stands; None where there is no room for it."""
        if key not in self._places:
            encoded = key.encode()
            entry = _LENGTH.pack(len(encoded)) + encoded + bytes(-len(encoded) % 8) + _VALUE.pack(0.0)
            if self._used + len(entry) > REGION_BYTES:
                if not self.full:
                    log.error("no room for more series: new ones are counted by each process for itself")
                self.full = True
                return None
            self._memory[self._used : self._used + len(entry)] = entry
            self._places[key] = self._used + len(entry) - _VALUE.size
            self._used += len(entry)
            # Last, so that nobody reads half an entry.
            self._memory[:8] = _LENGTH.pack(self._used)
        return self._places[key]

    def get(self, place: int) -> float:
        value: float = _VALUE.unpack_from(self._memory, place)[0]
        return value

    def set(self, place: int, value: float) -> None:
        self._memory[place : place + 8] = _VALUE.pack(value)


class SharedValue:
    """One series of one process, as prometheus_client's instruments use it."""

    _multiprocess = True
    region: _Region
    lock = threading.Lock()
    tally: Tally | None = None

    def __init__(
        self, kind: str, metric: str, name: str, *rest: Any, multiprocess_mode: str = "", **_: Any
    ) -> None:
        labels, label_values, help_text = rest
        named = dict(zip(labels, label_values, strict=True))
        key = json.dumps([kind, multiprocess_mode, metric, name, named, help_text], sort_keys=True)
        with self.lock:
            self._place = self.region.place(key)
            self._value = 0.0 if self._place is None or kind == "gauge" else self.region.get(self._place)
            self._keep()

    def _keep(self) -> None:
        if self._place is not None:
            self.region.set(self._place, self._value)

    def inc(self, amount: float) -> None:
        """Add to it."""
        with self.lock:
            self._value += amount
            self._keep()

    def set(self, value: float, timestamp: float | None = None) -> None:
        """Replace it."""
        with self.lock:
            self._value = value
            self._keep()

    def get(self) -> float:
        """Return this process's own."""
        return self._value

    def set_exemplar(self, exemplar: object) -> None:
        """Exemplars are not kept."""

    def get_exemplar(self) -> None:
        """Exemplars are not kept."""


def share(tally: Tally, region: int) -> None:
    """Have every instrument that this process makes from now on keep its values in a region of `tally`."""
    SharedValue.tally, SharedValue.region = tally, _Region(tally.open(region))
    values.ValueClass = SharedValue


def shared() -> "Together | None":
    """Return what gives the values of all processes; None where this one counts for itself."""
    return Together(SharedValue.tally) if SharedValue.tally is not None else None


class Together(Collector):
    """Gives the values of all processes, as if one had counted."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def collect(self) -> Iterator[Metric]:
        """Give each instrument with its samples."""
        metrics: dict[str, Metric] = {}
        buckets: dict[tuple[str, str], dict[float, float]] = defaultdict(dict)
        for key, counts in self._found().items():
            kind, mode, metric, name, labels, help_text = json.loads(key)
            total = _FOLD.get(mode, sum)(counts)
            family = metrics.setdefault(metric, Metric(metric, help_text, kind))
            if name.endswith("_bucket") and kind == "histogram":
                bound = float(labels.pop("le"))
                buckets[metric, json.dumps(labels)][bound] = total
            else:
                family.add_sample(name, labels, total)
        for (metric, text), bounds in buckets.items():
            _pile(metrics[metric], json.loads(text), bounds)
        yield from metrics.values()

    def _found(self) -> dict[str, list[float]]:
        """Return each series' values, of the processes that count for it."""
        found: dict[str, list[float]] = defaultdict(list)
        for region in range(self._tally.regions):
            lives, entries = self._tally.read(region)
            for key, value in entries:
                # A gauge is its process's; one that it has not set yet is no number.
                if (lives or not key.startswith('["gauge"')) and not math.isnan(value):
                    found[key].append(value)
        return found


def _pile(family: Metric, labels: dict[str, str], bounds: dict[float, float]) -> None:
    """Add a histogram's buckets, each with all below it, and the count."""
    total = 0.0
    for bound, count in sorted(bounds.items()):
        total += count
        limit: str = floatToGoString(bound)  # type: ignore[no-untyped-call]
        family.add_sample(f"{family.name}_bucket", labels | {"le": limit}, total)
    family.add_sample(f"{family.name}_count", labels, total)
