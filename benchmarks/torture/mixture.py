"""One digit in the words of several clients: our own, Triton's (pixels, files), TensorFlow Serving's."""

from typing import Any

import numpy as np
import orjson

from benchmarks.dialects import posted
from benchmarks.torture import wire
from benchmarks.torture.wire import Reply
from benchmarks.workloads import Workload

OWN = "/classify?model=digits&top_k=10"

WAYS = (
    (OWN, "raw"),
    ("/v2/models/digits/infer", "V2 binary"),
    ("/v1/models/digits:predict", "TFS rows"),
    ("/v2/models/digits/infer", "V2 BYTES"),
)
"""Where a digit is posted, and in which form."""


def request(image: bytes, number: int) -> bytes:
    """Return the request for a PNG of a digit, of each way in its turn."""
    target, form = WAYS[number % len(WAYS)]
    body, content_type, headers = posted(Workload("digit", "/classify", "digits", (image,)), form)
    return wire.post(target, body, content_type, *(f"{name}: {value}" for name, value in headers.items()))


def scores(reply: Reply) -> dict[str, float]:
    """Return the score of each label, whichever way was asked."""
    length = reply.headers.get(b"inference-header-content-length")
    if length is not None:
        tail = np.frombuffer(bytes(reply.body[int(length) :]), "<f4")
        return _by_label(tail.tolist())
    body: dict[str, Any] = orjson.loads(bytes(reply.body))
    if "predictions" in body:
        return _by_label(body["predictions"][0])
    return {entry["label"]: entry["score"] for entry in body["results"][0]["top"]}


def _by_label(row: list[float]) -> dict[str, float]:
    return {str(digit): score for digit, score in enumerate(row)}
