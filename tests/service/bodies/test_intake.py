"""Intake: the three forms of a body, their limits, and everything that is not one of them."""

import base64
import random
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise

import httpx
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from service.admission import Lease, Memory
from service.bodies.intake import BodyLimits, Image, read_images
from service.errors import (
    EmptyBody,
    IntakeError,
    MalformedBody,
    PayloadTooLarge,
    TooManyImages,
    UnsupportedMediaType,
)
from tests.service import wire


def lease() -> Lease:
    return Lease(Memory(2**24))


LIMITS = BodyLimits(body_bytes=100_000, images=3)
FORM = "multipart/form-data; boundary=B"


async def read(
    body: bytes | Sequence[bytes], content_type: str | None, limits: BodyLimits = LIMITS, **headers: str
) -> list[Image]:
    """Read the images of a request whose body arrives in these chunks."""
    chunks = [body] if isinstance(body, bytes) else list(body)
    messages: list[Message] = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages.append({"type": "http.request", "body": b"", "more_body": False})
    pending = iter(messages)

    async def receive() -> Message:
        return next(pending)

    if content_type is not None:
        headers["content-type"] = content_type
    raw = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    request = Request({"type": "http", "method": "POST", "headers": raw}, receive)
    return await read_images(request, limits, lease())


def part(
    data: bytes, disposition: str = 'form-data; name="file"; filename="a.png"', extra: str = ""
) -> bytes:
    return f"--B\r\nContent-Disposition: {disposition}\r\n{extra}\r\n".encode() + data + b"\r\n"


def as_json(*images: bytes) -> bytes:
    return orjson.dumps({"images": [base64.b64encode(image).decode() for image in images]})


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the images read, as a JSON list of base64."""
    images = await read_images(Request(scope, receive), LIMITS, lease())
    await send({"type": "http.response.start", "status": 200, "headers": []})
    body = orjson.dumps([base64.b64encode(image).decode() for image in images if isinstance(image, bytes)])
    await send({"type": "http.response.body", "body": body})


def client() -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=echo), base_url="http://test")


async def test_files_of_a_real_client_arrive_in_order() -> None:
    """Several files that httpx posts arrive whole and in their order."""
    sent = [bytes([number]) * 5000 + b"\r\n--" for number in range(3)]
    async with client() as http:
        response = await http.post("/", files=[("file", (f"{n}.png", data)) for n, data in enumerate(sent)])
    assert [base64.b64decode(text) for text in response.json()] == sent


async def test_chunked_body_of_a_real_client_arrives() -> None:
    """A raw body that is streamed without a Content-Length arrives whole."""

    async def stream() -> AsyncIterator[bytes]:
        yield b"abc"
        yield b""
        yield b"def"

    async with client() as http:
        response = await http.post("/", content=stream(), headers={"Content-Type": "image/jpeg"})
    assert base64.b64decode(response.json()[0]) == b"abcdef"


@pytest.mark.parametrize(
    "kind", ["image/jpeg", "image/png; q=1", "IMAGE/WEBP", "image/anything", "application/octet-stream"]
)
async def test_raw_body_is_one_image(kind: str) -> None:
    """A body of an image type, or of no special one, is one image, byte for byte."""
    assert await read([b"\0\r\n", b"\xff"], kind) == [b"\0\r\n\xff"]


@pytest.mark.parametrize(
    "kind",
    [None, "", "text/plain", "application/x-www-form-urlencoded", "multipart/mixed; boundary=B", "image"],
)
async def test_other_types_are_unsupported(kind: str | None) -> None:
    """Any other Content-Type, or none, is refused with what would be right, where the content is text."""
    with pytest.raises(UnsupportedMediaType, match="multipart/form-data"):
        await read(b"abc", kind)


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip", "deflate"])
async def test_compressed_bodies_are_unsupported(encoding: str) -> None:
    """A Content-Encoding is refused, so that no bomb is ever unpacked."""
    with pytest.raises(UnsupportedMediaType, match="Content-Encoding"):
        await read(b"abc", "image/png", content_encoding=encoding)


async def test_identity_encoding_is_none() -> None:
    """Content-Encoding: identity means what it says."""
    assert await read(b"abc", "image/png", content_encoding=" Identity ") == [b"abc"]


@pytest.mark.parametrize("kind", ["image/png", "application/json", FORM, "application/octet-stream"])
async def test_no_body_is_empty(kind: str) -> None:
    """A request without a body says so in every form."""
    with pytest.raises(EmptyBody):
        await read(b"", kind)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (FORM, part(b"") + b"--B--\r\n"),
        (FORM, b"--B--\r\n"),
        ("application/json", b'{"images": []}'),
        ("application/json", b'{"image": ""}'),
        ("application/json", b'{"image": "data:image/png;base64,"}'),
    ],
)
async def test_empty_images_are_empty(kind: str, body: bytes) -> None:
    """An image of 0 bytes, or a form or list without any, is refused as empty."""
    with pytest.raises(EmptyBody):
        await read(body, kind)


# ---- multipart


@settings(max_examples=200, deadline=None)
@given(
    images=st.lists(st.binary(min_size=1, max_size=200) | st.just(b"\r\n--B\r"), min_size=1, max_size=3),
    cuts=st.lists(st.integers(0, 900), max_size=8),
)
async def test_parts_survive_any_chunking(images: list[bytes], cuts: list[int]) -> None:
    """However the network cuts a form into chunks, its files arrive unchanged and in order."""
    images = [image for image in images if b"\r\n--B" not in b"\r\n" + image + b"\r\n"] or [b"\r\n-", b"-B"]
    body = b"".join(part(image) for image in images) + b"--B--\r\n"
    places = sorted({0, len(body), *(min(cut, len(body)) for cut in cuts)})
    chunks = [body[start:end] for start, end in pairwise(places)]
    assert await read(chunks, FORM) == images


@settings(max_examples=200, deadline=None)
@given(
    body=st.binary(max_size=200), start=st.sampled_from([b"", b"--B\r\n", part(b"abc"), part(b"abc")[:-2]])
)
async def test_random_forms_end_in_images_or_an_intake_error(body: bytes, start: bytes) -> None:
    """Whatever bytes come as a form, the outcome is images or an IntakeError."""
    try:
        assert all(await read(start + body, FORM))
    except IntakeError:
        return


@settings(max_examples=200, deadline=None)
@given(kind=st.text(st.characters(max_codepoint=255), max_size=60), form=st.booleans())
async def test_random_content_types_end_in_images_or_an_intake_error(kind: str, form: bool) -> None:
    """Whatever stands in Content-Type, the outcome is images or an IntakeError."""
    try:
        assert all(await read(b"abc", f"multipart/form-data;{kind}" if form else kind))
    except IntakeError:
        return


async def test_form_cut_short_is_malformed() -> None:
    """A form that ends anywhere before its closing boundary is never taken for whole."""
    body = part(b"abcdef") + b"--B--"
    assert await read(body, FORM) == [b"abcdef"]
    for length in range(1, len(body)):
        with pytest.raises(MalformedBody):
            await read(body[:length], FORM)


@pytest.mark.parametrize(
    "kind",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        "multipart/form-data; boundary=" + "B" * 71,
        "multipart/form-data; charset=utf-8",
        "multipart/form-data; boundary=C",
    ],
)
async def test_form_needs_its_boundary(kind: str) -> None:
    """A form whose boundary is missing, too long or another one is malformed."""
    with pytest.raises(MalformedBody):
        await read(part(b"abc") + b"--B--\r\n", kind)


@pytest.mark.parametrize("boundary", ["B" * 70, "a'()+_,-./:=?"])
async def test_form_takes_any_allowed_boundary(boundary: str) -> None:
    """Every boundary that RFC 2046 allows is taken, quoted or up to 70 characters."""
    body = (part(b"abc") + b"--B--\r\n").replace(b"--B", b"--" + boundary.encode())
    assert await read(body, f'multipart/form-data; boundary="{boundary}"') == [b"abc"]


@pytest.mark.parametrize(
    "disposition",
    [
        'form-data; name="image"',
        'form-data; name="FILE"',
        'form-data; name="files[]"',
        'form-data; filename="file"',
        "form-data",
        'form-data; name=""',
        "",
    ],
)
async def test_parts_of_other_names_are_malformed(disposition: str) -> None:
    """A part that is not named file is refused, also behind one that is, with what would be right."""
    for body in (part(b"abc", disposition), part(b"abc") + part(b"x", disposition)):
        with pytest.raises(MalformedBody, match="named 'file'"):
            await read(body + b"--B--\r\n", FORM)


@pytest.mark.parametrize(
    "disposition",
    [
        "form-data; name=file",
        'form-data; filename="x;name=y.png"; name="file"',
        "Form-Data;name=file;filename=a",
    ],
)
async def test_part_names_are_read_as_headers_are(disposition: str) -> None:
    """The name counts with or without quotes and in any place of the header."""
    assert await read(part(b"abc", disposition) + b"--B--\r\n", FORM) == [b"abc"]


async def test_part_without_disposition_is_malformed() -> None:
    """A part does not inherit the name of the part before it."""
    body = part(b"abc") + b"--B\r\nContent-Type: image/png\r\n\r\nxyz\r\n--B--\r\n"
    with pytest.raises(MalformedBody, match="named 'file'"):
        await read(body, FORM)


async def test_part_headers_are_bounded() -> None:
    """A part whose headers never end is refused before they fill the body's limit."""
    with pytest.raises(MalformedBody):
        await read(part(b"abc", extra="X: " + "y" * 50_000 + "\r\n") + b"--B--\r\n", FORM)


# ---- JSON


async def test_json_gives_one_or_several_images() -> None:
    """`image` is one image, `images` are several in their order."""
    assert await read(b'{"image": "AAEC"}', "application/json; charset=utf-8") == [b"\0\1\2"]
    assert await read(as_json(b"one", b"two", b"three"), "application/json") == [b"one", b"two", b"three"]


@pytest.mark.parametrize(
    "head",
    [
        "data:image/png;base64,",
        "data:;base64,",
        "data:image/png;x=y;base64,",
        "DATA:IMAGE/PNG;BASE64,",
        "Data:image/jpeg;charset=utf-8;base64,",
        'data:image/jpeg;name="a b.jpg";base64,',
        "data:image/png; base64,",
        "data:image/png;base64,\n",
    ],
)
async def test_data_urls_are_taken(head: str) -> None:
    """What a browser's FileReader gives is taken as it is."""
    assert await read(orjson.dumps({"image": head + "AAEC"}), "application/json") == [b"\0\1\2"]


@pytest.mark.parametrize("text", ["data:image/png,abc", "data:image/png;base64", "data:base64,AAEC", "data:"])
async def test_data_urls_must_be_base64(text: str) -> None:
    """A data: URL in another encoding, or without data, holds no image."""
    with pytest.raises((MalformedBody, EmptyBody)):
        await read(orjson.dumps({"image": text}), "application/json")


@pytest.mark.parametrize(
    "text",
    [
        "AAE",
        "A",
        "=AAE",
        "AA=EC",
        "AAECAA==AAEC",
        "AA EC",
        "AAEC\t",
        " AAEC",
        "-_-_",
        "AAEÇ",
        "AA%3D",
        "AAEC=",
        "AAEC====",
    ],
)
async def test_base64_is_strict(text: str) -> None:
    """Missing padding, blanks, the URL alphabet and other signs are refused."""
    with pytest.raises(MalformedBody, match="base64"):
        await read(orjson.dumps({"image": text}), "application/json")


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"abc",
        b"\xff\xfe",
        b'{"image": NaN}',
        b'{"image": "\xff"}',
        b'{"image": "\\ud800"}',
        b"[" * 100_000,
        b'{"a":' * 8,
        b'{"image": "AAEC"} x',
        b"\0",
        b" ",
    ],
)
async def test_what_is_not_json_is_malformed(body: bytes) -> None:
    """Broken JSON, NaN, stray bytes and endless nesting are refused as malformed."""
    with pytest.raises(MalformedBody, match="JSON"):
        await read(body, "application/json")


@pytest.mark.parametrize(
    "body",
    [
        b"null",
        b"[]",
        b'"AAEC"',
        b"{}",
        b'{"image": null}',
        b'{"image": 5}',
        b'{"image": ["AAEC"]}',
        b'{"images": "AAEC"}',
        b'{"images": {"0": "AAEC"}}',
        b'{"images": ["AAEC", 5]}',
        b'{"images": [["AAEC"]]}',
        b'{"image": "AAEC", "images": []}',
        b'{"image": "AAEC", "top_k": 5}',
        b'{"Image": "AAEC"}',
    ],
)
async def test_json_of_another_shape_is_malformed(body: bytes) -> None:
    """Valid JSON of another shape is refused with the shape that is expected."""
    with pytest.raises(MalformedBody, match="Expected"):
        await read(body, "application/json")


@pytest.mark.parametrize(
    "body",
    [
        b'{"image": "AAEC", "image": "AwQF"}',
        b'{"images": ["AAEC"], "images": ["AwQF"]}',
        b'{"image": 1, "image": "AwQF"}',
        b'{"image": "AAEC", "\\u0069mage": "AwQF"}',
    ],
)
async def test_equal_keys_are_malformed(body: bytes) -> None:
    """(E7) Where a key is given twice, none is chosen silently."""
    with pytest.raises(MalformedBody):
        await read(body, "application/json")


@pytest.mark.parametrize("size", [2**20 - 1, 2**20, 2**20 + 1, 3 * 2**18, 3 * 2**18 + 1, 2 * 3 * 2**18 + 2])
async def test_large_base64_is_whole(size: int) -> None:
    """Images around the size of a slice of base64 arrive as they are."""
    image = random.Random(size).randbytes(size)
    limits = BodyLimits(2**22, 2)
    assert await read(as_json(image), "application/json", limits) == [image]
    text = base64.b64encode(image).decode()
    for wrong in (
        text[: 2**19] + "=" + text[2**19 :],
        text[: 2**20 - 1] + "\t" + text[2**20 :],
        text + "====",
    ):
        with pytest.raises(MalformedBody, match="base64"):
            await read(orjson.dumps({"image": wrong}), "application/json", limits)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"images": [' + b'"",' * 25_000 + b'""]}', TooManyImages),
        (b'{"images": [' + b"1," * 40_000 + b"1]}", TooManyImages),
        (b"[" + b"1," * 40_000 + b"1]", MalformedBody),
        (b'{"a":' * 15_000, MalformedBody),
    ],
)
async def test_a_flood_of_values_is_refused_unparsed(body: bytes, expected: type[IntakeError]) -> None:
    """(E10) Thousands of values are counted, not built."""
    with pytest.raises(expected):
        await read(body, "application/json")


BOM = b"\xef\xbb\xbf"


@pytest.mark.parametrize("before", [BOM, b"\r\n ", BOM + b"\n"])
async def test_a_byte_order_mark_is_passed_over(before: bytes) -> None:
    """What an editor or PowerShell puts before a document changes nothing in it (RFC 8259, section 8.1)."""
    assert await read(before + b'{"image": "AAEC"}', "application/json") == [b"\0\1\2"]


async def test_wrapped_base64_is_taken() -> None:
    """Lines of 76 or 64 signs, ended in either way, in an image of any size, plain or as a data: URL."""
    for size in (100, 2**20 + 7):
        image = random.Random(size).randbytes(size)
        text = base64.b64encode(image).decode()
        for width, end in ((76, "\n"), (64, "\r\n"), (1, "\r\n"), (size * 2, "\n")):
            lines = end.join(text[start : start + width] for start in range(0, len(text), width)) + end
            for written in (lines, "data:image/png;base64," + lines):
                body = orjson.dumps({"image": written})
                limits = BodyLimits(6 * len(text), 1)
                assert await read(body, "application/json", limits) == [image], (size, width, end)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("AAE", "it has 3 signs"),
        ("AA%3D", "does not have stands at sign 3"),
        ("AAEC====", "too much padding"),
        ("AA=EC", "padding stands at sign 3"),
        ("AAECAA==AAEC", "padding stands at sign 7"),
        ("AA EC", "a blank at sign 3"),
        ("-_-_", "alphabet for URLs (at sign 1)"),
        ("A" * 2**20 + "A_AA", "alphabet for URLs (at sign 1,048,578)"),
        ("data:image/png;base64,AA%3D%3D", "%2B"),
        ("data:image/png,AAEC", "must be base64"),
    ],
)
async def test_what_is_wrong_with_base64_is_named(text: str, words: str) -> None:
    """The place and the kind of the fault, never the text itself."""
    with pytest.raises(MalformedBody) as caught:
        await read(orjson.dumps({"image": text}), "application/json", BodyLimits(2**21, 1))
    assert words in caught.value.detail


async def test_one_bad_base64_spoils_no_other() -> None:
    """Among several images it is an error in its own place; where all are bad, the first one's is raised."""
    first, second, third = await read(b'{"images": ["AAEC", "A-EC", "AwQF"]}', "application/json")
    assert (first, third) == (b"\0\1\2", b"\3\4\5")
    assert isinstance(second, MalformedBody)
    assert "alphabet for URLs (at sign 2)" in second.detail
    with pytest.raises(MalformedBody, match="alphabet for URLs"):
        await read(b'{"images": ["A-EC", "A"]}', "application/json")


async def test_parts_in_base64_are_decoded() -> None:
    """What a mail library writes; a part that is no base64 is an error in its own place."""
    coded = "Content-Transfer-Encoding: base64\r\n"
    body = part(b"AA\r\nEC\r\n", extra=coded) + part(b"raw") + part(b"A-EC", extra=coded) + b"--B--"
    first, second, third = await read(body, FORM)
    assert (first, second) == (b"\0\1\2", b"raw")
    assert isinstance(third, MalformedBody)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('{"image": "AAEC"}'.encode("utf-16"), "UTF-16"),
        ('{"image": "AAEC"}'.encode("utf-16-le"), "UTF-16"),
        (b"\xff\xd8\xff\xe0", "Content-Type"),
        (b'{"image": "AAEC', "cut short"),
        (b'{"image": "AAEC", "top_k": 5, "model": "pets"}', "into the query: ?model=...&top_k=..."),
    ],
)
async def test_what_is_wrong_with_json_is_named(body: bytes, words: str) -> None:
    """Another encoding, another form, an end that is missing, options that belong elsewhere."""
    with pytest.raises(MalformedBody) as caught:
        await read(body, "application/json")
    assert words in caught.value.detail


# ---- no type, or one that does not decide

VAGUE = (
    None,
    "",
    "application/x-www-form-urlencoded",
    "text/plain;charset=UTF-8",
    "application/octet-stream",
    "a/b",
)
PIXELS = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(600)


@pytest.mark.parametrize("kind", VAGUE)
@pytest.mark.parametrize("size", [1, 100, 10_000])
async def test_content_decides_where_the_type_does_not(kind: str | None, size: int) -> None:
    """An image, a JSON document and a form are told by their first bytes, however these arrive."""
    form = part(PIXELS) + part(b"\xff\xd8\xff") + b"--B--\r\n"
    for body, images in (
        (PIXELS, [PIXELS]),
        (b"P5 4 4 255\n" + bytes(16), [b"P5 4 4 255\n" + bytes(16)]),
        (as_json(b"one", b"two"), [b"one", b"two"]),
        (BOM + b'\n{"image": "AAEC"}', [b"\0\1\2"]),
        (form, [PIXELS, b"\xff\xd8\xff"]),
    ):
        chunks = [body[start : start + size] for start in range(0, len(body), size)]
        assert await read(chunks, kind) == images


@pytest.mark.parametrize("kind", VAGUE)
async def test_limits_hold_where_content_decides(kind: str | None) -> None:
    """Once it is clear what a body is, as much is taken as of a body whose type said so."""
    most = PIXELS + bytes(LIMITS.body_bytes - len(PIXELS))
    assert await read(most, kind) == [most]
    assert await read(as_json(most), kind) == [most]
    assert await read(part(most) + b"--B--", kind) == [most]
    with pytest.raises(PayloadTooLarge):
        await read([most, b"\0"], kind)
    with pytest.raises(PayloadTooLarge):
        await read(as_json(most + b"\0"), kind)
    with pytest.raises(EmptyBody):
        await read(b"", kind)


async def test_what_curl_strips_is_told() -> None:
    """`curl -d @photo.jpg` takes line breaks and zero bytes out of it: it is told so."""
    spoilt = bytes(byte for byte in random.Random(0).randbytes(4000) if byte not in b"\r\n\0")
    small = bytes(byte for byte in wire.PNG if byte not in b"\r\n\0")
    for body in (spoilt, small):
        with pytest.raises(MalformedBody, match="--data-binary"):
            await read(body, "application/x-www-form-urlencoded")
    with pytest.raises(UnsupportedMediaType, match=r"With curl: -F file=@photo\.jpg"):
        await read(b"file=@photo.jpg", "application/x-www-form-urlencoded")


# ---- limits


async def test_as_many_images_as_allowed() -> None:
    """The allowed number of images is taken, one more is refused, in each form."""
    full = part(b"abc") * 3 + b"--B--\r\n"
    assert len(await read(full, FORM)) == 3
    assert len(await read(as_json(*[b"abc"] * 3), "application/json")) == 3
    with pytest.raises(TooManyImages, match="At most 3"):
        await read(part(b"abc") * 4 + b"--B--\r\n", FORM)
    with pytest.raises(TooManyImages, match="At most 3"):
        await read(as_json(*[b"abc"] * 4), "application/json")


@pytest.mark.parametrize("kind", ["image/png", "application/json", FORM, "text/plain"])
async def test_declared_length_is_refused_unread(kind: str) -> None:
    """A Content-Length beyond the limit is refused before a byte of the body is read."""

    async def receive() -> Message:
        raise AssertionError("the body was read")

    headers = [(b"content-type", kind.encode()), (b"content-length", b"99999999")]
    request = Request({"type": "http", "method": "POST", "headers": headers}, receive)
    with pytest.raises(PayloadTooLarge):
        await read_images(request, LIMITS, lease())


@pytest.mark.parametrize("declared", [None, "5", "abc", "-1"])
@pytest.mark.parametrize("kind", ["image/png", "application/json", FORM])
async def test_streamed_length_is_refused_on_the_way(kind: str, declared: str | None) -> None:
    """A body that grows beyond the limit is refused while it arrives, whatever length it had declared."""
    read_on = 0

    async def receive() -> Message:
        nonlocal read_on
        read_on += 1
        assert read_on < 30
        body = b"--B\r\nContent-Disposition: form-data; name=file\r\n\r\n" if read_on == 1 else bytes(10_000)
        return {"type": "http.request", "body": body, "more_body": True}

    headers = [(b"content-type", kind.encode())]
    if declared is not None:
        headers.append((b"content-length", declared.encode()))
    request = Request({"type": "http", "method": "POST", "headers": headers}, receive)
    with pytest.raises(PayloadTooLarge, match="allowed here"):
        await read_images(request, LIMITS, lease())


async def test_largest_image_passes_in_every_form() -> None:
    """An image of exactly the allowed bytes is taken in every form; a raw one of one byte more is not."""
    most = bytes(LIMITS.body_bytes)
    assert await read(most, "image/png") == [most]
    assert await read(part(most) + b"--B--\r\n", FORM) == [most]
    assert await read(as_json(most), "application/json") == [most]
    with pytest.raises(PayloadTooLarge):
        await read(most + b"\0", "image/png")
    with pytest.raises(PayloadTooLarge):
        await read(as_json(most + bytes(4)), "application/json")


async def test_errors_do_not_repeat_what_was_sent() -> None:
    """No error's text holds the client's own words, but for a part's name, which makes the fault findable."""
    for body, kind in (
        (b'{"evil": 1}', "application/json"),
        (b'{"image": "evil!"}', "application/json"),
        (b"evil", FORM),
        (part(b"x", 'form-data; name="file"; filename="evil"')[:-2], FORM),
        (b"x", "evil/evil"),
    ):
        with pytest.raises(IntakeError) as caught:
            await read(body, kind)
        assert "evil" not in caught.value.detail
