"""A JSON document `{"image": "<base64>"}` or `{"images": ["<base64>", ...]}` -> the encoded images in it.

The document is judged as a whole, each image for itself: one whose base64 is wrong is an error of its own
among the others. Base64 is RFC 4648's, section 4, in lines or in one; a `data:` URL (RFC 2397) may be around
it. What is refused would be a guess: a missing end may have been cut off with more than padding, and a blank
was a plus sign before somebody decoded it.
"""

import asyncio
import binascii
import re

import orjson

from service.errors import MalformedBody, TooManyImages

BOM = b"\xef\xbb\xbf"
"""U+FEFF in UTF-8, which some editors put before a text. RFC 8259, section 8.1, lets readers pass over it."""

OPTIONS = frozenset(
    ("model", "version", "label", "threshold", "top_k", "overlay", "mask", "instances", "target", "grid")
)
"""Members that belong into the query."""

_SLICE = 2**20
"""Signs of base64 that are decoded in one go; a multiple of four."""

_WRONG = re.compile(r"[^A-Za-z0-9+/]")
_IN_BASE64 = re.compile(r"; *base64 *$", re.IGNORECASE)


def texts(body: bytes | bytearray, most: int) -> list[str]:
    """Return the texts of the images, at most `most`. Raises MalformedBody or TooManyImages."""
    if body.startswith(BOM):
        body = body.removeprefix(BOM)
    quotes = _check_shape(body, most)
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise _not_json(body) from None
    found = _members(document)
    if len(found) > most:
        raise _too_many(most)
    if quotes != 2 + 2 * len(found):
        raise MalformedBody(
            "The JSON document has a key twice; which of the two counts is not for us to say."
        )
    return found


def _check_shape(body: bytes | bytearray, most: int) -> int:
    """Refuse what has far more values than images are allowed, and return the number of quotation marks.

    Parsing millions of empty strings or numbers would hold up everybody else for as long as it takes. The
    marks are those of one key and of each image: base64 has none, and no more than one comma (`data:` URLs).
    """
    quotes = body.count(b'"')
    if quotes & 1 or quotes > 4:
        # Those within a text, which a data: URL may have.
        quotes -= body.count(b'\\"')
    if quotes > 8 + 4 * most or body.count(b",") > 8 + 4 * most:
        raise _too_many(most) if body[:64].lstrip().startswith(b'{"images"') else _expected()
    return quotes


def _not_json(body: bytes | bytearray) -> MalformedBody:
    if body[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in body[:4]:
        return MalformedBody(
            "The body is not valid JSON: it seems to be in UTF-16; JSON is UTF-8 (RFC 8259), or is it the "
            "image itself? Then say so: Content-Type: image/jpeg."
        )
    if body[:1] not in b"{[ \t\r\n":
        return MalformedBody(
            "The body is not valid JSON, though Content-Type says so. An image itself is sent with a type "
            "such as image/jpeg."
        )
    return MalformedBody("The body is not valid JSON: it is damaged, or cut short.")


def _expected() -> MalformedBody:
    return MalformedBody(
        'Expected {"image": "<base64>"} or {"images": ["<base64>", ...]} and nothing else in it.'
    )


def _members(document: object) -> list[str]:
    if not isinstance(document, dict) or len(document) != 1:
        raise _expected_without_options(document)
    found = [document["image"]] if "image" in document else document.get("images")
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise _expected()
    return found


def _expected_without_options(document: object) -> MalformedBody:
    expected = _expected()
    misplaced = sorted(OPTIONS.intersection(document)) if isinstance(document, dict) else []
    if not misplaced:
        return expected
    return MalformedBody(f"{expected.detail} Options go into the query: ?{'=...&'.join(misplaced)}=...")


def _too_many(most: int) -> TooManyImages:
    return TooManyImages(f"At most {most} images in one request are allowed here.")


async def images(found: list[str]) -> list[bytes | MalformedBody]:
    """Decode each text; where one is no base64, the error says what it is instead."""
    return [_at_once(text) or await decoded(text) for text in found]


def _at_once(text: str) -> bytes:
    """Decode a short text in one line; return nothing where it is anything else, or wrong."""
    if len(text) > _SLICE or len(text) % 4 or text.endswith("==="):
        return b""
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        return b""


async def decoded(text: str | bytes) -> bytes | MalformedBody:
    """Decode one text, in lines of any length; a string may be a `data:` URL."""
    try:
        return await _from_base64(_without_head(text) if isinstance(text, str) else text)
    except MalformedBody as error:
        return error


def _without_head(text: str) -> str:
    """Return what is base64 in a `data:` URL, whose scheme and `base64` may be in any case (RFC 3986)."""
    if text[:5].lower() != "data:":
        return text
    head, _, rest = text[:1024].partition(",")
    if not _IN_BASE64.search(head):
        raise MalformedBody("A data: URL must be base64: data:image/png;base64,...")
    if "%" in rest:
        raise MalformedBody("The data: URL has signs in the form of %2B: undo that, and send plain base64.")
    return text[len(head) + 1 :]


async def _from_base64(text: str | bytes) -> bytes:
    text = _unwrapped(text)
    try:
        if len(text) % 4 or text[-3:] in {"===", b"==="}:
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
            f"An image is not valid base64 (RFC 4648, section 4): {await _fault(text)}"
        ) from None


def _unwrapped(text: str | bytes) -> str | bytes:
    """Return the text without line breaks, which mail and `base64` put after each 76 or 64 signs."""
    if isinstance(text, bytes):
        return text.translate(None, b"\r\n")
    # To look for them costs microseconds a megabyte; to translate a text costs milliseconds.
    return text.replace("\r", "").replace("\n", "") if "\n" in text or "\r" in text else text


async def _fault(text: str | bytes) -> str:
    """Say what is wrong with base64, without a sign of it."""
    if isinstance(text, bytes):
        text = text.decode("latin-1")
    wrong = await _first_wrong(text.rstrip("="))
    if wrong is None and len(text) % 4:
        return (
            f"it has {len(text):,} signs, which is no multiple of four: its end, or its padding with =, is "
            "missing."
        )
    if wrong is None:
        return "there is too much padding at its end: = or == is all there may be."
    at, sign = f"at sign {wrong.start() + 1:,}", wrong[0]
    if sign in "-_":
        return f"it is in the alphabet for URLs ({at}): write + for - and / for _."
    if sign.isspace():
        return f"there is a blank {at}. If that was a +, escape it on its way."
    if sign == "=":
        return f"padding stands {at}, before its end: two texts may have been joined."
    return f"a sign that base64 does not have stands {at}."


async def _first_wrong(text: str) -> re.Match[str] | None:
    for start in range(0, len(text), _SLICE):
        if start:
            await asyncio.sleep(0)
        if wrong := _WRONG.search(text, start, start + _SLICE):
            return wrong
    return None
