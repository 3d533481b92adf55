"""The form parser: what real clients write is read, and nothing else is guessed at."""

import binascii
import contextlib
import io
from email import message_from_bytes, policy
from email.mime.image import MIMEImage
from email.mime.multipart import MIMEMultipart

import httpx
import pytest
import urllib3
from hypothesis import given
from hypothesis import strategies as st

from service.bodies.multipart import MAX_HEADER_BYTES, Base64, boundary_in, boundary_of, parts
from service.errors import IntakeError, MalformedBody, TooManyImages

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


@given(
    st.lists(st.binary(max_size=60), min_size=1, max_size=5),
    st.sampled_from([b"", b"\r\n", b" \t\r\nafter"]),
    st.sampled_from([b"", b"\r\n", b"before\n\r\n"]),
)
def test_contents_come_out_as_they_went_in(contents: list[bytes], after: bytes, before: bytes) -> None:
    """Any bytes that do not hold the boundary, whatever stands around the form."""
    contents = [content.replace(b"--B", b"--b") for content in contents]
    body = before + b"\r\n".join(HEAD + content for content in contents) + b"\r\n--B--" + after
    assert parts(body, b"B", 5) == contents


@given(st.binary(max_size=200), st.sampled_from([b"", b"--B", HEAD, HEAD + b"x\r\n--B"]))
def test_random_bytes_end_in_parts_or_an_error(body: bytes, start: bytes) -> None:
    """Nothing else comes out of it than parts or an IntakeError."""
    with contextlib.suppress(IntakeError):
        assert all(isinstance(part, bytes) for part in parts(start + body, b"B", 3))


PART = HEAD[len(b"--B\r\n") :]
"""The headers of a part, up to its content."""


@pytest.mark.parametrize(
    "body",
    [
        b"This is a multi-part message.\r\n" + HEAD + b"x\r\n--B--\r\n",
        b"a\r\n\r\nb: c\r\n\r\n" + HEAD + b"x\r\n--B--\r\n",
        b"\r\n" + HEAD + b"x\r\n--B--\r\n",
        HEAD + b"x\r\n--B--\r\nafter\r\n--B\r\nnobody reads this",
        HEAD + b"x\r\n--B-- \t",
        HEAD + b"x\r\n--B-- \t\r\n",
        b"--B \t \r\n" + PART + b"x\r\n--B\t--\r\n".replace(b"\t--", b"--\t"),
        b"\r\n--B \r\n" + PART + b"x\r\n--B--",
        b'--B\r\nContent-Disposition: form-data;\r\n name="file";\r\n\tfilename="a b"\r\n\r\nx\r\n--B--',
        b'--B\r\nX-Long: a\r\n  b\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n--B--',
        b"--B\r\ncontent-disposition:form-data; name=file\r\nContent-Length: 1\r\n\r\nx\r\n--B--",
        HEAD.replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: BINARY\r\n\r\n") + b"x\r\n--B--",
        HEAD.replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n")
        + b"=78=\r\n\r\n--B--",
    ],
    ids=[
        "preamble",
        "preamble like headers",
        "line break first",
        "epilogue",
        "space after the end",
        "space and a line break after the end",
        "space after the first boundary",
        "line break and space around the first boundary",
        "folded disposition",
        "another folded header",
        "lower case and a length",
        "binary",
        "quoted-printable",
    ],
)
def test_what_rfc_2046_allows_is_read(body: bytes) -> None:
    """Section 5.1.1 and the headers' own rules: what stands around a part changes nothing in it."""
    assert parts(body, b"B", 1) == [b"x"]


def test_space_behind_a_boundary_between_parts() -> None:
    """A line of the boundary and white space ends one part and begins the next."""
    assert parts(HEAD + b"x\r\n--B \t\r\n" + PART + b"y\r\n--B--", b"B", 2) == [b"x", b"y"]


def test_a_part_in_base64_says_so() -> None:
    """What a mail program writes comes out as it stands, marked; it is decoded where all base64 is."""
    body = HEAD.replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: base64\r\n\r\n") + b"eA==\r\n--B--\r\n"
    (found,) = parts(body, b"B", 1)
    assert type(found) is Base64
    assert found == b"eA=="


CLIENTS = {
    "curl": (
        "multipart/form-data; boundary=------------------------d74496d66958873e",
        b'--%b\r\nContent-Disposition: form-data; name="file"; filename="a\\"b.jpg"\r\n'
        b"Content-Type: image/jpeg\r\n\r\n%b\r\n--%b--\r\n",
    ),
    "a browser": (
        "multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW",
        '--%b\r\nContent-Disposition: form-data; name="file"; filename="Stra\u00dfe %%22 1.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n%b\r\n--%b--\r\n".encode(),
    ),
    "Java's Apache client": (
        "multipart/form-data; charset=ISO-8859-1; boundary=4hQ-x_Zk9Tt",
        b'--%b\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n'
        b"Content-Type: image/jpeg; charset=ISO-8859-1\r\nContent-Transfer-Encoding: binary\r\n\r\n"
        b"%b\r\n--%b--\r\n",
    ),
    "OkHttp": (
        "multipart/form-data; boundary=9e2a5bd8-ae1c-4dbb-9ba5-a7a5d8f5e2c3",
        b'--%b\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n'
        b"Content-Type: image/jpeg\r\nContent-Length: 7\r\n\r\n%b\r\n--%b--\r\n",
    ),
    ".NET": (
        'multipart/form-data; boundary="b3b9a8a2-6f1c-4e0c-9d4e-0a5c9f3f6b11"',
        b"--%b\r\nContent-Type: image/jpeg\r\nContent-Disposition: form-data; name=file; filename=a.jpg; "
        b"filename*=utf-8''%%C3%%A4.jpg\r\n\r\n%b\r\n--%b--\r\n",
    ),
    "Go": (
        "multipart/form-data; boundary=" + "0123456789abcdef" * 3 + "0123456789ab",
        b'--%b\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n%b\r\n--%b--\r\n",
    ),
    "PHP's Guzzle": (
        "multipart/form-data; boundary=2cd1d1bd4ac3f5bf0b1ab0c6c9a3d9b1a6ba4bd6",
        b'--%b\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n'
        b"Content-Length: 7\r\nContent-Type: image/jpeg\r\n\r\n%b\r\n--%b--\r\n",
    ),
    "Postman": (
        "multipart/form-data; boundary=--------------------------302153518146437158218341",
        b'--%b\r\nContent-Disposition: form-data; name="file"; filename="/C:/Users/a b/a.jpg"\r\n'
        b"Content-Type: image/jpeg\r\n\r\n%b\r\n--%b--\r\n",
    ),
    "a mail library": (
        'multipart/form-data; boundary="===============4715891640352354545=="',
        b"--%b\r\nContent-Type: image/jpeg\r\nMIME-Version: 1.0\r\n"
        b'Content-Disposition: form-data; name="file";\r\n filename="a.jpg"\r\n\r\n%b\r\n\r\n--%b--\r\n',
    ),
    "a boundary of words": (
        'multipart/form-data; boundary="a simple, (quoted) boundary"',
        b'--%b\r\nContent-Disposition: form-data; name="file"\r\n\r\n%b\r\n--%b--\r\n',
    ),
}


@pytest.mark.parametrize("client", CLIENTS)
def test_what_other_clients_write_is_read(client: str) -> None:
    """Their boundaries, quotes, extended file names, lengths and foldings."""
    content_type, form = CLIENTS[client]
    boundary = boundary_of(content_type)
    (found,) = parts(form % (boundary, b"content", boundary), boundary, 1)
    assert found == (b"content\r\n" if client == "a mail library" else b"content")


def test_what_pythons_email_writes_is_read() -> None:
    """A MIME tree of the standard library, whose parts are in wrapped base64."""
    form = MIMEMultipart("form-data")
    image = MIMEImage(bytes(range(200)), "jpeg")
    image.add_header("Content-Disposition", "form-data", name="file", filename="a.jpg")
    form.attach(image)
    head, _, body = form.as_bytes(policy=policy.HTTP).partition(b"\r\n\r\n")
    content_type = message_from_bytes(head + b"\r\n\r\n")["Content-Type"]
    (found,) = parts(body, boundary_of(content_type), 1)
    assert binascii.a2b_base64(found) == bytes(range(200))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"before" + HEAD + b"x--B--\r\n", "begins no line"),
        (b"x\r\n--C--\r\n", "begins no line"),
        (HEAD + b"x\r\n--B--\n", "goes on"),
        (HEAD + b"x\r\n--B--x\r\n", "goes on"),
        (HEAD + b"x\r\n--Bx\r\n", "goes on"),
        (HEAD + b"x\r\n--B x\r\n", "goes on"),
        (b"before\r\n--Bx\r\n" + HEAD + b"x\r\n--B--\r\n", "goes on"),
        (HEAD.replace(b"\r\n", b"\n") + b"x\n--B--\n", "line feed alone"),
        (b"\n" + HEAD.replace(b"\r\n", b"\n") + b"x\n--B--\n", "line feed alone"),
        (HEAD.replace(b"\r\n", b"\n").replace(b"--B\n", b"--B\r\n") + b"x\n--B--\n", "line feed alone"),
        # Read as what stands before the form, the first image would be lost without a word.
        (b"\n" + HEAD + b"x\r\n" + HEAD + b"y\r\n--B--\r\n", "line feed alone"),
        (b"before\n" + HEAD + b"x\r\n--B--\r\n", "line feed alone"),
        (b"\xef\xbb\xbf" + HEAD + b"x\r\n" + HEAD + b"y\r\n--B--\r\n", "byte order mark"),
        (b"before" + HEAD + b"x\r\n--B--\r\n" + b"x" * 9, "byte order mark"),
        # As curl writes -F file=@a.jpg,b.jpg.
        (
            HEAD.replace(b"\r\n\r\n", b"\r\nContent-Type: multipart/mixed; boundary=C\r\n\r\n")
            + b"--C\r\n\r\nx\r\n--C--\r\n\r\n--B--\r\n",
            "holds several files",
        ),
        (b"--B\r\n\r\nx\r\n--B--\r\n", "has no name"),
        (b"--B\r\nContent-Type: image/png\r\n\r\nx\r\n--B--\r\n", "has no name"),
        (b"--B\r\nContent-Disposition: form-data\r\n\r\nx\r\n--B--\r\n", "has no name"),
        (HEAD.replace(b"Disposition:", b"Disposition :") + b"x\r\n--B--\r\n", "Name: value"),
        (b"--B\r\n folded: a\r\n" + PART + b"x\r\n--B--\r\n", "Name: value"),
        (b"--B\r\nno header\r\n" + PART + b"x\r\n--B--\r\n", "Name: value"),
        (
            HEAD.replace(b"\r\n\r\n", b'\r\nContent-Disposition: form-data; name="file"\r\n\r\n')
            + b"x\r\n--B--\r\n",
            "two headers",
        ),
        (
            HEAD.replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: x\r\n\r\n") + b"x\r\n--B--\r\n",
            "Encoding",
        ),
        (HEAD.replace(b"\r\n\r\n", b"\r\na: b" * 8 + b"\r\n\r\n") + b"x\r\n--B--\r\n", "more than 8 headers"),
        (
            HEAD.replace(b"\r\n\r\n", b"\r\na: " + b"b" * MAX_HEADER_BYTES + b"\r\n\r\n") + b"x\r\n--B--\r\n",
            "4096 bytes",
        ),
        (
            HEAD.replace(b'"file"', b'"other"; filename="a; name=\\"file\\""') + b"x\r\n--B--\r\n",
            "named 'other'",
        ),
        (HEAD.replace(b'"file"', b"image") + b"x\r\n--B--\r\n", "named 'image'"),
        (HEAD.replace(b'"file"', b'"<b>\xc3\xa4\x00"') + b"x\r\n--B--\r\n", r"named '\x3cb\x3eä\x00'"),
        (HEAD.replace(b'"file"', b'"' + b"n" * 999 + b'"') + b"x\r\n--B--\r\n", f"named '{'n' * 40}...'"),
    ],
)
def test_odd_forms_are_malformed(body: bytes, words: str) -> None:
    """What could be read in two ways, or is another form than asked for, is refused in words that name it."""
    with pytest.raises(MalformedBody) as caught:
        parts(body, b"B", 3)
    assert words in caught.value.detail


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
        ('multipart/form-data; boundary="abc"; charset=utf-8', b"abc"),
        ('multipart/form-data ; boundary = "abc"', b"abc"),
        ("Multipart/Form-Data;boundary=abc", b"abc"),
        ('multipart/form-data; boundary="a b"', b"a b"),
        ("multipart/form-data; charset=utf-8; boundary=abc", b"abc"),
        ("multipart/form-data; boundary=" + "x" * 70, b"x" * 70),
    ],
)
def test_boundary_is_read(content_type: str, expected: bytes) -> None:
    """As the usual clients write it, quoted, and beside other parameters."""
    assert boundary_of(content_type) == expected


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=" + "x" * 71,
        'multipart/form-data; boundary="a "',
    ],
)
def test_what_is_no_boundary_is_refused(content_type: str) -> None:
    """Absent, too long, or with a space at its end, which nobody could tell from white space behind it."""
    with pytest.raises(MalformedBody, match="1 to 70 characters"):
        boundary_of(content_type)


@pytest.mark.parametrize(
    ("body", "expected"), [(HEAD, b"B"), (b"--a.b \r\n", b"a.b"), (b"--\r\n", None), (b"x\r\n" + HEAD, None)]
)
def test_a_form_tells_its_own_boundary(body: bytes, expected: bytes | None) -> None:
    """Where no Content-Type does: in its first line."""
    assert boundary_in(body) == expected
