"""The form parser: what real clients write is read, and nothing else is guessed at."""

import contextlib
import io

import httpx
import pytest
import urllib3
from hypothesis import given
from hypothesis import strategies as st

from service.errors import IntakeError, MalformedBody, TooManyImages
from service.multipart import MAX_HEADER_BYTES, boundary_of, parts

HEAD = b'--B\r\nContent-Disposition: form-data; name="file"\r\n\r\n'


def test_what_httpx_writes_is_read() -> None:
    """Two files by httpx."""
    request = httpx.Request("POST", "http://a", files=[("file", b"one"), ("file", ("b.png", b"two"))])
    assert parts(request.read(), boundary_of(request.headers["content-type"]), 2) == [b"one", b"two"]


def test_what_urllib3_writes_is_read() -> None:
    """Two files by urllib3, as requests sends them, one with a name beyond ASCII."""
    fields: list[tuple[str, str | bytes | tuple[str, str | bytes]]] = [
        ("file", ("a.png", b"one")),
        ("file", ("\u00e4 \u00df.png", b"two")),
    ]
    body, content_type = urllib3.encode_multipart_formdata(fields)
    assert parts(body, boundary_of(content_type), 2) == [b"one", b"two"]


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=5), st.booleans())
def test_contents_come_out_as_they_went_in(contents: list[bytes], line_end: bool) -> None:
    """Any bytes that do not hold the boundary."""
    contents = [content.replace(b"--B", b"--b") for content in contents]
    body = b"\r\n".join(HEAD + content for content in contents) + b"\r\n--B--" + b"\r\n" * line_end
    assert parts(body, b"B", 5) == contents


@given(st.binary(max_size=200), st.sampled_from([b"", b"--B", HEAD, HEAD + b"x\r\n--B"]))
def test_random_bytes_end_in_parts_or_an_error(body: bytes, start: bytes) -> None:
    """Nothing else comes out of it than parts or an IntakeError."""
    with contextlib.suppress(IntakeError):
        assert all(isinstance(part, bytes) for part in parts(start + body, b"B", 3))


@pytest.mark.parametrize(
    "body",
    [
        b"before\r\n" + HEAD + b"x\r\n--B--\r\n",
        b"\r\n" + HEAD + b"x\r\n--B--\r\n",
        HEAD + b"x\r\n--B--\r\nafter",
        HEAD + b"x\r\n--B-- ",
        HEAD + b"x\r\n--B--\n",
        HEAD + b"x\r\n--Bx\r\n",
        HEAD.replace(b"\r\n", b"\n") + b"x\n--B--\n",
        b"--B\r\n\r\nx\r\n--B--\r\n",
        b"--B\r\nContent-Type: image/png\r\n\r\nx\r\n--B--\r\n",
        HEAD.replace(b"Disposition:", b"Disposition :") + b"x\r\n--B--\r\n",
        HEAD.replace(b"\r\n\r\n", b"\r\n folded\r\n\r\n") + b"x\r\n--B--\r\n",
        HEAD.replace(b"\r\n\r\n", b'\r\nContent-Disposition: form-data; name="file"\r\n\r\n')
        + b"x\r\n--B--\r\n",
        HEAD.replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: base64\r\n\r\n") + b"eA==\r\n--B--\r\n",
        HEAD.replace(b"\r\n\r\n", b"\r\na: b" * 8 + b"\r\n\r\n") + b"x\r\n--B--\r\n",
        HEAD.replace(b"\r\n\r\n", b"\r\na: " + b"b" * MAX_HEADER_BYTES + b"\r\n\r\n") + b"x\r\n--B--\r\n",
        HEAD.replace(b'"file"', b'"other"; filename="a; name=\\"file\\""') + b"x\r\n--B--\r\n",
    ],
    ids=[
        "preamble",
        "empty line first",
        "epilogue",
        "space after the end",
        "bare line feed after the end",
        "longer boundary",
        "bare line feeds",
        "no headers",
        "no disposition",
        "space before the colon",
        "folded header",
        "two dispositions",
        "base64",
        "many headers",
        "large headers",
        "name inside another value",
    ],
)
def test_odd_forms_are_malformed(body: bytes) -> None:
    """What could be read in two ways is not read at all."""
    with pytest.raises(MalformedBody):
        parts(body, b"B", 3)


def test_a_form_cut_anywhere_is_malformed() -> None:
    """No prefix of a form gives its images."""
    body = HEAD + b"abc\r\n" + HEAD + b"def\r\n--B--"
    assert parts(body, b"B", 2) == [b"abc", b"def"]
    for length in range(len(body)):
        with pytest.raises(MalformedBody):
            parts(body[:length], b"B", 2)


def test_parts_are_counted() -> None:
    """One more than allowed."""
    with pytest.raises(TooManyImages, match="At most 1"):
        parts(HEAD + b"x\r\n" + HEAD + b"y\r\n--B--", b"B", 1)


def test_content_may_look_like_almost_a_boundary() -> None:
    """Hyphens, line breaks and the boundary without its line break are content."""
    content = b"\r\n--\r\n--A\r\n-B--B\r\n\r\n"
    body = io.BytesIO(HEAD + content + b"\r\n--B--").getvalue()
    assert parts(body, b"B", 1) == [content]


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("multipart/form-data; boundary=abc", b"abc"),
        ("Multipart/Form-Data;boundary=abc", b"abc"),
        ('multipart/form-data; boundary="a b"', b"a b"),
        ("multipart/form-data; charset=utf-8; boundary=abc", b"abc"),
        ("multipart/form-data; boundary=" + "x" * 70, b"x" * 70),
    ],
)
def test_boundary_is_read(content_type: str, expected: bytes) -> None:
    """As the usual clients write it, quoted, and beside other parameters."""
    assert boundary_of(content_type) == expected
