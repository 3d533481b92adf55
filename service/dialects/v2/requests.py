"""An infer request's body -> what is asked for: one input of pixels or encoded images, and which outputs.

The body is a JSON document; with a header length it is so many bytes of one, and tensors behind it in binary
form, little-endian and row by row. A length of 0 is a raw request: the tensor, or one image file, alone.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from service.dialects import Asked, Encoded, Most, Pixels, documents, outputs_of
from service.dialects.v2.inputs import SHARED, Reader, frame_of, named, parameters_of, refuse
from service.formats import names
from service.manifest import Manifest
from service.wording import quoted

LEAST_SECONDS = 0.001
"""A shorter time to answer in counts as this: clients set a microsecond, and mean something else."""


LONGEST_ID = 1024
"""Signs of a request's id, which comes back in the answer."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One output: in binary form or as JSON; with `classes` so many labels of it instead, the best first."""

    name: str
    binary: bool
    classes: int = 0


@dataclass(frozen=True, slots=True)
class Inference:
    """A request that can be answered. `seconds` is the client's own limit."""

    asked: Asked
    outputs: tuple[Wanted, ...]
    id: str = ""
    seconds: float | None = None


async def read(body: bytes | bytearray, length: str | None, manifest: Manifest, most: Most) -> Inference:
    """Read a request whose header says so of the length of its JSON. Raises an IntakeError."""
    size = _header_length(length, len(body))
    if size == 0 and length is not None:
        return _raw(body, manifest)
    binary = memoryview(b"")
    if length is not None:
        body, binary = _parted(body, size)
    document = await documents.read(body)
    parameters = parameters_of(document, "the request")
    id_ = document.get("id", "")
    if not isinstance(id_, str) or len(id_) > LONGEST_ID:
        refuse(f"id is a text of the client's own, of at most {LONGEST_ID:,} signs.")
    return Inference(
        await Reader(manifest.input, most, binary).asked(document),
        _outputs(document, manifest, _flag(parameters, "binary_data_output")),
        id_,
        _seconds(parameters),
    )


def as_json(inference: Inference) -> Inference:
    """Return the same with every output as JSON."""
    return replace(inference, outputs=tuple(replace(each, binary=False) for each in inference.outputs))


def _header_length(text: str | None, size: int) -> int:
    if text is None:
        return size
    if not text.isdecimal() or len(text) > 12:
        refuse("Inference-Header-Content-Length is a whole number: the bytes of JSON before tensors.")
    if int(text) > size:
        refuse(f"Inference-Header-Content-Length is {int(text):,}, but the body has {size:,} bytes.")
    return int(text)


def _parted(body: bytes | bytearray, size: int) -> tuple[bytes | bytearray, memoryview]:
    """Return the JSON and what stands behind it: the shorter of the two is copied."""
    if isinstance(body, bytearray) and size > len(body) // 2:
        tail = memoryview(bytes(memoryview(body)[size:]))
        del body[size:]
        return body, tail
    return body[:size], memoryview(body)[size:]


def _raw(body: bytes | bytearray, manifest: Manifest) -> Inference:
    outputs = tuple(Wanted(output.name, binary=True) for output in outputs_of(manifest))
    kind = names.kind_of(bytes(body[:64]))
    frame = frame_of(manifest.input)
    exact = len(body) == math.prod(frame)
    # Pixels, too, may begin as files do of which a few bytes tell.
    if kind in names.PLAIN or (kind is not None and not exact):
        return Inference(Encoded([bytes(body)]), outputs)
    if not exact:
        refuse(
            f"A body without JSON is one tensor of shape {list(frame)}, {math.prod(frame):,} bytes, or the "
            f"file of an image; this one has {len(body):,} bytes and is no image that is known."
        )
    return Inference(Pixels(np.frombuffer(body, np.uint8).reshape(1, *frame)), outputs)


def _flag(parameters: dict[str, Any], name: str, default: bool = False) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        refuse(f"{name} is true or false.")
    return value


def _seconds(parameters: dict[str, Any]) -> float | None:
    """Return the client's limit, which comes in microseconds; 0 is none."""
    value = parameters.get("timeout")
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        refuse("timeout is a whole number of microseconds.")
    return max(LEAST_SECONDS, value / 1e6) if value else None


def _outputs(document: dict[str, Any], manifest: Manifest, binary: bool) -> tuple[Wanted, ...]:
    given = document.get("outputs") or []
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        refuse("outputs is a list of objects, each with the name of an output.")
    if not given:
        return tuple(Wanted(output.name, binary) for output in outputs_of(manifest))
    wanted: dict[str, Wanted] = {}
    for each in given:
        name = each.get("name")
        if not any(output.name == name for output in manifest.outputs):
            known = ", ".join(output.name for output in manifest.outputs)
            refuse(f"There is no output {named(name)}. There are: {known}.")
        wanted.setdefault(name, _wanted(name, parameters_of(each, "an output"), manifest, binary))
    return tuple(wanted.values())


def _wanted(name: str, parameters: dict[str, Any], manifest: Manifest, binary: bool) -> Wanted:
    if any(shared in parameters for shared in SHARED):
        refuse("There is no shared memory here: outputs come in the answer's body.")
    classes = parameters.get("classification", 0)
    if not isinstance(classes, int) or isinstance(classes, bool) or classes < 0:
        refuse("classification is a whole number: how many labels, the best first.")
    if classes and (name != "scores" or manifest.task not in {"classification", "localization"}):
        refuse(f"classification is for scores of labels; {quoted(name)} of {manifest.name} has none.")
    return Wanted(name, _flag(parameters, "binary_data", binary), classes)
