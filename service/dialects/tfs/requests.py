"""TensorFlow Serving's REST, and KServe's V1, whose requests are a part of it: bodies -> what is asked for.

Rows (`instances`) or columns (`inputs`): pixels as nested lists, or encoded images as `{"b64": "..."}`, which
TensorFlow Serving takes only where a graph decodes them. What is answered: `answers.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from service.dialects import Asked, Encoded, Most, Pixels, documents, tensors
from service.dialects.faults import kind_of
from service.errors import MalformedBody, PayloadTooLarge
from service.manifest import Manifest
from service.wording import quoted

SIGNATURE = "serving_default"

INPUT = "image"
"""The signature's one input."""

_NAMES = (INPUT, "image_bytes", "data")
"""What an image is called in a row, by TensorFlow Serving's clients and in KServe's examples."""

_BESIDE = frozenset(("key", "target"))
"""What KServe's examples have beside it."""

_FORMS = (
    '{"instances": [image, ...]} or {"inputs": [image, ...]}; an image is a nested list of its pixels, or '
    '{"b64": "<a file in base64>"}'
)


@dataclass(frozen=True, slots=True)
class Question:
    """What a request asks for, and whether it is answered by columns."""

    asked: Asked
    columns: bool = False


async def to_predict(body: bytes | bytearray, manifest: Manifest, most: Most) -> Question:
    """Read the body of `:predict`. Raises EmptyBody, MalformedBody or PayloadTooLarge."""
    document = await documents.read(body)
    _check_signature(document)
    given: list[str] = [name for name in ("instances", "inputs") if name in document]
    if len(given) != 1:
        has = "both" if given else "neither"
        raise MalformedBody(f"The document has {has} of instances and inputs. Expected: {_FORMS}.")
    reader = _Reader(manifest, most)
    (where,) = given
    if where == "instances":
        return Question(await reader.instances(document[where]))
    value = document[where]
    if isinstance(value, dict) and set(value) != {"b64"}:
        where, value = _named(value, where)
    return Question(await reader.column(value, where), columns=True)


async def to_classify(body: bytes | bytearray, manifest: Manifest, most: Most) -> Asked:
    """Read the body of `:classify`, whose examples may have features in common, in `context`."""
    document = await documents.read(body)
    _check_signature(document)
    examples, context = document.get("examples"), document.get("context", {})
    if not isinstance(examples, list) or not examples or not all(isinstance(each, dict) for each in examples):
        raise MalformedBody(
            'examples is missing or no list of objects. Expected: {"examples": [{"image": ...}]}.'
        )
    if not isinstance(context, dict):
        raise MalformedBody(f"context is {kind_of(context)}, and should be an object of features.")
    return await _Reader(manifest, most).rows([context | example for example in examples], "examples")


def _check_signature(document: dict[str, Any]) -> None:
    if (name := document.get("signature_name", "")) not in ("", SIGNATURE):
        told = quoted(name) if isinstance(name, str) else kind_of(name)
        raise MalformedBody(f"signature_name is {told}; there is one signature, {SIGNATURE}.")


def _named(row: dict[str, Any], where: str) -> tuple[str, Any]:
    """Return the image in an object, with its name. MalformedBody where there is not one."""
    found = [name for name in row if name in _NAMES]
    others = sorted(row.keys() - set(_NAMES) - _BESIDE)
    if len(found) == 1 and not others:
        return f"{where}.{found[0]}", row[found[0]]
    if others:
        raise MalformedBody(f'{where} has {quoted(others[0])}, which is no input: its input is "{INPUT}".')
    raise MalformedBody(f'{where} has {" and ".join(found) or "no image"}: it needs "{INPUT}" alone.')


class _Reader:
    """Reads the images of one request: pixels, or files, at most so many."""

    def __init__(self, manifest: Manifest, most: Most) -> None:
        self._spec, self._most = manifest.input, most

    async def instances(self, value: object) -> Asked:
        """Read rows."""
        if isinstance(value, list) and any(isinstance(row, (dict, str)) for row in value):
            return await self.rows(value, "instances")
        return await tensors.pixels(value, self._spec, self._most.rows, "instances")

    async def rows(self, rows: list[Any], where: str) -> Asked:
        """Read rows of which each is an object or a text."""
        kinds = {kind_of(row) for row in rows}
        if len(kinds) > 1 or not kinds <= {"an object", "a text"}:
            raise MalformedBody(
                f"{where} holds {' and '.join(sorted(kinds))}; all are to be of one kind. Expected: {_FORMS}."
            )
        named = [_row(row, f"{where}[{place}]") for place, row in enumerate(rows)]
        if all(_is_file(value) for _, value in named):
            return await self._files(named)
        if any(_is_file(value) for _, value in named):
            raise MalformedBody(f"{where} has images as files and images as pixels: send all in one way.")
        self._check_count(len(named), self._most.rows, where)
        read = [await tensors.row(value, self._spec, place) for place, value in named]
        return Pixels(np.stack(read))

    async def column(self, value: object, where: str) -> Asked:
        """Read a column: pixels `[N, H, W, C]`, a file, or a list of files."""
        if _is_file(value):
            return await self._files([(where, value)])
        if isinstance(value, list) and value and all(_is_file(each) for each in value):
            return await self._files([(f"{where}[{place}]", each) for place, each in enumerate(value)])
        return await tensors.pixels(value, self._spec, self._most.rows, where)

    async def _files(self, named: Sequence[tuple[str, Any]]) -> Encoded:
        self._check_count(len(named), self._most.images, named[0][0].partition("[")[0])
        images = []
        for where, value in named:
            text = value["b64"] if isinstance(value, dict) else value
            images.append(await tensors.element(text, where))
            if sum(map(len, images)) > self._most.image_bytes:
                raise PayloadTooLarge(f"At most {self._most.image_bytes:,} bytes of images are allowed here.")
        return Encoded(images)

    def _check_count(self, count: int, most: int, where: str) -> None:
        if count > most:
            raise MalformedBody(f"{where} has {count:,} images: at most {most} are taken in one request.")


def _row(row: Any, where: str) -> tuple[str, Any]:
    return _named(row, where) if isinstance(row, dict) and set(row) != {"b64"} else (where, row)


def _is_file(value: object) -> bool:
    """Whether a value is an encoded image, or meant to be one."""
    return isinstance(value, str) or (isinstance(value, dict) and set(value) == {"b64"})
