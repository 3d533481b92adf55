"""The JSON text of an array of pixels -> rows, uint8 `[N, H, W, C]`, checked; and tensors -> JSON text.

An array is flat, all numbers in one list, or nested exactly as its shape; of one channel, also without the
last dimension. Its text is read in pieces that end with a comma, others' work in between. What is left of a
piece without digits and blanks must be the brackets and commas that the shape prescribes: one comparison,
which finds lists too long, too short or too deep, signs, points and words, and bounds the count, before a
number is parsed. A piece that fails is looked at again in `faults.py`, for what is wrong and where, or for
numbers as 12.0.
"""

import asyncio
import math
from contextlib import suppress
from functools import lru_cache

import numpy as np
import orjson
from numpy.typing import NDArray

from service.bodies import document
from service.dialects import Pixels, faults
from service.dialects.documents import Numbers
from service.dialects.faults import BLANKS, Form, Piece, Wanted
from service.errors import MalformedBody
from service.manifest import Input

PIECE = 2**14
"""Bytes of text that are read in one go."""

NUMBERS = 2**12
"""Numbers that are written in one go: a third of a millisecond, more than the way to a thread."""

_MARKS = bytes(ord("0") if sign in b"0123456789" else sign for sign in range(256))
_LOOSE = bytes(ord(" ") if sign in b"[]" else sign for sign in range(256))


async def pixels(
    value: object, spec: Input, most: int, where: str = "data", *, shape: tuple[int, ...] | None = None
) -> Pixels:
    """Read 1 to `most` rows, flat or nested, of a known `shape` `[N, H, W, C]`; without one the nesting tells
    N. `where` names the array in errors. Raises MalformedBody.
    """
    text = _text(value, where)
    frame = (spec.height, spec.width, spec.channels)
    inner, head = text[1:-1], bytes(text[1:PIECE])
    form = _form(head, frame, 0 if shape else None)
    wanted = Wanted(where, frame, most, shape[0] if shape else None, alone=False)
    if len(inner) < PIECE and not bytes(inner).strip(BLANKS):
        raise faults.wrong_count(0, wanted)
    return Pixels(np.frombuffer(await _read(inner, form, wanted), np.uint8).reshape(-1, *frame))


async def row(value: object, spec: Input, where: str) -> NDArray[np.uint8]:
    """Read one row, uint8 `[H, W, C]`, flat or nested. Raises MalformedBody."""
    text = _text(value, where)
    frame = (spec.height, spec.width, spec.channels)
    form = _form(bytes(text[:PIECE]), frame, 1)
    read = await _read(text, form, Wanted(where, frame, 1, 1, alone=True))
    return np.frombuffer(read, np.uint8).reshape(frame)


async def element(text: object, where: str) -> bytes:
    """Decode one encoded image, a text in base64. Raises MalformedBody."""
    if not isinstance(text, str):
        raise MalformedBody(f"{where} is {faults.kind_of(text)}: an encoded image is a text in base64.")
    image = await document.decoded(text)
    if isinstance(image, MalformedBody):
        raise MalformedBody(f"{where}: {image.detail}")
    if not image:
        raise MalformedBody(f"{where} is empty: send the whole file of an image in base64.")
    return image


def _text(value: object, where: str) -> memoryview:
    """Return the text of an array, `[...]`."""
    if isinstance(value, Numbers):
        text = value.text
    elif isinstance(value, list):
        try:
            # What is in it besides numbers is an error, whatever it is.
            text = memoryview(orjson.dumps(value, default=lambda _: {}))
        except orjson.JSONEncodeError:
            raise MalformedBody(f"{where} is nested far too deep: an image has three dimensions.") from None
    else:
        raise MalformedBody(f"{where} is {faults.kind_of(value)}: an array of numbers is due.")
    if text[-1] != ord("]"):
        raise MalformedBody(f"{where} is not closed: an array of numbers ends with a bracket.")
    return text


def _form(head: bytes, frame: tuple[int, int, int], flat: int | None) -> Form:
    """Return the form of the first row in a text; a flat one is in so many lists of its own."""
    opening = head[: len(head) - len(head.lstrip(b"[" + BLANKS))].count(b"[")
    if opening == flat:
        return _skeleton((math.prod(frame),), flat)
    return _skeleton(frame[:2] if opening == 2 and frame[2] == 1 else frame, 3)


@lru_cache(maxsize=32)
def _skeleton(sides: tuple[int, ...], lists: int) -> Form:
    """Return the form of a row of these sides; without `lists` the numbers of all rows are in one list."""
    if len(sides) == 1:
        inner = b"," * (sides[0] - 1)
        return Form(sides, (b"[%b]," if lists else b"%b,") % inner)
    inner = b""
    for side in reversed(sides):
        inner = b"[%b]" % b",".join([inner] * side)
    return Form(sides, inner + b",")


async def _read(text: memoryview, form: Form, wanted: Wanted) -> bytes:
    """Read rows with commas between them."""
    read: list[bytes] = []
    size = math.prod(wanted.frame)
    at = seen = count = points = largest = 0
    while at < len(text):
        if at:
            await asyncio.sleep(0)
        data = _piece(text, at)
        found, length = _numbers(Piece(data, seen % len(form.row), count), form, wanted)
        at += len(data)
        seen += length
        count += len(found)
        points += data.count(b".")
        if points == count and largest < 2:
            # It may be that all have been divided by 255; else there is no need to look.
            largest = max(largest, *found)
        read.append(found)
        if count > wanted.most * size:
            raise await faults.too_many(text, wanted)
    if seen % len(form.row) or (wanted.due is not None and count != wanted.due * size):
        raise faults.wrong_count(count, wanted)
    if points == count and largest == 1:
        raise faults.scaled(wanted)
    return b"".join(read)


def _piece(text: memoryview, at: int) -> bytes:
    """Return a piece, up to a comma; after the last number one is added."""
    data = bytes(text[at : at + PIECE])
    if at + PIECE >= len(text):
        return data + b","
    end = data.rfind(b",") + 1
    if not end:
        raise MalformedBody(
            f"An array has {PIECE:,} signs without a comma in it: leave out blanks between its numbers."
        )
    return data[:end]


def _numbers(piece: Piece, form: Form, wanted: Wanted) -> tuple[bytes, int]:
    """Return the numbers of a piece, all in 0..255, and how many brackets and commas it has."""
    marks = piece.data.translate(_MARKS, BLANKS)
    shape = marks.translate(None, b"0")
    if shape == piece.expected(form, len(shape)) and b"0[" not in marks and b"]0" not in marks:
        # A number may be too large, or missing.
        with suppress(ValueError, TypeError):
            if found := bytes(orjson.loads(b"[%b]" % piece.data.translate(_LOOSE)[:-1])):
                return found, len(shape)
    return piece.slowly(form, wanted)


def nested(tensor: NDArray[np.float32]) -> bytes:
    """Return a tensor as JSON, nested as its shape, of one dimension at least: the shortest decimals that
    read back as the same float32. Where there are many, threads beside this one have their turns.
    """
    if tensor.size <= NUMBERS:
        return orjson.dumps(np.ascontiguousarray(tensor), option=orjson.OPT_SERIALIZE_NUMPY)
    each = tensor.size // len(tensor)
    if each > NUMBERS:
        return b"[%b]" % b",".join([nested(part) for part in tensor])
    step = NUMBERS // each
    parts = (tensor[start : start + step] for start in range(0, len(tensor), step))
    return b"[%b]" % b",".join([nested(part)[1:-1] for part in parts])


def flat(tensor: NDArray[np.float32]) -> bytes:
    """Return a tensor's numbers as JSON in one list, as `nested` does."""
    return nested(tensor.reshape(-1))
