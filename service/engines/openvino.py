"""OpenVINO on the CPU. It reads a SavedModel folder as it is."""

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# OpenVINO reports each import to its maker over the network where this package can be imported; a service
# that answers other people's photos calls nobody. Without it, OpenVINO uses a stub of its own.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
import openvino as ov  # noqa: E402

from service.engines import Outputs, Precision  # noqa: E402


@cache
def _core() -> ov.Core:
    return ov.Core()


def precisions() -> list[Precision]:
    """Return what this CPU computes in hardware, fastest first."""
    capable = _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return ["bfloat16", "float32"] if "BF16" in capable else ["float32"]


def load(folder: Path, precision: Precision, threads: int) -> Callable[[NDArray[np.uint8]], Outputs]:
    """Compile the model for the CPU with one stream of `threads` threads."""
    hints = {
        # Without this OpenVINO takes bfloat16 by itself wherever the CPU has it.
        "INFERENCE_PRECISION_HINT": {"bfloat16": "bf16", "float32": "f32"}[precision],
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
    }
    compiled = _core().compile_model(_core().read_model(folder), "CPU", hints)
    request = compiled.create_infer_request()
    names = [output.any_name for output in compiled.outputs]

    def run(images: NDArray[np.uint8]) -> Outputs:
        request.infer({"image": images}, share_inputs=True)
        # The request's own tensors are overwritten by the next call.
        return {name: request.get_tensor(name).data.copy() for name in names}

    return run
