"""The limit: the model alone, in process, at several batch sizes. Prints JSON lines.

    python -m benchmarks.limits ENGINE PRECISION MODEL_FOLDER IMAGE_FILE [SECONDS]

With the image also the rate of decoding and computing together, as one loop without HTTP.
"""

import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from service import engines, images
from service.engines import Name, Precision
from service.repository import read_manifest
from service.settings import Settings


def main(engine: str, precision: str, folder: Path, image: Path, seconds: float = 1.0) -> None:
    """Measure one engine on one model."""
    settings = Settings()
    manifest = read_manifest(folder.parent.name, int(folder.name), folder)
    spec = manifest.input
    loaded = engines.load(cast("Name", engine), folder, cast("Precision", precision), settings.engine_threads)
    data = image.read_bytes()
    label = {"engine": engine, "precision": precision, "model": manifest.name}
    for batch in (1, 8, 32):
        tensors = np.random.default_rng(0).integers(
            0, 256, (batch, spec.height, spec.width, spec.channels), np.uint8
        )
        rate = batch * _rate(lambda tensors=tensors: loaded.run(tensors), seconds)  # type: ignore[misc]
        print(json.dumps({**label, "batch": batch, "images_per_second": rate}), flush=True)
    with ThreadPoolExecutor(settings.decode_threads) as hands:

        def decoded(_: int) -> NDArray[np.uint8]:
            return images.fit(images.decode(images.inspect(data, 2**28), spec), spec)

        def pipeline() -> None:
            loaded.run(np.stack(list(hands.map(decoded, range(32)))))

        rate = 32 * _rate(pipeline, seconds)
    print(json.dumps({**label, "batch": "32, decoding", "images_per_second": rate}), flush=True)


def _rate(work: Callable[[], object], seconds: float) -> float:
    for _ in range(3):
        work()
    count, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds:
        work()
        count += 1
    return count / elapsed


if __name__ == "__main__":
    main(
        sys.argv[1],
        sys.argv[2],
        Path(sys.argv[3]),
        Path(sys.argv[4]),
        float(sys.argv[5]) if len(sys.argv) > 5 else 1.0,
    )
