"""A multipart/form-data body, whole in memory -> the contents of its parts named `file`.

Written here because every posted form goes through it: the search for the boundary runs in C over the whole
body, where a streaming parser takes a callback per header and per chunk. It is strict (RFC 7578, and RFC 2046
section 5.1.1): nothing stands before the first boundary or after the last, every part is named, and what the
usual clients write is what is read; a header that they would write otherwise is left to python-multipart.
"""

import re

from python_multipart.multipart import parse_options_header

from service.errors import MalformedBody, TooManyImages

PART = b"file"
"""The name of the parts that hold images."""

MAX_BOUNDARY = 70
MAX_PART_HEADERS, MAX_HEADER_BYTES = 8, 4096

_BOUNDARY = re.compile(r"(?i)multipart/form-data; ?boundary=([0-9a-z'()+_,./:=?-]{1,70})")
_DISPOSITION = re.compile(rb'form-data; name="file"(?:; filename="[^"\\\r\n]*")?')


def boundary_of(content_type: str) -> bytes:
    """Return the boundary of a Content-Type; MalformedBody where there is none or it is too long."""
    if usual := _BOUNDARY.fullmatch(content_type):
        return usual[1].encode()
    boundary: bytes = parse_options_header(content_type)[1].get(b"boundary", b"")
    if not 1 <= len(boundary) <= MAX_BOUNDARY:
        raise MalformedBody("multipart/form-data needs a boundary of 1 to 70 characters (RFC 2046).")
    return boundary


def parts(body: bytes | bytearray, boundary: bytes, most: int) -> list[bytes]:
    """Return the contents of the parts, at most `most`. Raises MalformedBody or TooManyImages."""
    delimiter = b"\r\n--" + boundary
    if not body.startswith(delimiter[2:]):
        raise _not_followed()
    found: list[bytes] = []
    at = len(delimiter) - 2
    # After a boundary: a line break and one more part, or two hyphens and nothing more.
    while (ending := bytes(body[at : at + 2])) == b"\r\n":
        start = _start_of_content(body, at)
        end = body.find(delimiter, start - 2)
        if end < 0:
            raise _cut_short()
        if len(found) == most:
            raise TooManyImages(f"At most {most} images in one request are allowed here.")
        found.append(bytes(body[start:end]))
        at = end + len(delimiter)
    if ending != b"--":
        raise _cut_short() if len(ending) < 2 else _not_followed()
    if bytes(body[at + 2 : at + 5]) not in (b"", b"\r\n"):
        raise MalformedBody("Something follows the closing boundary of the multipart body.")
    return found


def _start_of_content(body: bytes | bytearray, at: int) -> int:
    """Check the headers of the part whose boundary ends at `at`; return where its content starts."""
    # From the line break that ends the boundary's line, for a part may have no header at all.
    blank = body.find(b"\r\n\r\n", at, at + MAX_HEADER_BYTES)
    if blank < 0:
        raise _cut_short() if len(body) < at + MAX_HEADER_BYTES else _not_followed()
    _check_headers(bytes(body[at + 2 : blank]))
    return blank + 4


def _not_followed() -> MalformedBody:
    return MalformedBody("The multipart body does not follow its boundary (RFC 7578).")


def _cut_short() -> MalformedBody:
    return MalformedBody("The multipart body ends before its closing boundary.")


def _check_headers(block: bytes) -> None:
    """Refuse a part that is not named `file`, or whose content is encoded."""
    disposition = b""
    lines = block.split(b"\r\n")
    if len(lines) > MAX_PART_HEADERS:
        raise _not_followed()
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or name != name.strip():
            raise _not_followed()
        match name.lower():
            case b"content-disposition" if disposition:
                raise _not_followed()
            case b"content-disposition":
                disposition = value.strip()
            case b"content-transfer-encoding" if value.strip().lower() not in (b"binary", b"8bit", b"7bit"):
                raise MalformedBody("A part has a Content-Transfer-Encoding: send its bytes as they are.")
    if not _DISPOSITION.fullmatch(disposition) and parse_options_header(disposition)[1].get(b"name") != PART:
        raise MalformedBody(
            "A part of the form is not named 'file'. Options go into the query, images into parts "
            "named 'file'."
        )
