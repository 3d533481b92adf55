"""An HTTP request's body -> the encoded images in it, within limits, without touching a disk.

Three forms are taken: multipart/form-data with one or several parts named `file`, in their order; a raw
body of an image type; JSON `{"image": "<base64>"}` or `{"images": ["<base64>", ...]}`.
"""

import asyncio
import binascii
from dataclasses import dataclass

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from service import multipart
from service.admission import Lease
from service.errors import (
    EmptyBody,
    MalformedBody,
    PayloadTooLarge,
    TooManyImages,
    UnsupportedMediaType,
)

_OVERHEAD = 64 * 1024
"""Bytes of a form or a JSON document around its images."""

_SLICE = 2**20
"""Signs of base64 that are decoded in one go; a multiple of four."""

_RAW_TYPES = ("application/octet-stream",)


@dataclass(frozen=True)
class Limits:
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


async def read_images(request: Request, limits: Limits, lease: Lease) -> list[bytes]:
    """Read the body; at least one image and at most `limits.images`. Raises an IntakeError that fits, or
    Overloaded where the bytes are more than `lease` can get; they are the caller's to release.
    """
    encoding = header(request, b"content-encoding")
    if encoding is not None and encoding.strip().lower() != "identity":
        raise UnsupportedMediaType("A compressed body is not taken: send the image without Content-Encoding.")
    content_type = header(request, b"content-type") or ""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        images = await _read_multipart(request, content_type, limits, lease)
    elif kind == "application/json":
        images = await _read_json(request, limits, lease)
    elif kind.startswith("image/") or kind in _RAW_TYPES:
        images = [bytes(await _read_body(request, limits, limits.body_bytes, lease, 1))]
    else:
        raise UnsupportedMediaType(
            "Send the image as multipart/form-data with a part named 'file', as a raw body with an image "
            "type such as image/jpeg, or as application/json with 'image' or 'images' in base64."
        )
    if not any(images):
        raise EmptyBody("The request holds no image: send at least one, of more than 0 bytes.")
    return images


async def _read_body(
    request: Request, limits: Limits, most: int, lease: Lease, copies: int
) -> bytes | bytearray:
    """Read at most `most` bytes; `copies` is how many times as many are held before all is done with them."""
    lease.grow(_declared(request, limits, most) * copies)
    message = await _receive(request)
    body: bytes | bytearray = message.get("body", b"")
    if message.get("more_body"):
        body = bytearray(body)
    while True:
        if len(body) > most:
            raise _too_large(limits)
        lease.grow(len(body) * copies)
        if not message.get("more_body"):
            return body
        message = await _receive(request)
        body += message.get("body", b"")


async def _receive(request: Request) -> Message:
    message = await request.receive()
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    return message


def _declared(request: Request, limits: Limits, most: int) -> int:
    """Return the bytes that Content-Length promises, 0 where it is missing; PayloadTooLarge past `most`."""
    text = header(request, b"content-length")
    declared = int(text) if text and text.isdecimal() else 0
    if declared > most:
        raise _too_large(limits)
    return declared


def _too_large(limits: Limits) -> PayloadTooLarge:
    return PayloadTooLarge(f"At most {limits.body_bytes:,} bytes of images in one request are allowed here.")


async def _read_json(request: Request, limits: Limits, lease: Lease) -> list[bytes]:
    body = await _read_body(request, limits, limits.body_bytes * 4 // 3 + _OVERHEAD, lease, 2)
    if not body:
        raise EmptyBody("The request has no body: send an image in it.")
    quotes = _check_shape(body, limits)
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise MalformedBody("The body is not valid JSON.") from None
    texts = _texts(document)
    if len(texts) > limits.images:
        raise _too_many(limits)
    if quotes != 2 + 2 * len(texts):
        raise MalformedBody(
            "The JSON document has a key twice; which of the two counts is not for us to say."
        )
    images = [await _from_base64(text) for text in texts]
    if sum(map(len, images)) > limits.body_bytes:
        raise _too_large(limits)
    return images


def _check_shape(body: bytes | bytearray, limits: Limits) -> int:
    """Refuse what has far more values than images are allowed, and return the number of quotation marks.

    Parsing millions of empty strings or numbers would hold up everybody else for as long as it takes. The
    marks are those of one key and of each image: base64 has none, and no more than one comma (`data:` URLs).
    """
    quotes = body.count(b'"')
    if quotes > 8 + 4 * limits.images or body.count(b",") > 8 + 4 * limits.images:
        raise _too_many(limits) if body[:64].lstrip().startswith(b'{"images"') else _expected()
    return quotes


def _expected() -> MalformedBody:
    return MalformedBody(
        'Expected {"image": "<base64>"} or {"images": ["<base64>", ...]} and nothing else in it.'
    )


def _texts(document: object) -> list[str]:
    if not isinstance(document, dict) or len(document) != 1:
        raise _expected()
    texts = [document["image"]] if "image" in document else document.get("images")
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise _expected()
    return texts


async def _from_base64(text: str) -> bytes:
    if text.startswith("data:"):
        head, _, text = text.partition(",")
        if not head.endswith(";base64"):
            raise MalformedBody("A data: URL must be base64: data:image/png;base64,...")
    try:
        if len(text) % 4 or text.endswith("==="):
            raise binascii.Error("padding")
        if len(text) <= _SLICE:
            return binascii.a2b_base64(text, strict_mode=True)
        image = bytearray()
        for start in range(0, len(text), _SLICE):
            # In turns with everybody else: 20 MB take 70 ms, and in a thread they would hold the interpreter.
            await asyncio.sleep(0)
            if image and len(image) % 3:
                raise binascii.Error("padding in the middle")
            image += binascii.a2b_base64(text[start : start + _SLICE], strict_mode=True)
        return bytes(image)
    except ValueError:
        raise MalformedBody(
            "An image is not valid base64: use the standard alphabet (+ and /), with padding and without "
            "line breaks (RFC 4648, section 4)."
        ) from None


def _too_many(limits: Limits) -> TooManyImages:
    return TooManyImages(f"At most {limits.images} images in one request are allowed here.")


async def _read_multipart(request: Request, content_type: str, limits: Limits, lease: Lease) -> list[bytes]:
    boundary = multipart.boundary_of(content_type)
    body = await _read_body(request, limits, limits.body_bytes + _OVERHEAD, lease, 2)
    if not body:
        raise EmptyBody("The request has no body: send an image in it.")
    images = multipart.parts(body, boundary, limits.images)
    if sum(map(len, images)) > limits.body_bytes:
        raise _too_large(limits)
    return images
