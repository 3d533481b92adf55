"""A multipart/form-data body, whole in memory -> the contents of its parts named `file`.

Written here because every posted form goes through it: the search for the boundary runs in C over the whole
body, where a streaming parser takes a callback per header and per chunk. What RFC 2046, section 5.1.1, allows
around the parts is passed over: a preamble, white space behind a boundary, an epilogue. Of the parts RFC 7578
is asked: each is named `file`. What could be read in two ways is refused, in words that say what it is: bare
line feeds, a boundary that goes on, a header twice. A header that the usual clients would write otherwise is
left to python-multipart.
"""

import binascii
import re

from python_multipart.multipart import parse_options_header

from service.errors import MalformedBody, TooManyImages
from service.wording import quoted

PART = b"file"
"""The name of the parts that hold images."""

MAX_BOUNDARY = 70
MAX_PART_HEADERS, MAX_HEADER_BYTES = 8, 4096

_BOUNDARY = re.compile(r"(?i)multipart/form-data; ?boundary=([0-9a-z'()+_,./:=?-]{1,70})")

# All that by far the most clients write before a file; what else they may write is taken to pieces.
_USUAL = re.compile(
    rb'Content-Disposition: form-data; name="file"(?:; filename="[^"\\\r\n]*")?'
    rb"(?:\r\nContent-Type: (?!multipart/)[^\r\n]*)?"
)

# What may stand behind a boundary: white space that transports add (transport-padding), then the line's end.
_LINE_END = re.compile(rb"(--)?[ \t]*(?:\r\n|\Z)")
# RFC 5322, section 2.2.3: a header goes on in a line that begins with white space.
_FOLD = re.compile(rb"\r\n[ \t]+")
# A first line that can only be a boundary, of the characters that RFC 2046 gives them.
_FIRST_LINE = re.compile(rb"--([0-9A-Za-z'()+_,./:=?-]{1,70})[ \t]*\r\n")

_OWN_BYTES = (b"binary", b"8bit", b"7bit")


class Base64(bytes):
    """A part's content, that is in base64 by its Content-Transfer-Encoding, as mail programs write it."""


def boundary_of(content_type: str) -> bytes:
    """Return the boundary of a Content-Type; MalformedBody where there is none or it is none."""
    if usual := _BOUNDARY.fullmatch(content_type):
        return usual[1].encode()
    boundary: bytes = parse_options_header(content_type)[1].get(b"boundary", b"")
    if not boundary:
        raise MalformedBody(
            "multipart/form-data needs a boundary of 1 to 70 characters (RFC 2046) in its Content-Type. Let "
            "the client that makes the form write that header."
        )
    if len(boundary) > MAX_BOUNDARY or boundary.endswith(b" "):
        raise MalformedBody(
            "A form's boundary has 1 to 70 characters, of which the last is no space (RFC 2046)."
        )
    return boundary


def boundary_in(body: bytes | bytearray) -> bytes | None:
    """Return the boundary that a body begins with, None where it does not begin with one."""
    first = _FIRST_LINE.match(body)
    return first[1] if first else None


def parts(body: bytes | bytearray, boundary: bytes, most: int) -> list[bytes]:
    """Return the contents of the parts, at most `most`; those in base64 are of the class `Base64`.

    Raises MalformedBody or TooManyImages.
    """
    delimiter = b"\r\n--" + boundary
    at = _behind_first(body, delimiter)
    found: list[bytes] = []
    # Behind a boundary: the end of its line and one more part, or two hyphens, the end and what nobody reads.
    while (line_end := _line_end(body, at)) is not None:
        start, coding = _start_of_content(body, line_end)
        end = body.find(delimiter, start - 2)
        if end < 0:
            raise _cut_short()
        if len(found) == most:
            raise TooManyImages(f"At most {most} images in one request are allowed here.")
        content = bytes(body[start:end])
        found.append(content if coding in _OWN_BYTES else _decoded(content, coding))
        at = end + len(delimiter)
    return found


def _behind_first(body: bytes | bytearray, delimiter: bytes) -> int:
    """Return where the first boundary ends. What stands before it is for readers that know no forms."""
    if body.startswith(delimiter[2:]):
        return len(delimiter) - 2
    if (start := body.find(delimiter)) >= 0:
        if (early := body.find(delimiter[2:], 0, start)) >= 0:
            # The first part would be taken for what stands before it, and be lost without a word.
            raise _bare_line_feeds() if body[early - 1 : early] == b"\n" else _amid_a_line()
        return start + len(delimiter)
    if len(body) < len(delimiter) - 2 and delimiter[2:].startswith(body):
        raise _cut_short()
    if body.find(b"\n" + delimiter[2:]) >= 0:
        raise _bare_line_feeds()
    raise MalformedBody(
        "The boundary that Content-Type names begins no line of the body: it has another one, or is no form."
    )


def _line_end(body: bytes | bytearray, at: int) -> int | None:
    """Return where the line break is that ends the boundary's line, or None where it is the last boundary."""
    if body[at : at + 2] == b"\r\n":
        return at
    match = _LINE_END.match(body, at)
    if match is None:
        if len(body) < at + 2:
            raise _cut_short()
        raise _bare_line_feeds() if body[at : at + 1] == b"\n" else _boundary_goes_on()
    if match[1]:
        return None
    if match[0][-2:] != b"\r\n":
        raise _cut_short()
    return match.end() - 2


def _start_of_content(body: bytes | bytearray, at: int) -> tuple[int, bytes]:
    """Check the headers of the part whose boundary's line ends at `at`; return where its content starts, and
    how that is encoded.
    """
    # From the line break that ends the boundary's line, for a part may have no header at all.
    blank = body.find(b"\r\n\r\n", at, at + MAX_HEADER_BYTES)
    if blank >= 0:
        return blank + 4, _coding(bytes(body[at + 2 : blank]))
    if body.find(b"\n\n", at, at + MAX_HEADER_BYTES) >= 0:
        raise _bare_line_feeds()
    if len(body) < at + MAX_HEADER_BYTES:
        raise _cut_short()
    raise MalformedBody(
        f"No empty line ends a part's headers within {MAX_HEADER_BYTES} bytes, which is all that is read."
    )


def _coding(block: bytes) -> bytes:
    """Return a part's Content-Transfer-Encoding; refuse a part that is not named `file`."""
    disposition, coding = b"", _OWN_BYTES[0]
    if _USUAL.fullmatch(block):
        return coding
    lines = _unfolded(block).split(b"\r\n") if block else []
    if len(lines) > MAX_PART_HEADERS:
        raise MalformedBody(f"A part of the form has more than {MAX_PART_HEADERS} headers.")
    for line in lines:
        name, value = _header(line)
        match name:
            case b"content-disposition" if disposition:
                raise MalformedBody("A part of the form has two headers Content-Disposition.")
            case b"content-disposition":
                disposition = value
            case b"content-transfer-encoding":
                coding = value.lower()
            case b"content-type" if value.lower().startswith(b"multipart/"):
                raise MalformedBody(
                    "A part of the form holds several files (multipart/mixed), as RFC 7578 no longer allows: "
                    "send each in a part named 'file'. With curl: -F file=@a.jpg -F file=@b.jpg."
                )
    _check_name(disposition)
    return coding


def _header(line: bytes) -> tuple[bytes, bytes]:
    """Return a header's name, in small letters, and its value."""
    name, colon, value = line.partition(b":")
    if not colon or name != name.strip():
        raise MalformedBody("A part of the form has a header line that is not of the form 'Name: value'.")
    return name.lower(), value.strip()


def _unfolded(block: bytes) -> bytes:
    if b"\r\n " in block or b"\r\n\t" in block:
        return _FOLD.sub(b" ", block)
    return block


def _check_name(disposition: bytes) -> None:
    name = parse_options_header(disposition)[1].get(b"name")
    if name == PART:
        return
    if name is None:
        raise MalformedBody(
            "A part of the form has no name (RFC 7578, section 4.2). Images go into parts named 'file', each "
            'with the header Content-Disposition: form-data; name="file"; filename="photo.jpg".'
        )
    raise MalformedBody(
        f"A part of the form is named {quoted(name)}, which is not read: images go into parts named 'file', "
        "options into the query, as in ?top_k=3."
    )


def _decoded(content: bytes, coding: bytes) -> bytes:
    """Undo what RFC 7578, section 4.7, tells senders not to do, and RFC 2045, section 6, how to read."""
    if coding == b"base64":
        return Base64(content)
    if coding == b"quoted-printable":
        return binascii.a2b_qp(content)
    raise MalformedBody(
        "A part has a Content-Transfer-Encoding that is not known: send its bytes as they are, without it."
    )


def _cut_short() -> MalformedBody:
    return MalformedBody("The multipart body ends before its closing boundary: it has been cut short.")


def _bare_line_feeds() -> MalformedBody:
    return MalformedBody(
        "The form's lines end in a line feed alone: boundaries and headers end in CR LF (RFC 2046)."
    )


def _amid_a_line() -> MalformedBody:
    return MalformedBody(
        "Something stands before the first boundary in its line, a byte order mark perhaps; a boundary "
        "begins a line (RFC 2046)."
    )


def _boundary_goes_on() -> MalformedBody:
    return MalformedBody(
        "A line of the multipart body begins with the boundary and goes on: there may be white space and a "
        "line break behind it, or two hyphens. Choose a boundary that no content holds."
    )
