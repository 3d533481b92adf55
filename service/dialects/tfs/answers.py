"""What TensorFlow Serving's REST answers, with what KServe's V1 wants on the same paths: its members besides.

Names and values are those of TensorFlow Serving's protocol buffers as JSON, where sizes are texts.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import orjson

from service.dialects import outputs_of, shape_of, stacked, tensors
from service.dialects.tfs.requests import INPUT, SIGNATURE
from service.manifest import Manifest
from service.tasks.task import Row

State = Literal["START", "LOADING", "AVAILABLE", "UNLOADING", "END"]
"""Of a version: waiting, being loaded, answering, answering its last, refused."""


@dataclass(frozen=True)
class VersionState:
    """What has become of a version, and why it was refused."""

    version: int
    state: State
    reason: str = ""


def is_long(rows: Sequence[Row]) -> bool:
    """Whether the answer is to be written in a thread."""
    return sum(value.size for value in rows[0].values()) * len(rows) > tensors.NUMBERS


def predictions(rows: Sequence[Row], manifest: Manifest) -> bytes:
    """Return the answer by rows: each a value, or an object where the model has several outputs."""
    names = [output.name for output in outputs_of(manifest)]
    if len(names) == 1:
        told = [tensors.nested(row[names[0]]) for row in rows]
    else:
        told = [_members({name: row[name] for name in names}) for row in rows]
    return b'{"predictions":[%b]}' % b",".join(told)


def outputs(rows: Sequence[Row], manifest: Manifest) -> bytes:
    """Return the answer by columns: a tensor, or an object of tensors. MalformedBody as of `stacked`."""
    columns: Row = {output.name: stacked(rows, output.name) for output in outputs_of(manifest)}
    if len(columns) == 1:
        return b'{"outputs":%b}' % tensors.nested(*columns.values())
    return b'{"outputs":%b}' % _members(columns)


def _members(values: Row) -> bytes:
    members = [b'"%b":%b' % (name.encode(), tensors.nested(value)) for name, value in values.items()]
    return b"{%b}" % b",".join(members)


def results(rows: Sequence[Row], manifest: Manifest) -> bytes:
    """Return the answer of `:classify`: of each image all labels with their scores, the highest first."""
    told = []
    for row in rows:
        scores = row["scores"]
        order = np.argsort(-scores, kind="stable")
        told.append([[manifest.labels[place], scores[place]] for place in order])
    return orjson.dumps({"results": told}, option=orjson.OPT_SERIALIZE_NUMPY)


def status(name: str, states: Iterable[VersionState], *, ready: bool) -> dict[str, Any]:
    """Return a model's status, the newest version first; `name` and `ready` are for KServe's clients."""
    versions = [
        {
            "version": str(each.version),
            "state": each.state,
            "status": {
                "error_code": "FAILED_PRECONDITION" if each.state == "END" else "OK",
                "error_message": each.reason,
            },
        }
        for each in sorted(states, key=lambda each: -each.version)
    ]
    return {"name": name, "ready": ready, "model_version_status": versions}


def metadata(manifest: Manifest) -> dict[str, Any]:
    """Return a version's signature."""
    spec = manifest.input
    taken = {INPUT: _tensor("DT_UINT8", (spec.height, spec.width, spec.channels), f"{SIGNATURE}_{INPUT}:0")}
    given = {
        output.name: _tensor("DT_FLOAT", shape_of(manifest, output), f"StatefulPartitionedCall:{place}")
        for place, output in enumerate(outputs_of(manifest))
    }
    signature = {
        "inputs": taken,
        "outputs": given,
        "method_name": "tensorflow/serving/predict",
        "defaults": {},
    }
    return {
        "model_spec": {"name": manifest.name, "signature_name": "", "version": str(manifest.version)},
        # Twice: the metadata of that name is a map of that name.
        "metadata": {"signature_def": {"signature_def": {SIGNATURE: signature}}},
    }


def _tensor(dtype: str, shape: Sequence[int], name: str) -> dict[str, Any]:
    sizes = [{"size": str(side), "name": ""} for side in (-1, *shape)]
    return {"dtype": dtype, "tensor_shape": {"dim": sizes, "unknown_rank": False}, "name": name}
