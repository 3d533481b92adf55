"""What decoding in processes costs against threads, and what checks before decoding cost. Prints JSON lines.

    python -m benchmarks.isolation [ROUNDS]

Both ways take turns image by image, in one thread, so that whatever else the machine does meets both; the
figures are medians, in milliseconds from bytes to tensor.
"""

import io
import json
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
from PIL import Image

from service.configuration.settings import Settings
from service.decoding.pool import Hands
from service.images import codec, fitting, headers
from service.manifest import Input
from service.priority import HANDS, step_back

_SPEC = Input(height=224, width=224, channels=3, colour="rgb", resize="stretch", normalisation="")
_MAX_PIXELS = 2**24


def main(rounds: int = 60) -> None:
    """Measure each kind of image both ways, and the ways to a new decoder."""
    # As the service's threads that decode; else the processes would step back behind the threads here.
    step_back(HANDS)
    hands = Hands(Settings(decode_isolation="process", decode_threads=1))
    try:
        _report("first image, with the nursery's start", lambda: hands.decode(_photo(64, 64), *_ASKED))
        for name, data in _samples().items():
            few = max(5, rounds // (1 + len(data) // 200_000))
            _compare(name, data, hands, few)
    finally:
        hands.shutdown()


_ASKED = (_SPEC, _MAX_PIXELS, False)


def _samples() -> dict[str, bytes]:
    return {
        "JPEG 28 x 28": _photo(28, 28),
        "JPEG 640 x 480": _photo(640, 480),
        "PNG 640 x 480": _photo(640, 480, "PNG"),
        "WebP 640 x 480": _photo(640, 480, "WEBP"),
        "JPEG 4000 x 3000": _photo(4000, 3000),
        "PNG 4000 x 3000": _photo(4000, 3000, "PNG"),
    }


def _photo(width: int, height: int, kind: str = "JPEG") -> bytes:
    """Encode something with a photo's size in bytes: soft shapes under a little noise."""
    chance = np.random.default_rng(0)
    soft = chance.integers(0, 256, (height // 16 + 2, width // 16 + 2, 3), np.uint8)
    shapes = np.asarray(Image.fromarray(soft).resize((width, height), Image.Resampling.BICUBIC), np.int16)
    noisy = shapes + chance.normal(0, 4, shapes.shape).astype(np.int16)
    buffer = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(buffer, kind, quality=88)
    return buffer.getvalue()


def _compare(name: str, data: bytes, hands: Hands, rounds: int) -> None:
    ways: dict[str, Callable[[], object]] = {
        "thread": lambda: codec.read(data, _SPEC, _MAX_PIXELS, whole=False),
        "process": lambda: hands.decode(data, *_ASKED),
        "head": lambda: headers.read(data, _MAX_PIXELS).price(fitting.least_side(_SPEC), _MAX_PIXELS),
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, work in ways.items():
            seconds[way].append(_timed(work))
    found = {way: round(statistics.median(times) * 1000, 4) for way, times in seconds.items()}
    cost = found["process"] - found["thread"]
    _print(image=name, bytes=len(data), **found, cost=round(cost, 3))


def _report(name: str, work: Callable[[], object]) -> None:
    _print(step=name, milliseconds=round(_timed(work) * 1000, 1))


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _print(**fields: object) -> None:
    print(json.dumps(fields), flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
