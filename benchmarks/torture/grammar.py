"""Rows A1 to A24, B4 to B12, C, E4 to E8: HTTP requests, most of them wrong. The same for one seed."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

MULTIPART = "multipart/form-data; boundary=xyz"
_METHODS = ("GET", "POST", "POST", "POST", "HEAD", "PUT", "TRACE", "CONNECT", "BREW", "get", "", "G\x00T")
_TARGETS = (
    "/classify?model=digits",
    "/segment?model=nuclei",
    "/v2/models/digits/infer",
    "/v1/models/digits:predict",
    "/v1/models/digits%3Aclassify",
    "/v2/repository/models/%2e%2e/load",
    "/livez",
    "/summary",
    "/",
    "*",
    "http://other.example/livez",
    "//livez",
    "/%00",
    "/../../etc/passwd",
    "/classify?model=../digits&top_k=-1",
    "/classify?" + "a=b&" * 2000,
    "/" + "a" * 70_000,
    "/\x7f\xff",
)
_POSTED = (_TARGETS[0], *_TARGETS[:4])
_VERSIONS = ("HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/0.9", "HTTP/1.", "FTP/1.1", "")
_ENDS = (*("\r\n",) * 12, "\n", "\r", "\r\r\n", "\r\n ")
_HEADERS = (
    "Host: localhost",
    "Host: localhost",
    "Host: evil/..?",
    "Host:",
    "Content-Length: {length}",
    "Content-Length: {length}",
    "Content-Length: 0",
    "Content-Length: -1",
    "Content-Length: 1e3",
    "Content-Length: +5",
    "Content-Length: 99999999999999999999",
    "Content-Length: 5, 5",
    "Content-Length: 30000000",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding : chunked",
    "Content-Type: image/png",
    "Content-Type: application/json",
    f"Content-Type: {MULTIPART}",
    "Content-Type: multipart/form-data",
    "Content-Type: multipart/form-data; boundary=" + "b" * 300,
    'Content-Type: multipart/form-data; boundary="' + "\\" * 5000,
    "Content-Type: application/x-www-form-urlencoded",
    "Content-Encoding: gzip",
    "Inference-Header-Content-Length: 0",
    "Inference-Header-Content-Length: 12",
    "Inference-Header-Content-Length: -1",
    "Inference-Header-Content-Length: 99999999999",
    "Expect: 100-continue",
    "Expect: 200-ok",
    "Connection: close",
    "Connection: keep-alive, Upgrade",
    "Upgrade: h2c",
    "Upgrade: websocket",
    "Accept: image/png;q=NaN, */*;q=0",
    "X-Request-ID: " + "i" * 10_000,
    "traceparent: 00-00000000000000000000000000000000-0000000000000000-00",
    "A: " + "a" * 20_000,
    "B: \x00",
    "C: a\r\n folded",
    "no colon",
    ": no name",
    "D\xe9: \xff",
)
_TYPES = tuple(header for header in _HEADERS if header.startswith("Content-Type"))
_BODIES = (
    "",
    "x",
    "5\r\nhello\r\n0\r\n\r\n",
    "5;ext=" + "e" * 5000 + "\r\nhello\r\n0\r\n\r\n",
    "ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "-5\r\nhello\r\n0\r\n\r\n",
    "5\r\nhelloXX0\r\n\r\n",
    "0\r\n\r\nGET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "0\r\nTrailer: x\r\n\r\n",
    '{"image": "AAAA"}',
    '{"images": [' + '"AAAA",' * 50 + '"AAAA"]}',
    '{"image": NaN}',
    "[" * 100_000,
    '{"image": "\\ud800"}',
    '{"image": 1' + "0" * 5000 + "}",
    '{"instances": [' + "[[1]]," * 3000 + "300]}",
    '{"instances": [{"b64": "AAAA"}, {"image": [1, "1"]}]}',
    '{"inputs": [{"name": "image", "shape": [1, 28, 28, 1], "datatype": "UINT8", "data": ['
    + "1," * 783
    + "1]}]}",
    '{"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 9}}',
    '--xyz\r\nContent-Disposition: form-data; name="file"; filename="../a"\r\n\r\nabc\r\n--xyz--\r\n',
    '--xyz\r\nContent-Disposition: form-data; name="file"\r\n\r\nabc',
    "--xyz\r\n" + "H: v\r\n" * 50 + "\r\nabc\r\n--xyz--\r\n",
    ('--xyz\r\nContent-Disposition: form-data; name="file"\r\n\r\n\r\n' * 100) + "--xyz--\r\n",
    "\r\n" * 5000,
    "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n" * 5,
)
_GARBAGE = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),  # TLS to a plain port
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\r\n\r\n\r\n",
    b"\x00" * 1000,
    b"GET",
    b"GET / HTTP/1.1\r\n" + b"a:b\r\n" * 20_000,
)


@dataclass(frozen=True)
class Case:
    """One attempt: what is sent, in how many pieces, and whether the client then hangs on without a word."""

    data: bytes
    pieces: int
    silent: bool


_HEAD = f"POST {_TARGETS[0]} HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: 500"
_UNFINISHED = (_HEAD + "\r\n\r\nabc").encode()


def cases(count: int, silent: int, *, bodies: bool, seed: int) -> Iterator[Case]:
    """Make up cases; `silent` of them, spread evenly, neither finish nor hang up.

    With `bodies` the head of some of the silent ones is whole.
    """
    chance = random.Random(seed)
    for number in range(count):
        data = _garbage(chance) if chance.random() < 0.05 else _request(chance)
        quiet = silent > 0 and number % (count // silent) == 0
        if quiet:
            data = _UNFINISHED[: chance.randrange(len(_UNFINISHED) if bodies else len(_HEAD))]
        yield Case(data, chance.choice((1, 1, 2, 5)), quiet)


def _garbage(chance: random.Random) -> bytes:
    if chance.random() < 0.5:
        return chance.choice(_GARBAGE)
    return chance.randbytes(chance.randrange(1, 3000))


def _request(chance: random.Random) -> bytes:
    body = chance.choice(_BODIES)
    lines = [f"{chance.choice(_METHODS)} {chance.choice(_TARGETS)} {chance.choice(_VERSIONS)}"]
    share = chance.random()
    # Much of it right, or nothing gets past the first check.
    if share < 0.3:
        lines = [f"GET {chance.choice(_TARGETS)} HTTP/1.1", "Host: localhost"]
        body = chance.choice(("", "", body))
    elif share < 0.8:
        lines = [f"POST {chance.choice(_POSTED)} HTTP/1.1", "Host: localhost"]
        lines.append(
            chance.choice(("Content-Length: {length}", "Transfer-Encoding: chunked", "Connection: close"))
        )
        lines.append(chance.choice(_TYPES))
    lines += chance.choices(_HEADERS, k=chance.choice((0, 0, 1, 1, 1, 2, 3)))
    end = chance.choice(_ENDS)
    head = end.join(lines).replace("{length}", str(len(body.encode("latin-1")))) + end * 2
    data = bytearray((head + body).encode("latin-1"))
    if chance.random() < 0.15:
        for _ in range(chance.randrange(1, 5)):
            data[chance.randrange(len(data))] = chance.randrange(256)
    return bytes(data)
