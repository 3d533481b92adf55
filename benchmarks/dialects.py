"""The same images in the bodies of other servers' clients."""

import io
import json
from collections.abc import Callable

import numpy as np
from PIL import Image

from benchmarks.workloads import Workload

Posted = tuple[bytes, str, dict[str, str]]
"""A body, its Content-Type and the headers besides."""


def posted(workload: Workload, form: str) -> Posted:
    """Return what is posted in any form: `raw`, `multipart` or one of `FORMS`."""
    if form in FORMS:
        return FORMS[form](workload)
    return (*workload.body(form), {})


def _binary(workload: Workload) -> Posted:
    """Pixels of the model's frame behind a document, as tritonclient sends them."""
    pixels = _pixels(workload)
    return _v2("UINT8", list(pixels.shape), pixels.tobytes())


def _encoded(workload: Workload) -> Posted:
    """The files themselves behind a document, each after its length."""
    elements = b"".join(len(image).to_bytes(4, "little") + image for image in workload.images)
    return _v2("BYTES", [len(workload.images)], elements)


def _v2(datatype: str, shape: list[int], data: bytes) -> Posted:
    size = {"binary_data_size": len(data)}
    tensor = {"name": "image", "shape": shape, "datatype": datatype, "parameters": size}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    return head + data, "application/octet-stream", {"Inference-Header-Content-Length": str(len(head))}


def _rows(workload: Workload) -> Posted:
    """Pixels as nested lists, as TensorFlow Serving's documents show it."""
    body = json.dumps({"instances": _pixels(workload).tolist()}).encode()
    return body, "application/x-www-form-urlencoded", {}


def _pixels(workload: Workload) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    images = [np.asarray(Image.open(io.BytesIO(image))) for image in workload.images]
    return np.stack([image if image.ndim == 3 else image[..., np.newaxis] for image in images])


FORMS: dict[str, Callable[[Workload], Posted]] = {
    "V2 binary": _binary,
    "V2 BYTES": _encoded,
    "TFS rows": _rows,
}
