"""The one input of an infer request: pixels as JSON or bytes, or encoded images as texts or bytes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from service.dialects import Asked, Encoded, Most, Pixels, faults, tensors
from service.errors import MalformedBody, PayloadTooLarge
from service.formats import names
from service.manifest import Input
from service.wording import quoted

INPUT = "image"

SHARED = ("shared_memory_region", "shared_memory_offset", "shared_memory_byte_size")
"""Parameters of what is not offered: it would let clients read this process's memory."""

_KINDS = "is UINT8 (pixels 0..255) or BYTES (encoded images)"


def refuse(text: str) -> NoReturn:
    """Raise what the client has to mend."""
    raise MalformedBody(text)


def parameters_of(of: dict[str, Any], what: str) -> dict[str, Any]:
    """Return the parameters of a part of the request, none where it has none."""
    parameters = of.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        refuse(f"The parameters of {what} are an object.")
    return parameters


def named(value: object) -> str:
    """Return what a client has written where a name is due."""
    return quoted(value) if isinstance(value, str) else faults.kind_of(value)


def frame_of(spec: Input) -> tuple[int, int, int]:
    """Return a model's height, width and channels."""
    return spec.height, spec.width, spec.channels


@dataclass(frozen=True)
class Reader:
    """Reads the one input of a model; `binary` is what stands behind the JSON."""

    spec: Input
    most: Most
    binary: memoryview

    async def asked(self, document: dict[str, Any]) -> Asked:
        """Read the input of a document. Raises an IntakeError."""
        inputs = document.get("inputs")
        if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
            told = f"{len(inputs)} are given" if isinstance(inputs, list) else "it is missing"
            refuse(f"inputs is a list of exactly one input, {INPUT!r}; {told}.")
        (given,) = inputs
        if given.get("name") != INPUT:
            refuse(f"The one input is called {INPUT!r}, not {named(given.get('name'))}.")
        data = given.get("data")
        self._check_source(data, parameters_of(given, "the input"))
        shape, kind = given.get("shape"), given.get("datatype")
        if kind == "BYTES":
            return await self._encoded(shape, data)
        if kind != "UINT8":
            refuse(f"datatype {_KINDS}, not {named(kind)}.")
        return await self._pixels(_sides(shape), data)

    def _check_source(self, data: object, parameters: dict[str, Any]) -> None:
        if any(name in parameters for name in SHARED):
            refuse("There is no shared memory here: send the tensor in the body.")
        size = parameters.get("binary_data_size")
        if data is None:
            self._check_size(size)
        elif size is not None:
            refuse("The input has data and binary_data_size: send one of them.")
        elif len(self.binary):
            refuse(f"{len(self.binary):,} bytes are left over behind the JSON, which has the data in it.")

    def _check_size(self, size: object) -> None:
        there = len(self.binary)
        if size is None:
            if not there:
                refuse("The input has neither data nor binary_data_size: one of them brings the tensor.")
            return
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            refuse("binary_data_size is a whole number of bytes.")
        if size > there:
            refuse(f"binary_data_size is {size:,}, but only {there:,} bytes stand behind the JSON.")
        if size < there:
            refuse(f"binary_data_size is {size:,}: {there - size:,} bytes are left over behind the tensor.")

    async def _pixels(self, shape: tuple[int, ...], data: Any) -> Asked:
        if data is None and len(shape) == 2 and shape[0] == 1 and names.kind_of(bytes(self.binary[:64])):
            # As clients of Triton's DALI backend send a file.
            if shape[1] != len(self.binary):
                refuse(f"The shape says {shape[1]:,} bytes, and {len(self.binary):,} are there.")
            return Encoded([bytes(self.binary)])
        whole = self._checked(shape)
        if data is not None:
            return await tensors.pixels(data, self.spec, self.most.rows, shape=whole)
        if len(self.binary) != math.prod(whole):
            refuse(
                f"The shape {list(whole)} takes {math.prod(whole):,} bytes; {len(self.binary):,} are there."
            )
        return Pixels(np.frombuffer(self.binary, np.uint8).reshape(whole))

    def _checked(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        frame = frame_of(self.spec)
        right = ", ".join(map(str, frame))
        whole = (*shape, 1) if self.spec.channels == 1 and shape[1:] == frame[:2] else shape
        if shape == frame or (shape == frame[:2] and self.spec.channels == 1):
            refuse(f"The batch is missing: send shape [1, {right}].")
        if whole[1:] != frame:
            refuse(f"The shape is [N, {right}], N images of the model's size, not {_shown(shape)}.")
        if not 1 <= whole[0] <= self.most.rows:
            refuse(f"1 to {self.most.rows} images are taken in one tensor, not {whole[0]:,}.")
        return whole

    async def _encoded(self, shape: object, data: Any) -> Encoded:
        if data is None:
            images: Sequence[bytes] = _elements(self.binary, self.most.images)
        else:
            texts = _texts(data)
            self._check_count(len(texts))
            images = [await tensors.element(text, f"data[{place}]") for place, text in enumerate(texts)]
        self._check_count(len(images))
        count = len(images)
        if data is None or shape not in (-1, [-1], [-1, 1]):
            sides = _sides(shape)
            if sides not in ((count,), (count, 1)):
                refuse(
                    f"{count} elements are there, of shape [{count}] or [{count}, 1], not {_shown(sides)}."
                )
        if sum(map(len, images)) > self.most.image_bytes:
            raise PayloadTooLarge(f"At most {self.most.image_bytes:,} bytes of images are allowed here.")
        return Encoded(images)

    def _check_count(self, count: int) -> None:
        if not 1 <= count <= self.most.images:
            refuse(f"1 to {self.most.images} encoded images are taken in one request, not {count:,}.")


def _texts(data: Any) -> list[Any]:
    """Return the elements of BYTES in JSON: a list, a list of lists of one, or one by itself."""
    if isinstance(data, str):
        return [data]
    if not isinstance(data, list):
        refuse("data of BYTES is a list of texts, each one encoded image in base64.")
    return [each[0] if isinstance(each, list) and len(each) == 1 else each for each in data]


def _elements(binary: memoryview, most: int) -> list[bytes]:
    """Read elements of BYTES in binary form: four bytes of length before each."""
    images: list[bytes] = []
    at = 0
    while at < len(binary):
        if len(images) > most:
            break
        length = int.from_bytes(binary[at : at + 4], "little")
        at += 4
        if at + length > len(binary):
            left = max(0, len(binary) - at)
            refuse(
                f"BYTES: element {len(images)} is said to have {length:,} bytes, and {left:,} are left. Each "
                "element is four bytes of its length, little-endian, and the bytes themselves."
            )
        images.append(bytes(binary[at : at + length]))
        at += length
    return images


def _sides(shape: object) -> tuple[int, ...]:
    if not isinstance(shape, list) or not shape or len(shape) > 16:
        refuse("shape is a list of whole numbers.")
    for side in shape:
        if not isinstance(side, int) or isinstance(side, bool) or side < 0:
            refuse("shape is a list of whole numbers, none of them negative.")
    return tuple(shape)


def _shown(shape: tuple[int, ...]) -> str:
    return str([min(side, 10**12) for side in shape])
