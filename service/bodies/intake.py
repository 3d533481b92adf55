"""An HTTP request's body -> the encoded images in it, within limits, without touching a disk.

Three forms are taken: multipart/form-data with one or several parts named `file`, in their order; a raw
body of an image type; JSON `{"image": "<base64>"}` or `{"images": ["<base64>", ...]}`. A Content-Type of one
of them decides; where there is none, or one that says nothing of images, such as the one that curl adds to
what it posts, the first bytes of the body do.
"""

import re
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from service.admission import Lease
from service.bodies import codings, document, multipart
from service.errors import (
    EmptyBody,
    MalformedBody,
    PayloadTooLarge,
    UnsupportedMediaType,
)

_OVERHEAD = 64 * 1024
"""Bytes of a form or a JSON document around its images."""

_ANYTHING, _CURLS = "application/octet-stream", "application/x-www-form-urlencoded"
"""The type of bytes of which no more is known, and the one that curl and others send unasked."""

_HEAD = 512
"""Bytes of a body that tell what it is."""

_NO_TEXT = re.compile(rb"[^\t\n\f\r\x1b -~]|\AP[1-7]\s")
"""What a text does not have: bytes beyond ASCII and controls; or it begins as a Netpbm image, in letters."""

Image = bytes | MalformedBody
"""An encoded image, or why one among several is none."""


@dataclass(frozen=True)
class BodyLimits:
    """The most that one request may bring."""

    body_bytes: int
    images: int


def header(request: Request, name: bytes) -> str | None:
    """Return the first header of that name, in lower case, or None."""
    # Starlette's own look-up takes ten times as long, and each request asks five times.
    for key, value in request.scope["headers"]:
        if key == name:
            return str(value, "latin-1")
    return None


async def read_images(request: Request, limits: BodyLimits, lease: Lease) -> list[Image]:
    """Read the body; at least one image and at most `limits.images`, and at least one that is no error.

    Raises an IntakeError that fits, or Overloaded where the bytes are more than `lease` can get; they are the
    caller's to release.
    """
    # Of several of one name, the first.
    headers = dict(reversed(request.scope["headers"]))
    encoding = headers.get(b"content-encoding", b"identity")
    if encoding.strip().lower() != b"identity":
        raise UnsupportedMediaType("A compressed body is not taken: send the image without Content-Encoding.")
    content_type = str(headers.get(b"content-type", b""), "latin-1")
    kind = content_type.partition(";")[0].strip().lower()
    images: list[Image]
    if kind == "multipart/form-data":
        images = await _read_form(request, content_type, limits, lease)
    elif kind == "application/json":
        body = await _read_body(request, limits, _most_json(limits), lease, 2)
        images = await _json(body, limits)
    elif kind.startswith("image/"):
        images = [bytes(await _read_body(request, limits, limits.body_bytes, lease, 1))]
    else:
        images = await _read_unnamed(request, kind, limits, lease)
    if not any(images):
        raise EmptyBody("The request holds no image: send at least one, of more than 0 bytes.")
    if isinstance(images[0], MalformedBody) and all(isinstance(image, MalformedBody) for image in images):
        raise images[0]
    return images


async def read_body(request: Request, limits: BodyLimits, lease: Lease) -> bytes | bytearray:
    """Read a body of any type, as large as a JSON document may be; gzip and deflate are undone.

    Raises an IntakeError that fits, or Overloaded as `read_images` does.
    """
    coding = codings.named(header(request, b"content-encoding"))
    most = _most_json(limits)
    body = await _read_body(request, limits, most, lease, 2)
    if coding == "identity":
        return body
    return await codings.inflated(body, most, lambda size: lease.grow(len(body) + 2 * size))


async def _read_form(request: Request, content_type: str, limits: BodyLimits, lease: Lease) -> list[Image]:
    boundary = multipart.boundary_of(content_type)
    body = await _read_body(request, limits, limits.body_bytes + _OVERHEAD, lease, 2)
    return await _form(body, boundary, limits, lease)


async def _form(body: bytes | bytearray, boundary: bytes, limits: BodyLimits, lease: Lease) -> list[Image]:
    if not body:
        raise _empty()
    found = multipart.parts(body, boundary, limits.images)
    images: list[Image] = [*found]
    for place, part in enumerate(found):
        if type(part) is multipart.Base64:
            lease.grow(len(body) * 11 // 4)
            images[place] = await document.decoded(part)
    _check_sizes(images, limits)
    return images


async def _json(body: bytes | bytearray, limits: BodyLimits) -> list[Image]:
    if not body:
        raise _empty()
    images = await document.images(document.texts(body, limits.images))
    _check_sizes(images, limits)
    return images


async def _read_unnamed(request: Request, kind: str, limits: BodyLimits, lease: Lease) -> list[Image]:
    """Read a body whose type does not tell what it is: its first bytes do."""
    _declared(request, limits, _most_json(limits))
    head, more = b"", True
    while more and len(head) < _HEAD:
        message = await _receive(request)
        head += message.get("body", b"")
        more = message.get("more_body", False)
        lease.grow(len(head))
    begun = head, more
    if head.removeprefix(document.BOM).lstrip().startswith(b"{"):
        return await _json(await _read_body(request, limits, _most_json(limits), lease, 2, begun), limits)
    if boundary := multipart.boundary_in(head):
        body = await _read_body(request, limits, limits.body_bytes + _OVERHEAD, lease, 2, begun)
        return await _form(body, boundary, limits, lease)
    if head and kind != _ANYTHING and not _NO_TEXT.search(head[:_HEAD]):
        by_curl = " With curl: -F file=@photo.jpg, or --data-binary @photo.jpg." if kind == _CURLS else ""
        raise UnsupportedMediaType(_HOW_TO_SEND + by_curl)
    body = await _read_body(request, limits, limits.body_bytes, lease, 1, begun)
    if kind == _CURLS and len(body) >= _LEAST_IMAGE and not _LOST_BY_CURL.search(body):
        raise MalformedBody(
            "The image has lost its line breaks and zero bytes, as files do by curl's -d: send it with "
            "--data-binary @photo.jpg, or as a form with -F file=@photo.jpg."
        )
    return [bytes(body)]


_HOW_TO_SEND = (
    "Send the image as multipart/form-data with a part named 'file', as a raw body with an image "
    "type such as image/jpeg, or as application/json with 'image' or 'images' in base64."
)
# Every format has one of these among so many bytes.
_LEAST_IMAGE = 32
_LOST_BY_CURL = re.compile(rb"[\r\n\0]")


def _most_json(limits: BodyLimits) -> int:
    """Return the most bytes of a JSON document: base64, in lines of 64 signs, each ended by an escape."""
    return limits.body_bytes * 11 // 8 + _OVERHEAD


def _empty() -> EmptyBody:
    return EmptyBody("The request has no body: send an image in it.")


def _check_sizes(images: list[Image], limits: BodyLimits) -> None:
    if sum(len(image) for image in images if isinstance(image, bytes)) > limits.body_bytes:
        raise _too_large(limits)


async def _read_body(
    request: Request,
    limits: BodyLimits,
    most: int,
    lease: Lease,
    copies: int,
    begun: tuple[bytes, bool] | None = None,
) -> bytes | bytearray:
    """Read at most `most` bytes; `copies` is how many times as many are held before all is done with them.

    `begun` is what has been read of it before, and whether there is more.
    """
    lease.grow(_declared(request, limits, most) * copies)
    body: bytes | bytearray
    if begun is None:
        message = await _receive(request)
        body, more = message.get("body", b""), message.get("more_body", False)
    else:
        body, more = begun
    if more:
        body = bytearray(body)
    while True:
        if len(body) > most:
            raise _too_large(limits)
        lease.grow(len(body) * copies)
        if not more:
            return body
        message = await _receive(request)
        body += message.get("body", b"")
        more = message.get("more_body", False)


async def _receive(request: Request) -> Message:
    message = await request.receive()
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    return message


def _declared(request: Request, limits: BodyLimits, most: int) -> int:
    """Return the bytes that Content-Length promises, 0 where it is missing; PayloadTooLarge past `most`."""
    text = header(request, b"content-length")
    declared = int(text) if text and text.isdecimal() else 0
    if declared > most:
        raise _too_large(limits)
    return declared


def _too_large(limits: BodyLimits) -> PayloadTooLarge:
    return PayloadTooLarge(f"At most {limits.body_bytes:,} bytes of images in one request are allowed here.")
