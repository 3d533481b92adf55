"""Documents of any size: what any reader of JSON finds in them, with long arrays of numbers left as text."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.dialects import documents
from service.dialects.documents import Numbers
from service.errors import EmptyBody, MalformedBody

PIXELS = st.lists(st.integers(0, 255), min_size=1, max_size=900)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.text(max_size=20)
    | PIXELS
    | st.lists(PIXELS, max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)


def whole(value: Any) -> Any:
    """Parse the numbers that were left as text."""
    if isinstance(value, Numbers):
        return json.loads(bytes(value.text))
    if isinstance(value, dict):
        return {key: whole(each) for key, each in value.items()}
    return [whole(each) for each in value] if isinstance(value, list) else value


@given(
    document=st.dictionaries(st.text(max_size=9), VALUES, max_size=4), indent=st.sampled_from([None, 0, 2])
)
async def test_a_document_is_what_any_reader_finds(document: dict[str, Any], indent: int | None) -> None:
    """Numbers at any place, texts with any signs between them, written in one line or in many."""
    text = json.dumps(document, indent=indent)
    assert whole(await documents.read(text.encode())) == document


async def test_numbers_are_left_as_they_are() -> None:
    """A long array that is a member's value is not parsed, whatever follows it; a short one is."""
    rows = [[index % 256] * 3 for index in range(300)]
    for document in ({"data": rows, "last": 1}, {"first": "a", "in": [{"data": rows}], "shape": [300, 3]}):
        found = await documents.read(json.dumps(document, indent=1).encode())
        numbers = found.get("data") or found["in"][0]["data"]
        assert isinstance(numbers, Numbers)
        assert json.loads(bytes(numbers.text)) == rows
        assert found.get("shape", [300, 3]) == [300, 3]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"[1, 2]", "must be an object"),
        (b"\xff\xd8\xff", "begins with {"),
        (b'{"data": [1, 2', "cut short"),
        (b'{"data": [1, NaN]}', "no NaN"),
        (b'{"data": [' + b"1," * 999 + b'"1"', "cut short"),
        (b'{"text": "' + b"a" * 2000, "cut short"),
        (b'{"text": "' + b"\\" * 9000 + b'"}', "nothing but backslashes"),
        (b'{"a":' + b" " * 99_000 + b"[1]}", "too much in it"),
        (b'{"data": [' + b"[1]," * 30_000 + b'{"b": 1}]}', "too much in it"),
        (b"{" + b'"a":"",' * 9000 + b'"b":1}', "16,384 texts"),
        (b'{"a":' + b'{"a":' * 99 + b'{"data": [' + b"1," * 999 + b"1]}" + b"}" * 100, "32 levels"),
    ],
)
async def test_what_is_no_such_document_is_named(body: bytes, text: str) -> None:
    """Damage, words that JSON lacks, and what would take long to look at are errors that say which."""
    with pytest.raises(MalformedBody, match=text):
        await documents.read(body)


async def test_a_bytearray_is_taken_over() -> None:
    """Once its texts are there it holds nothing; numbers stay where they are, and then texts beside them are
    no more than a megabyte.
    """
    mark = b"\xef\xbb\xbf"
    body = bytearray(mark + json.dumps({"b64": "a" * 2**21}).encode())
    assert await documents.read(body) == {"b64": "a" * 2**21}
    assert not body
    numbers = {"data": [7] * 999}
    body = bytearray(mark + json.dumps(numbers).encode())
    assert whole(await documents.read(body)) == numbers
    assert body
    with pytest.raises(MalformedBody, match="images come in one way"):
        await documents.read(bytearray(json.dumps(numbers | {"b64": "a" * 2**21}).encode()))


async def test_nothing_is_no_document() -> None:
    """An empty body is told from a broken one; a mark of UTF-8 before a document is passed over."""
    with pytest.raises(EmptyBody):
        await documents.read(b"")
    assert await documents.read(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


async def test_a_text_among_numbers_is_left_to_who_reads_them() -> None:
    """So that its place can be named; where the document is too large to parse at once, it is guessed at."""
    short = b'{"data": [' + b"1," * 999 + b'"1"]}'
    assert (await documents.read(short))["data"][-1] == "1"
    with pytest.raises(MalformedBody, match="texts or objects among its numbers"):
        await documents.read(b'{"data": [' + b"1," * 99_999 + b'"1"]}')
