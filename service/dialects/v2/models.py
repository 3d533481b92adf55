"""What is told of models: metadata, configuration, statistics, and the index of all versions."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.dialects import ASIDES, Most, outputs_of, shape_of
from service.dialects.v2.inputs import INPUT
from service.manifest import Manifest

PLATFORM, BACKEND = "tensorflow_savedmodel", "tensorflow"

EXTENSIONS = (
    "binary_tensor_data",
    "classification",
    "parameters",
    "model_configuration",
    "model_repository",
)
"""What is kept; `statistics` besides where one process counts for all."""


def metadata(manifest: Manifest, versions: Sequence[int]) -> dict[str, Any]:
    """Return a model's metadata; its labels are in `properties`, where the protocol allows texts."""
    spec = manifest.input
    return {
        "name": manifest.name,
        "versions": [str(version) for version in versions],
        "platform": PLATFORM,
        "inputs": [
            {"name": INPUT, "datatype": "UINT8", "shape": [-1, spec.height, spec.width, spec.channels]}
        ],
        "outputs": [
            {"name": output.name, "datatype": "FP32", "shape": [-1, *shape_of(manifest, output)]}
            for output in outputs_of(manifest)
        ],
        "properties": properties(manifest),
    }


def properties(manifest: Manifest) -> dict[str, str]:
    """Return what else a client may want to know, as texts."""
    told = {
        "task": manifest.task,
        "labels": json.dumps(manifest.labels, ensure_ascii=False),
        "colour": manifest.input.colour,
        "resize": manifest.input.resize,
        "threshold": f"{manifest.threshold:g}",
    }
    asides = [output.name for output in manifest.outputs if output.name in ASIDES]
    return told | ({"further_outputs": ", ".join(asides)} if asides else {})


@dataclass(frozen=True)
class Engine:
    """How a version is computed."""

    max_batch: int
    lanes: int
    on_gpu: bool


def config(manifest: Manifest, most: Most, engine: Engine) -> dict[str, Any]:
    """Return Triton's model configuration as far as it says something here; dims are without the batch."""
    spec = manifest.input
    return {
        "name": manifest.name,
        "platform": PLATFORM,
        "backend": BACKEND,
        "version_policy": {"latest": {"num_versions": 1}},
        "max_batch_size": most.rows,
        "input": [
            {
                "name": INPUT,
                "data_type": "TYPE_UINT8",
                # image_client.py takes no other.
                "format": "FORMAT_NHWC",
                "dims": [spec.height, spec.width, spec.channels],
            }
        ],
        "output": [
            {"name": output.name, "data_type": "TYPE_FP32", "dims": list(shape_of(manifest, output)) or [1]}
            for output in outputs_of(manifest)
        ],
        "dynamic_batching": {
            "preferred_batch_size": [engine.max_batch],
            "max_queue_delay_microseconds": 0,
        },
        "instance_group": [
            {
                "name": f"{manifest.name}_0",
                "kind": "KIND_GPU" if engine.on_gpu else "KIND_CPU",
                "count": engine.lanes,
            }
        ],
        "parameters": {key: {"string_value": text} for key, text in properties(manifest).items()},
    }


# ---- statistics


@dataclass(frozen=True)
class Time:
    """How often, and nanoseconds together."""

    count: int
    ns: int

    def told(self) -> dict[str, int]:
        """Return it as it is told."""
        return {"count": self.count, "ns": self.ns}


@dataclass(frozen=True)
class Counted:
    """What one version has done; `stages` are the nanoseconds of decode, queue, engine and encode."""

    images: int
    last_milliseconds: int
    success: Time
    failure: Time
    stages: Mapping[str, int]
    batches: Mapping[int, Time]


_STAGES = {"queue": "queue", "compute_input": "decode", "compute_infer": "engine", "compute_output": "encode"}
_NOTHING = {"count": 0, "ns": 0}


def statistics(manifest: Manifest, counted: Counted) -> dict[str, Any]:
    """Return a version's statistics: of stages the count is that of answered requests."""
    requests = counted.success.count
    stages = {name: {"count": requests, "ns": counted.stages[own]} for name, own in _STAGES.items()}
    return {
        "name": manifest.name,
        "version": str(manifest.version),
        "last_inference": counted.last_milliseconds,
        "inference_count": counted.images,
        "execution_count": sum(each.count for each in counted.batches.values()),
        "inference_stats": {
            "success": counted.success.told(),
            "fail": counted.failure.told(),
            **stages,
            "cache_hit": _NOTHING,
            "cache_miss": _NOTHING,
        },
        "response_stats": {},
        "batch_stats": [
            {
                "batch_size": size,
                "compute_input": {"count": each.count, "ns": 0},
                "compute_infer": each.told(),
                "compute_output": {"count": each.count, "ns": 0},
            }
            for size, each in sorted(counted.batches.items())
        ],
        "memory_usage": [],
    }


# ---- the repository


def index(versions: Iterable[tuple[str, int, str, str]], *, ready: bool) -> list[dict[str, str]]:
    """Return all versions, or those that are ready: (model, version, state, reason)."""
    return [
        {"name": name, "version": str(version), "state": state, "reason": reason}
        for name, version, state, reason in versions
        if state == "READY" or not ready
    ]
