"""A live version, measured here and now: where its time goes, layer by layer, and what batches save.

It is run beside the live one, in a thread that steps back, on a copy of its own where the engine can profile:
requests go on. The folder is read again for it, and counts only while it is what the manifest says.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.engines import Operation
from service.errors import Overloaded, StriateError, VersionNotFound, VersionRefused
from service.images import codec
from service.inference.predictor import Predictor
from service.manifest import Layer
from service.priority import MEASURING, step_back
from service.versions import golden, graph, integrity
from service.versions.repository import Live

_ROUNDS = 3
_SECONDS = 2.0
"""For how long batches of growing size are tried."""

_KINDS = {
    "Conv2D": {"Convolution"},
    "SeparableConv2D": {"Convolution"},
    "DepthwiseConv2D": {"Convolution"},
    "Conv2DTranspose": {"Deconvolution"},
    "Dense": {"FullyConnected", "MatMul"},
    "MaxPooling2D": {"Pooling"},
    "AveragePooling2D": {"Pooling"},
    "GlobalAveragePooling2D": {"Pooling", "Reduce"},
    "Concatenate": {"Concatenation"},
    "UpSampling2D": {"Interpolate"},
}
"""What the engine makes of a layer; of others (normalisation, activations) nothing is left by itself."""


@dataclass(frozen=True)
class Share:
    """A layer with the seconds that it takes, those of what was merged into it among them."""

    name: str
    seconds: float
    output_bytes: int


class Measuring:
    """Measures one version at a time: two would measure each other.

    Who has asked may leave; what was begun is done to its end, for no thread can be stopped.
    """

    def __init__(self) -> None:
        self._tasks: dict[Predictor, asyncio.Task[dict[str, Any]]] = {}

    async def measure(self, live: Live) -> dict[str, Any]:
        """Return what was measured: who asks for what is being measured waits for that.

        Overloaded while it is another version; VersionNotFound where the folder is not what was loaded.
        """
        predictor = live.predictor
        if predictor not in self._tasks:
            if self._tasks:
                raise Overloaded("Another version is being measured: ask again when that has ended.", 5)
            task = asyncio.create_task(self._aside(live))
            self._tasks[predictor] = task
            task.add_done_callback(partial(self._done, predictor))
        return await asyncio.shield(self._tasks[predictor])

    async def _aside(self, live: Live) -> dict[str, Any]:
        with live.predictor:
            aside = ThreadPoolExecutor(1, "measure", step_back, (MEASURING,))
            try:
                return await asyncio.get_running_loop().run_in_executor(aside, measure, live)
            except (OSError, VersionRefused) as error:
                raise VersionNotFound("Its folder is no longer what was loaded.") from error
            finally:
                aside.shutdown(wait=False)

    def _done(self, predictor: Predictor, task: asyncio.Task[dict[str, Any]]) -> None:
        del self._tasks[predictor]
        if not task.cancelled():
            # Taken note of, also where nobody waits any more.
            task.exception()


def measure(live: Live) -> dict[str, Any]:
    """Return what was measured, in milliseconds. VersionRefused where the folder is not what was loaded."""
    manifest, engine = live.predictor.manifest, live.predictor.engine
    integrity.check_files(live.folder, manifest)
    graph.check(live.folder)
    spec = manifest.input
    image = np.zeros((1, spec.height, spec.width, spec.channels), np.uint8)
    operations = engine.profile(live.folder) if engine.profile else []
    batches = list(_batches(engine.run, image, engine.max_batch))
    decode = _decode(live)
    alone = batches[0]["milliseconds"]
    shares, rest = matched(manifest.layers, operations)
    return {
        "engine": {"name": engine.name, "precision": engine.precision, "plan": engine.plan},
        "tried": {way: round(1000 * seconds, 4) for way, seconds in engine.timings.items()},
        "milliseconds": alone,
        "decode_milliseconds": decode,
        "decode_share": round(decode / ((decode + alone) or 1), 4),
        "batches": batches,
        "layers": [
            {
                "name": each.name,
                "milliseconds": round(1000 * each.seconds, 4),
                "output_bytes": each.output_bytes,
            }
            for each in shares
        ],
        "rest_milliseconds": round(1000 * rest, 4),
    }


def matched(layers: tuple[Layer, ...], operations: list[Operation]) -> tuple[list[Share], float]:
    """Return the seconds of each layer that the engine still tells apart, and of all else.

    It has merged and renamed what it computes: an operation is taken for the first layer of its kind and size
    that has none yet, so that of two of one size on different branches either may be meant.
    """
    left, shares = list(operations), []
    for layer in layers:
        sizes = [size for size in layer.output_shape if size]
        if layer.type not in _KINDS or not sizes:
            continue
        shape = (1, sizes[-1], *sizes[:-1])
        found = next((each for each in left if each.kind in _KINDS[layer.type] and each.shape == shape), None)
        if found is not None:
            left.remove(found)
            shares.append(Share(layer.name, found.seconds, 4 * int(np.prod(sizes))))
    return shares, sum(each.seconds for each in left)


def _batches(
    run: Callable[[NDArray[np.uint8], bool], Any], image: NDArray[np.uint8], most: int
) -> Iterator[dict[str, Any]]:
    """Time batches of 1, 2, 4 and so on, the shortest of a few calls each, as long as there is time."""
    began, count = time.perf_counter(), 1
    while count <= most and (count == 1 or time.perf_counter() - began < _SECONDS):
        images = np.repeat(image, count, axis=0)
        seconds = min(_timed(lambda images=images: run(images, True)) for _ in range(_ROUNDS))  # type: ignore[misc]
        yield {
            "images": count,
            "milliseconds": round(1000 * seconds, 4),
            "per_image": round(1000 * seconds / count, 4),
        }
        count *= 2


def _decode(live: Live) -> float:
    """Return the milliseconds that a drawn image takes from bytes to tensor."""
    manifest = live.predictor.manifest
    data = golden.read(live.folder, manifest).encoded[0]
    try:
        seconds = min(
            _timed(lambda: codec.read(data, manifest.input, 2**28, whole=False)) for _ in range(_ROUNDS)
        )
    except StriateError:
        return 0.0
    return round(1000 * seconds, 4)


def _timed(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started
