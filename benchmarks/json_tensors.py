"""What it takes to read pixels in JSON, against a plain parser with NumPy, and for how long the loop is held.

python -m benchmarks.json_tensors
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import numpy as np
import orjson

from service.dialects import tensors
from service.dialects.documents import Numbers
from service.manifest import Input

ROUNDS = 20
_RULES = {"colour": "rgb", "resize": "stretch", "normalisation": "none"}
SHAPES = ((1, 28, 28, 1), (32, 28, 28, 1), (1, 128, 128, 3), (1, 224, 224, 3), (8, 224, 224, 3))


async def _held(work: Callable[[], Coroutine[Any, Any, Any]]) -> tuple[float, float]:
    """Return the shortest time of some rounds, and the longest that the loop was held in any,
    in ms of the processor: what else runs here does not count.
    """
    gaps, times = [0.0], []
    last = 0.0

    async def watch() -> None:
        nonlocal last
        while True:
            now = time.thread_time()
            gaps.append(now - last)
            last = now
            await asyncio.sleep(0)

    for _ in range(ROUNDS):
        last = started = time.thread_time()
        beside = asyncio.create_task(watch())
        await work()
        gaps.append(time.thread_time() - last)
        times.append(time.thread_time() - started)
        beside.cancel()
    return 1000 * min(times), 1000 * max(gaps)


def main() -> None:
    """Print a table."""
    print(f"{'shape':>18} {'nesting':>8} {'bytes':>9} {'ours':>8} {'a turn':>8} {'plain':>8}   ms")
    for shape in SHAPES:
        pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        spec = Input.model_validate(
            _RULES | dict(zip(("height", "width", "channels"), shape[1:], strict=True))
        )
        forms = (
            ("nested", pixels.tolist()),
            ("flat", pixels.ravel().tolist()),
            ("12.0", pixels.astype(float).tolist()),
        )
        for nesting, value in forms:
            text = orjson.dumps(value)
            numbers = Numbers(memoryview(text))
            read = asyncio.run(_held(partial(tensors.pixels, numbers, spec, 32, shape=shape)))
            plain = min(_plain(text) for _ in range(ROUNDS))
            figures = f"{read[0]:8.2f} {read[1]:8.2f} {plain:8.2f}"
            print(f"{shape!s:>18} {nesting:>8} {len(text):9,} {figures}")


def _plain(text: bytes) -> float:
    started = time.thread_time()
    np.array(orjson.loads(text), np.uint8)
    return 1000 * (time.thread_time() - started)


if __name__ == "__main__":
    main()
