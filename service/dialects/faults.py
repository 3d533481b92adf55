"""What is wrong with an array of pixels, and where: for pieces that `tensors.py` could not read at once."""

import asyncio
import math
import re
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import orjson

from service.errors import MalformedBody

BLANKS = b" \t\r\n"

_SIGNS = b"+-.eE"
_DIGITS = b"0123456789"
_MARKS = bytes(ord("0") if sign in _DIGITS + _SIGNS else sign for sign in range(256))
_FOREIGN = re.compile(rb"[^0-9+\-.eE\[\], \t\r\n]")
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")

_WRONG_SIDE = re.compile(rb"0\[|\]0")

_KINDS = {
    b"t": "true",
    b"f": "false",
    b"n": "null",
    b'"': "a text",
    b"{": "an object",
    b"N": "NaN",
    b"I": "Infinity",
}

WHOLE = "pixels are whole numbers 0..255"
_SCALED = f"{WHOLE}. Fractions look scaled to 0..1: send the pixels themselves, the model divides them."


class Form(NamedTuple):
    """How a row's numbers are nested: its sides, and its brackets and commas with one comma behind."""

    sides: tuple[int, ...]
    row: bytes

    @property
    def is_flat(self) -> bool:
        """Whether all numbers of a row are in one list."""
        return len(self.sides) == 1


class Wanted(NamedTuple):
    """What an array should be: its name in errors, how many rows at most, or exactly; or one row `alone`."""

    where: str
    frame: tuple[int, int, int]
    most: int
    due: int | None
    alone: bool

    def told(self) -> str:
        """Return the shape that is right, in words."""
        sides = "".join(f"[{side}]" for side in self.frame)
        if self.alone:
            return f"an image is {sides} or one list of {math.prod(self.frame):,} numbers"
        return (
            f"N images, one too, are [N]{sides}"
            if self.due is None
            else f"the shape says [{self.due}]{sides}"
        )


@dataclass(frozen=True)
class Piece:
    """A part of an array's text that ends with a comma: where in a row's form it begins, and how many
    numbers were before it.
    """

    data: bytes
    at: int
    before: int

    def expected(self, form: Form, length: int) -> bytes:
        """Return so many brackets and commas as the form goes on with."""
        end = self.at + length
        if end <= len(form.row):
            return form.row[self.at : end]
        return (form.row * -(-end // len(form.row)))[self.at : end]

    def slowly(self, form: Form, wanted: Wanted) -> tuple[bytes, int]:
        """Return the numbers, of which some may be written as 12.0, and the brackets and commas. Raises
        MalformedBody for what is wrong.
        """
        foreign = _FOREIGN.search(self.data)
        data = self.data[: foreign.start()] if foreign else self.data
        marks = data.translate(_MARKS, BLANKS)
        shape = marks.translate(None, b"0")
        expected = self.expected(form, len(shape))
        if shape != expected:
            raise self._misshapen(shape, expected, form, wanted)
        if foreign:
            kind = _KINDS.get(foreign.group(), "no number")
            place = self._path(shape.count(b","), form, wanted, self._depth(form, len(shape)) + 1)
            raise _wrong(place, f"is {kind}: {WHOLE}.")
        if wrong := _WRONG_SIDE.search(marks):
            place = self._path(marks.count(b",", 0, wrong.start()), form, wanted)
            raise _wrong(place, "is followed or preceded by a bracket of another list: a comma is missing.")
        return self._values(form, wanted), len(shape)

    def _values(self, form: Form, wanted: Wanted) -> bytes:
        numbers = self.data[:-1].translate(None, b"[]")
        try:
            values = np.array(orjson.loads(b"[%s]" % numbers), np.float64)
        except orjson.JSONDecodeError:
            values = np.empty(0)
        if not values.size:
            texts = [text.strip(BLANKS) for text in numbers.split(b",")]
            index = next((place for place, text in enumerate(texts) if not _finite(text)), 0)
            raise _wrong(self._path(index, form, wanted), f"is no number, or far too large: {WHOLE}.")
        bad = ~((values >= 0) & (values <= 255) & (values == np.floor(values)))
        if bad.any():
            index = int(bad.argmax())
            value = values[index]
            told = _SCALED if 0 < value < 255 and value != int(value) else f"{WHOLE}."
            text = numbers.split(b",")[index].strip(BLANKS)
            raise _wrong(self._path(index, form, wanted), f"is {_shown(text)}: {told}")
        return values.astype(np.uint8).tobytes()

    def _misshapen(self, shape: bytes, expected: bytes, form: Form, wanted: Wanted) -> MalformedBody:
        """Say where brackets and commas begin to be others than they should."""
        same = int((np.frombuffer(shape, np.uint8) != np.frombuffer(expected, np.uint8)).argmax())
        index = shape[:same].count(b",")
        depth = self._depth(form, same)
        found, due = shape[same : same + 1], expected[same : same + 1]
        if found == b"[":
            return _wrong(
                self._path(index, form, wanted), f"is a list where a number is due; {wanted.told()}."
            )
        if due == b"[":
            place = self._path(index, form, wanted, depth + 1)
            return _wrong(place, f"is no list, but should be one; {wanted.told()}.")
        length = "short" if found == b"]" else "long"
        sides = f"is too {length}: {form.sides[depth - 1]:,} are due" if depth else "ends too early"
        return _wrong(self._path(index, form, wanted, depth), f"{sides}; {wanted.told()}.")

    def _depth(self, form: Form, length: int) -> int:
        """Return in how many lists of a row one is after so many brackets and commas."""
        inside = form.row[: (self.at + length) % len(form.row)]
        return inside.count(b"[") - inside.count(b"]")

    def _path(self, index: int, form: Form, wanted: Wanted, depth: int | None = None) -> str:
        """Return the name of a number, or of what holds it in fewer lists."""
        number = self.before + index
        if form.is_flat:
            if depth is not None and depth <= wanted.alone:
                return wanted.where
            image, *steps = _steps(number, wanted.frame)
            place = "row {}, column {}, channel {}".format(*steps)
            return f"{wanted.where}[{number}] ({'' if wanted.alone else f'image {image}, '}{place})"
        steps = _steps(number, form.sides)
        steps = steps[wanted.alone :]
        steps = steps if depth is None else steps[: depth - wanted.alone]
        return wanted.where + "".join(f"[{step}]" for step in steps)


def kind_of(value: object) -> str:
    """Return what a value of JSON is, in words."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    kinds = {str: "a text", dict: "an object", list: "an array", int: "a number", float: "a number"}
    return kinds.get(type(value), "an array")


def _wrong(place: str, what: str) -> MalformedBody:
    return MalformedBody(f"{place} {what}")


def _shown(text: bytes) -> str:
    """Return a number as it was written, unless it is long."""
    return str(text, "ascii") if len(text) <= 24 else "a number of many digits"


def _steps(number: int, sides: tuple[int, ...]) -> list[int]:
    """Return where a number stands: which row, and its place along each side."""
    steps: list[int] = []
    for side in reversed(sides):
        number, step = divmod(number, side)
        steps.insert(0, step)
    return [number, *steps]


def _finite(text: bytes) -> bool:
    return bool(_NUMBER.fullmatch(text)) and math.isfinite(float(text))


def wrong_count(count: int, wanted: Wanted) -> MalformedBody:
    """Say that there are too few numbers, or too many."""
    size = math.prod(wanted.frame)
    if not count:
        return _wrong(wanted.where, f"is empty; {wanted.told()}.")
    if wanted.due is None:
        return _wrong(wanted.where, f"has {count:,} numbers, no multiple of {size:,}; {wanted.told()}.")
    return _wrong(
        wanted.where, f"has {count:,} numbers where {size * wanted.due:,} are due; {wanted.told()}."
    )


def scaled(wanted: Wanted) -> MalformedBody:
    """Say that black and white have been divided by 255."""
    return _wrong(wanted.where, f"has 0.0 and 1.0 alone: {_SCALED} Pixels of 0 and 1 have no point.")


async def too_many(text: memoryview, wanted: Wanted) -> MalformedBody:
    """Say that there are more numbers than the most rows have."""
    count = 1
    for start in range(0, len(text), 2**17):
        count += bytes(text[start : start + 2**17]).count(b",")
        await asyncio.sleep(0)
    size = math.prod(wanted.frame)
    if wanted.due is not None:
        return wrong_count(count, wanted)
    return _wrong(
        wanted.where, f"has {count / size:,.6g} images of {size:,} numbers: at most {wanted.most} are taken."
    )
