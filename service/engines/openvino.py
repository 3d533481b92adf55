"""OpenVINO on the CPU. It reads a SavedModel folder as it is.

Three ways to run a model are compiled and timed when it is loaded, and those that do not pay are dropped.
Their weights are folded once, before, so that what they share is there once:

* `one`: fixed batch 1, as many requests at a time as there are threads, one thread each;
* `many`: any batch, likewise one thread per request. It pays for small models, where the call costs more than
  the arithmetic; for large ones a fixed shape is faster than any batch;
* `wide`: fixed batch 1, one request with all threads: the shortest answer for a caller who is alone.
"""

import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

# OpenVINO reports each import to its maker over the network where this package can be imported; a service
# that answers other people's photos calls nobody. Without it, OpenVINO uses a stub of its own.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
import openvino as ov  # noqa: E402
from openvino import opset11  # noqa: E402
from openvino._offline_transformations import apply_moc_transformations  # noqa: E402

from service.engines import Check, Engine, Operation, Outputs, Precision, unchecked  # noqa: E402

BATCH = 8
"""The batch at which `many` is timed."""

PROFILED = 5
"""Times that a model is computed to be profiled, after one that warms up."""

GAIN = 1.2
"""How many times faster a way has to be to be kept beside a simpler one."""

AHEAD = 2
"""Callers beyond the requests that compute: they decode and encode meanwhile, each its own image."""

TURN_SECONDS = 0.002
"""For how long a way is called before it is the other's turn; once, where a call takes longer."""

TINY_SECONDS = 0.0003
"""A model that needs less per image is computed by one thread faster than images come in over HTTP; more
threads would only take the processor from those who bring them."""


@cache
def _core() -> ov.Core:
    return ov.Core()


def precisions() -> list[Precision]:
    """Return what this CPU computes in hardware, fastest first."""
    capable = _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return ["bfloat16", "float32"] if "BF16" in capable else ["float32"]


@dataclass(frozen=True)
class _Way:
    """A compiled model and its idle requests."""

    requests: "SimpleQueue[ov.InferRequest]"
    names: tuple[str, ...]
    fixed: bool
    """Whether the shape is: the request's own input is then filled, which saves a fifth of a tiny call."""

    def __call__(self, images: NDArray[np.uint8]) -> Outputs:
        request = self.requests.get()
        try:
            if self.fixed:
                request.get_tensor("image").data[:] = images
                request.infer(share_inputs=True, share_outputs=True)
            else:
                request.infer({"image": images}, share_inputs=True, share_outputs=True)
            # The request's own tensors are overwritten by its next call.
            return {name: request.get_tensor(name).data.copy() for name in self.names}
        finally:
            self.requests.put(request)

    def rest(self) -> None:
        """Let go of what lies between the layers: the next call takes it again, which costs it a few ms."""
        request = self.requests.get()
        request.get_compiled_model().release_memory()
        self.requests.put(request)


def load(
    folder: Path, precision: Precision, threads: int, max_batch: int, check: Check = unchecked
) -> Engine:
    """Compile the model for the CPU in the ways that pay."""
    model = _read(folder)
    image = np.zeros([1, *(side.get_length() for side in model.input("image").partial_shape[1:])], np.uint8)
    fixed = model.clone()
    fixed.reshape({"image": list(image.shape)})
    one = _compile(fixed, precision, streams=threads, threads=threads)
    check(lambda images, _: one(images))
    many = _compile(model, precision, streams=threads, threads=threads)
    per_one, per_many = _race(4, (one, image), (many, np.repeat(image, BATCH, axis=0)))
    per_many /= BATCH
    timings = {"one image a call": per_one, f"{BATCH} images a call": per_many}
    if per_one < TINY_SECONDS:
        return replace(_tiny(model, fixed, precision, max_batch), timings=timings)
    lanes, batch, callers, plan = one, 1, threads + AHEAD, f"{threads} at a time, one by one"
    if per_many * GAIN < per_one:
        lanes, batch, callers = many, max_batch, threads
        plan = f"{threads} at a time, up to {max_batch} together"
    alone = one
    if threads > 1:
        wide = _compile(fixed, precision, streams=1, threads=threads)
        per_one, per_wide = _race(12, (one, image), (wide, image))
        timings |= {"one image a call": per_one, f"one image on {threads} threads": per_wide}
        if per_wide * GAIN < per_one:
            alone, plan = wide, plan + f"; alone on {threads} threads"

    def run(images: NDArray[np.uint8], solo: bool) -> Outputs:
        return alone(images) if solo and len(images) == 1 else lanes(images)

    rest = partial(_rest, {alone, lanes})
    return Engine(
        "openvino",
        precision,
        run,
        lanes=callers,
        max_batch=batch,
        plan=plan,
        rest=rest,
        timings=timings,
        profile=partial(profile, precision),
    )


def profile(precision: Precision, folder: Path) -> list[Operation]:
    """Compute one image a few times on one thread; return each operation with the least time that it took."""
    model = _read(folder)
    shape = [1, *(side.get_length() for side in model.input("image").partial_shape[1:])]
    model.reshape({"image": shape})
    hints = {**_hints(precision, streams=1, threads=1), "PERF_COUNT": True}
    compiled = _core().compile_model(model, "CPU", hints)
    request, image = compiled.create_infer_request(), np.zeros(shape, np.uint8)
    shapes = {
        node.get_friendly_name(): (
            str(node.get_rt_info()["layerType"].astype(str)),
            tuple(side.get_length() for side in node.get_output_partial_shape(0)),
        )
        for node in compiled.get_runtime_model().get_ordered_ops()
        if node.get_output_size()
    }
    least: dict[str, float] = {}
    for _ in range(1 + PROFILED):
        request.infer({"image": image})
        for each in request.profiling_info:
            seconds = each.real_time.total_seconds()
            least[each.node_name] = min(seconds, least.get(each.node_name, seconds))
    return [Operation(*shapes[name], seconds) for name, seconds in least.items() if name in shapes]


def _read(folder: Path) -> ov.Model:
    """Read a SavedModel; its weights become what is multiplied with: float32, normalisation folded in.

    Left to be done when it is compiled, each way would do it anew and keep the outcome beside its own layout.
    """
    model = _core().read_model(folder)
    _sort_quickly(model)
    for node in model.get_ops():
        if node.get_type_name() == "Convert":
            source = node.input_value(0).get_node()
            if source.get_type_name() == "Constant" and source.get_element_type() == ov.Type.f16:
                node.output(0).replace(ov.op.Constant(source.data.astype(np.float32)).output(0))
    # What OpenVINO's own converter does to every model that it writes.
    apply_moc_transformations(model, cf=True)
    return model


def _sort_quickly(model: ov.Model) -> None:
    """Have the best K found without regard to the order of equal ones, which TensorFlow's TopKV2 keeps.

    A stable TopK compares each value with K others: 50 ms for 300 of 16,384, where any order takes 0.1 ms.
    """
    for node in model.get_ops():
        if node.get_type_name() != "TopK" or not (told := node.get_attributes()).get("stable"):
            continue
        values, count = node.input_value(0), node.input_value(1)
        kept = (told["axis"], told["mode"], told["sort"], told["index_element_type"])
        quick = opset11.topk(values, count, *kept, stable=False)
        for mine, other in zip(node.outputs(), quick.outputs(), strict=True):
            names = mine.get_names()
            mine.replace(other)
            other.get_tensor().add_names(names)


def _tiny(model: ov.Model, fixed: ov.Model, precision: Precision, max_batch: int) -> Engine:
    many = _compile(model, precision, streams=1, threads=1)
    one = _compile(fixed, precision, streams=1, threads=1)

    def run(images: NDArray[np.uint8], solo: bool) -> Outputs:
        return one(images) if solo and len(images) == 1 else many(images)

    plan = f"on one thread, up to {max_batch} together; alone without a thread"
    rest = partial(_rest, (one, many))
    return Engine(
        "openvino",
        precision,
        run,
        lanes=1,
        max_batch=max_batch,
        plan=plan,
        inline=True,
        rest=rest,
        profile=partial(profile, precision),
    )


def _rest(ways: Iterable[_Way]) -> None:
    for way in ways:
        way.rest()


def _compile(model: ov.Model, precision: Precision, streams: int, threads: int) -> _Way:
    compiled = _core().compile_model(model, "CPU", _hints(precision, streams, threads))
    requests: SimpleQueue[ov.InferRequest] = SimpleQueue()
    for _ in range(streams):
        requests.put(compiled.create_infer_request())
    fixed = compiled.input("image").partial_shape.is_static
    return _Way(requests, tuple(output.any_name for output in compiled.outputs), fixed)


def _hints(precision: Precision, streams: int, threads: int) -> dict[str, Any]:
    return {
        # Without this OpenVINO takes bfloat16 by itself wherever the CPU has it.
        "INFERENCE_PRECISION_HINT": {"bfloat16": "bf16", "float32": "f32"}[precision],
        "NUM_STREAMS": streams,
        "INFERENCE_NUM_THREADS": threads,
    }


def _race(rounds: int, *ways: tuple[_Way, NDArray[np.uint8]]) -> list[float]:
    """Return each way's shortest time of a few calls, after one that warms up.

    They take turns: whatever else the machine does meanwhile slows all of them. Measured one after the other,
    with a neighbour at work, the same model was given now this way, now that one. A turn of a tiny model is
    many calls, for the first of them finds the caches full of the other way's data.
    """
    best = [_seconds(way, images) for way, images in ways]
    for _ in range(rounds):
        for index, (way, images) in enumerate(ways):
            for _ in range(1 + int(TURN_SECONDS / best[index])):
                best[index] = min(best[index], _seconds(way, images))
    return best


def _seconds(way: _Way, images: NDArray[np.uint8]) -> float:
    started = time.perf_counter()
    way(images)
    return time.perf_counter() - started
