"""The rules that a request's head keeps beyond what the parser holds it to (RFC 9110, RFC 9112).

The parser, llhttp by way of httptools, refuses a body of two lengths, bare line feeds, folded lines, control
characters and malformed chunks. It takes what is refused here: no Host or two of them, any transfer coding
before `chunked`, HTTP/0.9 and HTTP/2 in the request line, and methods of other protocols.
"""

import re
from collections.abc import Iterable

from service.errors import CodingUnknown, MalformedRequest, MethodUnknown

Header = tuple[bytes, bytes]

METHODS = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE", b"QUERY"))
"""What the app is asked about; it says which of them an address takes. Any other gets 501."""

NOTED = frozenset((b"host", b"transfer-encoding", b"expect"))
"""The headers that `check_noted` reads, by their lower-case names."""

_UNKNOWN = "This method is not implemented here, at any address."

# RFC 3986, section 3.2, without user information, which RFC 9110, section 4.2.4, rules out.
_HOST = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2}){1,255}(?::[0-9]{0,5})?")
_HOST_V6 = re.compile(rb"\[[0-9A-Fa-f:.]{2,45}\](?::[0-9]{0,5})?")

# RFC 9112, section 3.2: origin-form, absolute-form and asterisk-form.
_TARGET = re.compile(rb"/[^#]*|https?://[A-Za-z0-9.\[\]:_~%-]{1,255}/[^#]*|\*", re.IGNORECASE)

_REQUEST_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32} [!-~]{1,8192} HTTP/1\.[01]\r\n")


def check_line(method: bytes, target: bytes, version: str) -> None:
    """Check a request line. Raises MethodUnknown or MalformedRequest."""
    if method not in METHODS:
        raise MethodUnknown(_UNKNOWN)
    if version not in {"1.1", "1.0"}:
        raise MalformedRequest("HTTP/1.1 is spoken here: end the request line with it.")
    if target[:1] == b"/" and b"#" not in target:
        return
    if not _TARGET.fullmatch(target) or (target == b"*" and method != b"OPTIONS"):
        raise MalformedRequest("The request's address must be a path such as /classify.")


def check_noted(noted: Iterable[Header], version: str) -> None:
    """Check the `NOTED` headers of a head. Raises MalformedRequest or CodingUnknown."""
    hosts = [value for name, value in noted if name == b"host"]
    codings = [value.lower() for name, value in noted if name == b"transfer-encoding"]
    if len(hosts) > 1 or (version == "1.1" and not hosts):
        raise MalformedRequest("A request has exactly one header Host.")
    if hosts and not (_HOST.fullmatch(hosts[0]) or _HOST_V6.fullmatch(hosts[0])):
        raise MalformedRequest("The header Host must be a name or an address, with or without a port.")
    if not codings:
        return
    if version != "1.1":
        raise MalformedRequest("HTTP/1.0 has no Transfer-Encoding; send HTTP/1.1 or Content-Length.")
    if codings != [b"chunked"]:
        raise CodingUnknown("The only Transfer-Encoding taken here is chunked, and that once.")


def misfit(start: bytes) -> MethodUnknown | MalformedRequest:
    """Return the error for bytes that begin with no method known to the parser."""
    if _REQUEST_LINE.match(start):
        return MethodUnknown(_UNKNOWN)
    return MalformedRequest("What was received is not an HTTP/1.1 request.")


def head_without_upgrade(method: bytes, target: bytes, version: str, headers: Iterable[Header]) -> bytes:
    """Return a head without its wish for another protocol, which a server may ignore (RFC 9110, 7.8)."""
    lines = [b"%b %b HTTP/%b" % (method, target, version.encode("ascii"))]
    for name, value in headers:
        if name == b"connection":
            tokens = [token for token in value.split(b",") if token.strip().lower() != b"upgrade"]
            lines.append(b"connection:" + b",".join(tokens))
        elif name != b"upgrade":
            lines.append(name + b":" + value)
    return b"\r\n".join((*lines, b"", b""))
