"""An HTTP request's body -> the encoded images in it, within limits, without touching a disk.

Three forms are taken: multipart/form-data with one or several parts named `file`, in their order; a raw
body of an image type; JSON `{"image": "<base64>"}` or `{"images": ["<base64>", ...]}`.
"""

import base64
import binascii
import logging
from dataclasses import dataclass, field

import orjson
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from service.errors import (
    EmptyBody,
    MalformedBody,
    PayloadTooLarge,
    TooManyImages,
    UnsupportedMediaType,
)

PART = b"file"
"""The name of the multipart parts that hold images."""

_OVERHEAD = 64 * 1024
"""Bytes of a form or a JSON document around its images."""
# It warns of every malformed form; what is wrong with a request is told to who sent it, not to the log.
logging.getLogger("python_multipart").setLevel(logging.ERROR)

_RAW_TYPES = ("application/octet-stream",)


@dataclass(frozen=True)
class Limits:
    """The most that one request may bring."""

    body_bytes: int
    images: int


async def read_images(request: Request, limits: Limits) -> list[bytes]:
    """Read the body; at least one image and at most `limits.images`. Raises an IntakeError that fits."""
    if "upgrade" in request.headers:
        # The parser takes what follows such a head for another protocol: the body never gets here.
        raise MalformedBody("Send the request without the header Upgrade: HTTP/1.1 is spoken here.")
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise UnsupportedMediaType("A compressed body is not taken: send the image without Content-Encoding.")
    media_type, options = parse_options_header(request.headers.get("content-type", ""))
    kind = media_type.decode("latin-1").lower()
    if kind == "multipart/form-data":
        images = await _read_multipart(request, options.get(b"boundary", b""), limits)
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


async def _read_body(request: Request, limits: Limits, most: int) -> bytearray:
    _check_length(request, limits, most)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise _too_large(limits)
    return body


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


@dataclass
class _Form:
    """Collects the parts named `file` while the parser runs; the callbacks are its own."""

    limits: Limits
    images: list[bytearray] = field(default_factory=list)
    received: int = 0
    ended: bool = False
    _header: bytearray = field(default_factory=bytearray)
    _value: bytearray = field(default_factory=bytearray)
    _disposition: bytes = b""

    def part_begin(self) -> None:
        self._disposition = b""

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header_end(self) -> None:
        if bytes(self._header).lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        if options.get(b"name") != PART:
            raise MalformedBody(
                "A part of the form is not named 'file'. Options go into the query, images into parts "
                "named 'file'."
            )
        if len(self.images) == self.limits.images:
            raise _too_many(self.limits)
        self.images.append(bytearray())

    def part_data(self, data: bytes, start: int, end: int) -> None:
        self.received += end - start
        if self.received > self.limits.body_bytes:
            raise _too_large(self.limits)
        self.images[-1] += data[start:end]

    def end(self) -> None:
        self.ended = True


async def _read_multipart(request: Request, boundary: bytes, limits: Limits) -> list[bytes]:
    most = limits.body_bytes + _OVERHEAD
    _check_length(request, limits, most)
    if not 1 <= len(boundary) <= 70:
        raise MalformedBody("multipart/form-data needs a boundary of 1 to 70 characters (RFC 2046).")
    form = _Form(limits)
    parser = MultipartParser(
        boundary,
        {
            "on_part_begin": form.part_begin,
            "on_header_field": form.header_field,
            "on_header_value": form.header_value,
            "on_header_end": form.header_end,
            "on_headers_finished": form.headers_finished,
            "on_part_data": form.part_data,
            "on_end": form.end,
        },
    )
    received = 0
    try:
        async for chunk in request.stream():
            received += len(chunk)
            if received > most:
                raise _too_large(limits)
            if chunk:
                parser.write(chunk)
    except MultipartParseError:
        raise MalformedBody("The multipart body does not follow its boundary (RFC 7578).") from None
    if not received:
        raise EmptyBody("The request has no body: send an image in it.")
    if not form.ended:
        raise MalformedBody("The multipart body ends before its closing boundary.")
    return [bytes(image) for image in form.images]
