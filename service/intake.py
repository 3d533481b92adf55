"""An HTTP request's body -> the encoded images in it, within limits, without touching a disk.

Three forms are taken: multipart/form-data with one or several parts named `file`, in their order; a raw
body of an image type; JSON `{"image": "<base64>"}` or `{"images": ["<base64>", ...]}`.
"""

import base64
import binascii
from dataclasses import dataclass

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from service import multipart
from service.errors import (
    EmptyBody,
    MalformedBody,
    PayloadTooLarge,
    TooManyImages,
    UnsupportedMediaType,
)

_OVERHEAD = 64 * 1024
"""Bytes of a form or a JSON document around its images."""

_RAW_TYPES = ("application/octet-stream",)


@dataclass(frozen=True)
class Limits:
    """The most that one request may bring."""

    body_bytes: int
    images: int


async def read_images(request: Request, limits: Limits) -> list[bytes]:
    """Read the body; at least one image and at most `limits.images`. Raises an IntakeError that fits."""
    headers = request.headers
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise UnsupportedMediaType("A compressed body is not taken: send the image without Content-Encoding.")
    content_type = headers.get("content-type", "")
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        images = await _read_multipart(request, content_type, limits)
    elif kind == "application/json":
        images = await _read_json(request, limits)
    elif kind.startswith("image/") or kind in _RAW_TYPES:
        images = [bytes(await _read_body(request, limits, limits.body_bytes))]
    else:
        raise UnsupportedMediaType(
            "Send the image as multipart/form-data with a part named 'file', as a raw body with an image "
            "type such as image/jpeg, or as application/json with 'image' or 'images' in base64."
        )
    if not any(images):
        raise EmptyBody("The request holds no image: send at least one, of more than 0 bytes.")
    return images


async def _read_body(request: Request, limits: Limits, most: int) -> bytes | bytearray:
    _check_length(request, limits, most)
    message = await _receive(request)
    body: bytes | bytearray = message.get("body", b"")
    if message.get("more_body"):
        body = bytearray(body)
    while True:
        if len(body) > most:
            raise _too_large(limits)
        if not message.get("more_body"):
            return body
        message = await _receive(request)
        body += message.get("body", b"")


async def _receive(request: Request) -> Message:
    message = await request.receive()
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    return message


def _check_length(request: Request, limits: Limits, most: int) -> None:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > most:
        raise _too_large(limits)


def _too_large(limits: Limits) -> PayloadTooLarge:
    return PayloadTooLarge(f"At most {limits.body_bytes:,} bytes of images in one request are allowed here.")


async def _read_json(request: Request, limits: Limits) -> list[bytes]:
    body = await _read_body(request, limits, limits.body_bytes * 4 // 3 + _OVERHEAD)
    if not body:
        raise EmptyBody("The request has no body: send an image in it.")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise MalformedBody("The body is not valid JSON.") from None
    texts = _texts(document)
    if len(texts) > limits.images:
        raise _too_many(limits)
    images = [_from_base64(text) for text in texts]
    if sum(map(len, images)) > limits.body_bytes:
        raise _too_large(limits)
    return images


def _texts(document: object) -> list[str]:
    expected = MalformedBody(
        'Expected {"image": "<base64>"} or {"images": ["<base64>", ...]} and nothing else in it.'
    )
    if not isinstance(document, dict) or len(document) != 1:
        raise expected
    texts = [document["image"]] if "image" in document else document.get("images")
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise expected
    return texts


def _from_base64(text: str) -> bytes:
    if text.startswith("data:"):
        head, _, text = text.partition(",")
        if not head.endswith(";base64"):
            raise MalformedBody("A data: URL must be base64: data:image/png;base64,...")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedBody(
            "An image is not valid base64: use the standard alphabet (+ and /), with padding and without "
            "line breaks (RFC 4648, section 4)."
        ) from None


def _too_many(limits: Limits) -> TooManyImages:
    return TooManyImages(f"At most {limits.images} images in one request are allowed here.")


async def _read_multipart(request: Request, content_type: str, limits: Limits) -> list[bytes]:
    boundary = multipart.boundary_of(content_type)
    body = await _read_body(request, limits, limits.body_bytes + _OVERHEAD)
    if not body:
        raise EmptyBody("The request has no body: send an image in it.")
    images = multipart.parts(body, boundary, limits.images)
    if sum(map(len, images)) > limits.body_bytes:
        raise _too_large(limits)
    return images
