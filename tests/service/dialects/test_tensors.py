"""Arrays of pixels as JSON: right rows, or an error that names the place, whatever the text."""

import asyncio
import json
import math
import re
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from service.dialects import tensors
from service.dialects.documents import Numbers
from service.errors import MalformedBody
from service.manifest import Input

GREY = Input(height=2, width=3, channels=1, colour="grey", resize="stretch", normalisation="none")
SMALL = GREY.model_copy(update={"channels": 2})
RIGHT = "[[[[1,2],[3,4],[5,6]],[[7,8],[9,10],[11,12]]]]"
ROWS = [[[[1, 2], [3, 4], [5, 6]], [[7, 8], [9, 10], [11, 12]]]]
MOST = 3


def read(text: str | bytes, spec: Input = SMALL, shape: tuple[int, ...] | None = None) -> Any:
    """Return the rows in a text as lists, or the error's text."""
    data = text.encode() if isinstance(text, str) else text
    try:
        pixels = asyncio.run(tensors.pixels(Numbers(memoryview(data)), spec, MOST, "instances", shape=shape))
    except MalformedBody as error:
        return error.detail
    assert pixels.rows.dtype == np.uint8
    return pixels.rows.tolist()


def understood(text: bytes, frame: tuple[int, ...], count: int | None) -> Any:
    """Return the rows that a text holds, by Python's own reader of JSON; None where it holds none."""
    try:
        value = json.loads(text)
        array = np.array(value, dtype=object)
    except (ValueError, RecursionError):
        return None
    numbers = array.ravel().tolist()
    if not numbers or any(type(each) not in {int, float} for each in numbers):
        return None
    if any(not (0 <= each <= 255) or each != int(each) for each in numbers):
        return None
    if text.count(b".") == len(numbers) and max(numbers) == 1:
        return None
    shapes = [frame, *([frame[:-1]] if frame[-1] == 1 else [])]
    flat = count is not None and array.shape == (count * math.prod(frame),)
    if not flat and (array.shape[1:] not in shapes or len(array) > MOST or count not in {None, len(array)}):
        return None
    return array.astype(float).reshape(-1, *frame).tolist()


@st.composite
def texts(draw: st.DrawFn) -> tuple[bytes, Input, tuple[int, ...] | None, Any]:
    """An array, in any nesting that is right and any framing: its text, and its rows."""
    frame = draw(st.tuples(*[st.integers(1, 4)] * 2, st.sampled_from((1, 3))))
    count = draw(st.integers(1, MOST))
    flat = draw(st.booleans())
    numbers = draw(st.lists(st.integers(0, 255), min_size=count * math.prod(frame), max_size=None))
    array = np.array(numbers[: count * math.prod(frame)]).reshape(count, *frame)
    shown: Any = array.ravel().tolist() if flat else array.tolist()
    if not flat and frame[2] == 1 and draw(st.booleans()):
        shown = array[..., 0].tolist()
    blanks = draw(st.lists(st.sampled_from(("", " ", "\n", "\t ", "\r\n")), min_size=1, max_size=7))
    signs = draw(st.sampled_from((("",), ("", ".0"), ("", "e0", ".00"))))
    made = []
    for place, token in enumerate(json.dumps(shown).replace("[", "[ ").replace("]", " ]").split()):
        number = token.rstrip(",")
        ending = signs[place % len(signs)] if number.isdecimal() else ""
        made.append(number + ending + blanks[place % len(blanks)] + "," * token.count(","))
        made.append(blanks[-place % len(blanks)])
    shape = (count, *frame) if flat or draw(st.booleans()) else None
    spec = SMALL.model_copy(update=dict(zip(("height", "width", "channels"), frame, strict=True)))
    return "".join(made).strip().encode(), spec, shape, array.tolist()


@given(texts(), st.integers(48, 400))
def test_every_nesting_framing_and_chunking_gives_the_rows(
    case: tuple[bytes, Input, tuple[int, ...] | None, Any], piece: int
) -> None:
    """Flat or nested, in one piece or in many, with blanks and as 12.0: the rows are the numbers."""
    text, spec, shape, rows = case
    assume(np.max(rows) != 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tensors, "PIECE", piece)
        assert read(text, spec, shape) == rows


@given(texts(), st.data())
def test_a_damaged_array_is_refused_by_name_or_read_as_json_says(
    case: tuple[bytes, Input, tuple[int, ...] | None, Any], data: st.DataObject
) -> None:
    """Signs lost, doubled or changed: what JSON's grammar and the shape allow, else an error with a place."""
    text, spec, shape, _ = case
    signs = st.text("[],. 0123456789-+eEtrufalsn", max_size=4).map(str.encode)
    start, end = sorted(data.draw(st.tuples(*[st.integers(1, len(text) - 1)] * 2)))
    far = min(end, start + 3)
    damaged = text[:start] + data.draw(signs) + text[far:]
    frame = (spec.height, spec.width, spec.channels)
    expected = understood(damaged, frame, shape[0] if shape else None)
    found = read(damaged, spec, shape)
    if expected is None:
        assert isinstance(found, str)
        assert found.startswith("instances")
    else:
        assert found == expected


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("8", "256", "instances[0][1][0][1] is 256: pixels are whole numbers 0..255."),
        ("8", "-1", "instances[0][1][0][1] is -1: pixels are"),
        ("8", "1.5", "instances[0][1][0][1] is 1.5: pixels are whole numbers 0..255. Fractions look scaled"),
        ("8", "true", "instances[0][1][0][1] is true: pixels are"),
        ("8", "null", "instances[0][1][0][1] is null: pixels are"),
        ("8", "NaN", "instances[0][1][0][1] is NaN: pixels are"),
        ("8", "-Infinity", "instances[0][1][0][1] is Infinity: pixels are"),
        ("8", "1e400", "instances[0][1][0][1] is no number, or far too large"),
        ("8", "01", "instances[0][1][0][1] is no number"),
        ("8", "", "instances[0][1][0][1] is no number"),
        ("8", "8 8", "instances[0][1][0][1] is no number"),
        ("8", "[8]", "instances[0][1][0][1] is a list where a number is due"),
        ("[7,8]", "7", "instances[0][1][0] is no list, but should be one"),
        ("[7,8]", "[7]", "instances[0][1][0] is too short: 2 are due"),
        ("[7,8]", "[7,8,9]", "instances[0][1][0] is too long: 2 are due"),
        (",[11,12]", "", "instances[0][1] is too short: 3 are due; N images, one too, are [N][2][3][2]."),
        ("[[7,8],[9", "[7[,8],[9", "instances[0][1][0][0] is followed or preceded by a bracket of another"),
        (RIGHT, "[]", "instances is empty"),
        (RIGHT, "[ \n]", "instances is empty"),
        (RIGHT, RIGHT[1:-1], "instances[0][0][0] is no list, but should be one; N images, one too, are"),
        (RIGHT, "[" + ",".join([RIGHT[1:-1]] * 4) + "]", "instances has 4 images of 12 numbers: at most 3"),
        (RIGHT, "[1,2,3]", "instances[0] is no list, but should be one"),
        ("]]]]", "]]],", "instances is not closed"),
        (RIGHT, re.sub(r"\d+", "1.0", RIGHT), "instances has 0.0 and 1.0 alone: pixels are whole numbers"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(old: str, new: str, told: str) -> None:
    """Values, lists and counts: which one, what it is, and what would be right."""
    assert read(RIGHT) == ROWS
    found = read(RIGHT.replace(old, new))
    assert isinstance(found, str)
    assert told in found


def test_a_flat_array_is_counted_and_its_pixels_are_named() -> None:
    """Of a known shape all numbers may be in one list; a count that is wrong is told with the right one."""
    flat = RIGHT.replace("[", "").replace("]", "")
    assert read(f"[{flat}]", shape=(1, 2, 3, 2)) == ROWS
    assert read("[1,2]", shape=(1, 2, 3, 2)) == (
        "instances has 2 numbers where 12 are due; the shape says [1][2][3][2]."
    )
    assert "instances has 49 numbers where 12 are due" in read("[" + "1," * 48 + "1]", shape=(1, 2, 3, 2))
    assert "instances[11] (image 0, row 1, column 2, channel 1) is 300: pixels" in read(
        f"[{flat}]".replace("12", "300"), shape=(1, 2, 3, 2)
    )
    assert "the shape says [2][2][3][2]" in read(RIGHT, shape=(2, 2, 3, 2))


def test_one_row_alone_is_flat_or_nested() -> None:
    """`{"image": [...]}` holds one image: nested, or its numbers in one list; the error is about one."""

    def row(value: Any, spec: Input = SMALL) -> Any:
        return asyncio.run(tensors.row(value, spec, "instances[1].image")).tolist()

    assert row(ROWS[0]) == row(list(range(1, 13))) == ROWS[0]
    assert row([[1, 2, 3], [4, 5, 6]], GREY) == [[[1], [2], [3]], [[4], [5], [6]]]
    for wrong, told in (
        (ROWS, r"image\[0\]\[0\]\[0\] is a list where a number"),
        ([], r"image is too short: 12 are due; an image is \[2\]\[3\]\[2\] or one list of 12"),
        (json.loads("[" * 300 + "]" * 300), "image is nested far too deep"),
        (None, "image is null"),
        ("x", "image is a text"),
        ([*range(1, 12), "1"], r"image\[11\] \(row 1, column 2, channel 1\) is a text: pixels are whole"),
        ([*range(1, 12), {}], r"image\[11\] \(row 1, column 2, channel 1\) is an object"),
    ):
        with pytest.raises(MalformedBody, match=r"^instances\[1\]\." + told):
            row(wrong)


async def test_a_large_array_is_read_in_turns() -> None:
    """What else the loop has to do is done while an array is read, many times."""
    spec = SMALL.model_copy(update={"height": 224, "width": 224, "channels": 3})
    pixels = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), np.uint8)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(others())
    text = orjson.dumps(pixels.tolist())
    read = await tensors.pixels(Numbers(memoryview(text)), spec, 2)
    beside.cancel()
    assert (read.rows == pixels).all()
    assert turns >= len(text) // tensors.PIECE


@pytest.mark.parametrize(("values", "told"), [((0, 1), "0.0 and 1.0 alone"), ((0, 1, 2), "")])
def test_many_numbers_with_points_are_looked_at_piece_by_piece(values: tuple[int, ...], told: str) -> None:
    """Black and white divided by 255 is told from pixels written as 12.0, in whichever piece these are."""
    pixels = np.zeros((1, 64, 64, 2), np.uint8)
    pixels[0, 40, 3:6, 0] = np.resize(values, 3)
    text = json.dumps(pixels.astype(float).tolist())
    assert len(text) > 2 * tensors.PIECE
    found = read(text, SMALL.model_copy(update={"height": 64, "width": 64}))
    assert told in found if told else found == pixels.tolist()


def test_blanks_without_end_are_refused() -> None:
    """No piece of text is longer than what is read in one go."""
    assert "signs without a comma" in read("[" + " " * 2 * tensors.PIECE + RIGHT[1:])


async def test_an_element_is_base64_of_a_file() -> None:
    """A text in base64 or a data: URL; anything else is named with its place."""
    assert await tensors.element("aGVsbG8=", "data[0]") == b"hello"
    assert await tensors.element("data:image/png;base64,aGVsbG8=", "data[0]") == b"hello"
    for wrong, told in (
        (None, "data[0] is null"),
        (1, "data[0] is a number"),
        ([1], "data[0] is an array"),
        ("", "data[0] is empty"),
        ("aGVsbG8", "data[0]: An image is not valid base64"),
        ("_-8=", "alphabet for URLs"),
    ):
        with pytest.raises(MalformedBody) as caught:
            await tensors.element(wrong, "data[0]")
        assert told in caught.value.detail


@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1, max_size=24),
    st.integers(1, 24),
)
def test_numbers_read_back_as_the_same_float32(values: list[float], at_once: int) -> None:
    """The shortest decimals that do, in one piece or many; a whole number keeps its point."""
    for shape in ((-1,), (1, -1), (-1, 1)):
        tensor = np.array(values, np.float32).reshape(shape)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tensors, "NUMBERS", at_once)
            text, in_one = tensors.nested(tensor), tensors.flat(tensor)
        assert np.array_equal(np.array(json.loads(text), np.float32), tensor)
        assert np.array_equal(np.array(json.loads(in_one), np.float32), tensor.reshape(-1))
        assert b"." in text or b"e" in text
    assert tensors.nested(np.array([[0.2, 1]], np.float32)) == b"[[0.2,1.0]]"
