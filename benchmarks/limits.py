"""The limit: the model alone, in process, at several batch sizes. Prints JSON lines.

    python -m benchmarks.limits ENGINE PRECISION MODEL_FOLDER IMAGE_FILE [SECONDS]

As many calls at a time as the engine has lanes; with the image also the rate of decoding and computing
together, as one loop without HTTP.
"""

import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import numpy as np

from service import engines
from service.configuration.settings import Settings
from service.engines import Name, Precision
from service.images import codec
from service.versions.integrity import read_manifest


def main(engine: str, precision: str, folder: Path, image: Path, seconds: float = 1.0) -> None:
    """Measure one engine on one model."""
    settings = Settings()
    manifest = read_manifest(folder.parent.name, int(folder.name), folder)
    spec = manifest.input
    loaded = engines.load(
        cast("Name", engine),
        folder,
        cast("Precision", precision),
        settings.engine_threads,
        settings.max_batch,
    )
    data = image.read_bytes()
    label = {"engine": engine, "precision": precision, "model": manifest.name, "plan": loaded.plan}
    shape = (spec.height, spec.width, spec.channels)
    noise = np.random.default_rng(0).integers(0, 256, (32, *shape), np.uint8)

    def report(batch: str, rate: float) -> None:
        print(json.dumps({**label, "batch": batch, "images_per_second": rate}), flush=True)

    report("1, alone", _rate(lambda: loaded.run(noise[:1], True), 1, 1, seconds))
    for batch in (1, 8, 32):
        size = min(batch, loaded.max_batch)
        tensors = noise[:size]
        report(str(batch), _rate(lambda: loaded.run(tensors, False), size, loaded.lanes, seconds))  # noqa: B023

    def pipeline() -> None:
        size = min(32, loaded.max_batch)
        decoded = [codec.fit(codec.decode(codec.inspect(data, 2**28), spec), spec) for _ in range(size)]
        loaded.run(np.stack(decoded), False)

    # As many as decode at once in the service; each decodes a batch and has it computed.
    report("32, decoding", _rate(pipeline, min(32, loaded.max_batch), settings.decode_threads, seconds))


def _rate(work: Callable[[], object], images_per_call: int, threads: int, seconds: float) -> float:
    """Return the images per second of `threads` that call `work` over and over."""
    work()
    stop = time.perf_counter() + seconds

    def loop(_: int) -> int:
        count = 0
        while time.perf_counter() < stop:
            work()
            count += 1
        return count

    started = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        calls = sum(pool.map(loop, range(threads)))
    return calls * images_per_call / (time.perf_counter() - started)


if __name__ == "__main__":
    main(
        sys.argv[1],
        sys.argv[2],
        Path(sys.argv[3]),
        Path(sys.argv[4]),
        float(sys.argv[5]) if len(sys.argv) > 5 else 1.0,
    )
