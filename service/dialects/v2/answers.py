"""Rows -> the body of an infer answer: JSON, and behind it those outputs that are wanted in binary form."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from service.dialects import stacked, tensors
from service.dialects.v2.requests import Inference, Wanted
from service.manifest import Manifest
from service.tasks.task import Row

MANY = 4096
"""Numbers whose decimals take longer than the way to a thread: a third of a millisecond."""


COPIED = 64
"""Numbers in binary form, which are copied twice, that take as long as one in decimals."""


def is_long(inference: Inference, rows: Sequence[Row]) -> bool:
    """Whether the answer is to be written in a thread: decimals, labels that are put in order, or copies."""
    work = 0
    for wanted in inference.outputs:
        numbers = rows[0][wanted.name].size * len(rows)
        work += numbers // COPIED if wanted.binary and not wanted.classes else numbers
    return work > MANY


def body(inference: Inference, manifest: Manifest, rows: Sequence[Row]) -> tuple[bytes, int | None]:
    """Return the body, and how many bytes of it are JSON where tensors stand behind them."""
    outputs: list[dict[str, Any]] = []
    tail: list[bytes | memoryview] = []
    binary: bytes | memoryview
    for wanted in inference.outputs:
        values = stacked(rows, wanted.name)
        told: dict[str, Any] = {"name": wanted.name, "datatype": "FP32", "shape": values.shape}
        if wanted.classes:
            texts = _classified(values, manifest.labels, wanted.classes)
            told |= {"datatype": "BYTES", "shape": (len(texts), len(texts[0]))}
            binary, data = _elements(texts) if wanted.binary else b"", _flat(texts)
        else:
            binary, data = _raw(values, wanted)
        if wanted.binary:
            told["parameters"] = {"binary_data_size": len(binary)}
            tail.append(binary)
        else:
            told["data"] = data
        outputs.append(told)
    document = {"model_name": manifest.name, "model_version": str(manifest.version), "outputs": outputs}
    if inference.id:
        document = {"id": inference.id} | document
    head = orjson.dumps(document)
    return (b"".join((head, *tail)), len(head)) if tail else (head, None)


def _raw(values: NDArray[np.float32], wanted: Wanted) -> tuple[bytes | memoryview, Any]:
    if wanted.binary:
        # A large one is copied once, into the body.
        return np.ascontiguousarray(values, "<f4").reshape(-1).view(np.uint8).data, None
    return b"", orjson.Fragment(tensors.flat(values))


def _classified(scores: NDArray[np.float32], labels: Sequence[str], most: int) -> list[list[str]]:
    """Return each image's labels as `score:index:label`, the highest score first, of equal ones the first."""
    best = np.argsort(-scores, axis=1, kind="stable")[:, :most]
    return [
        [f"{row[index]:f}:{index}:{labels[index]}" for index in order]
        for row, order in zip(scores.tolist(), best.tolist(), strict=True)
    ]


def _flat(texts: list[list[str]]) -> list[str]:
    return [text for row in texts for text in row]


def _elements(texts: list[list[str]]) -> bytes:
    """Write elements of BYTES in binary form: four bytes of length before each."""
    encoded = (text.encode() for text in _flat(texts))
    return b"".join(len(text).to_bytes(4, "little") + text for text in encoded)
