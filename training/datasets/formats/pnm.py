"""PBM, PGM and PPM of the Netpbm tools, as text (P1 to P3) and as bytes (P4 to P6), 1 to 16 bits.

Read here: Pillow goes through other than 8 bits, and through text, number by number in Python. The format:
https://netpbm.sourceforge.net/doc/ppm.html.
"""

import re

import numpy as np
from numpy.typing import NDArray

from .names import Unreadable

_GAP = rb"(?:[ \t\n\v\f\r]|#[^\n\r]*[\n\r])+"
_SIZE = re.compile(rb"P([1-6])" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,9})")
_MOST = re.compile(_GAP + rb"(\d{1,9})")
_HEAD_BYTES = 65_536
"""Comments may stand in the header; more of them than this may not."""
_BEYOND = 65_536
"""More than any value may be."""
_SPACE = b" \t\n\v\f\r"
SHORT = "The image is damaged or cut short: it has fewer pixels than its header says. Send the whole file."


def pnm(data: bytes) -> tuple[int, int]:
    """Return the width and height."""
    _, width, height, _, _ = _head(data)
    return width, height


def _head(data: bytes) -> tuple[int, int, int, int, int]:
    """Return the number of the kind, width, height, the highest value, and where the pixels begin."""
    head = data[:_HEAD_BYTES]
    size = _SIZE.match(head)
    if not size:
        raise Unreadable("The PPM, PGM or PBM has no width and height.")
    kind, width, height = (int(number) for number in size.groups())
    end, most = size.end(), 1
    if kind not in (1, 4):
        found = _MOST.match(head, end)
        if not found or not 0 < int(found[1]) < 65_536:
            raise Unreadable("The PPM or PGM does not say its highest value, 1 to 65535.")
        end, most = found.end(), int(found[1])
    # One character of white space, then the pixels.
    return kind, width, height, most, end + 1


def decode(data: bytes) -> NDArray[np.uint8]:
    """Return the pixels of the first image, uint8 `[H, W]` grey or `[H, W, 3]` RGB, scaled to 0 to 255."""
    kind, width, height, most, start = _head(data)
    samples = width * height * (3 if kind in (3, 6) else 1)
    if kind in (1, 4):
        ink = _text_bits(data, start, samples) if kind == 1 else _bits(data, start, width, height)
        values = (1 - ink) * np.uint8(255)
    else:
        values = _scaled((_text if kind < 4 else _binary)(data, start, samples, most), most)
    return values.reshape((height, width, 3) if kind in (3, 6) else (height, width))


def _scaled(values: NDArray[np.uint8 | np.uint16 | np.uint32], most: int) -> NDArray[np.uint8]:
    if len(values) and int(values.max()) > most:
        raise Unreadable("The PPM or PGM has values above the highest that its header allows.")
    if most == 255:
        return values.astype(np.uint8, copy=False)
    # Rounded half up, as 16 bits of any other format: 65535 becomes 255.
    table = (np.arange(most + 1, dtype=np.uint32) * 510 + most) // (2 * most)
    return table.astype(np.uint8)[values]


def _binary(data: bytes, start: int, samples: int, most: int) -> NDArray[np.uint8 | np.uint16]:
    kind = np.dtype(np.uint8 if most < 256 else ">u2")
    if len(data) - start < samples * kind.itemsize:
        raise Unreadable(SHORT)
    return np.frombuffer(data, kind, samples, start)


def _bits(data: bytes, start: int, width: int, height: int) -> NDArray[np.uint8]:
    row = (width + 7) // 8
    if len(data) - start < row * height:
        raise Unreadable(SHORT)
    packed = np.frombuffer(data, np.uint8, row * height, start).reshape(height, row)
    return np.unpackbits(packed, axis=1, count=width).reshape(-1)


def _without_comments(data: bytes, start: int) -> bytes:
    text = data[start - 1 :]
    return re.sub(rb"#[^\n\r]*", b"", text) if b"#" in text else text


def _text(data: bytes, start: int, samples: int, most: int) -> NDArray[np.uint32]:
    text = _without_comments(data, start)
    if text.translate(None, b"0123456789" + _SPACE):
        raise Unreadable("The PPM or PGM has other characters than digits among its pixels.")
    # As float32, which has every whole number that is allowed, and keeps too large ones too large. All of
    # them: asked for a count, NumPy fills what is missing with whatever is in memory.
    found = np.fromstring(text, np.float32, sep=" ")[:samples]
    if len(found) < samples:
        raise Unreadable(SHORT)
    return np.minimum(found, _BEYOND, out=found).astype(np.uint32)


def _text_bits(data: bytes, start: int, samples: int) -> NDArray[np.uint8]:
    digits = _without_comments(data, start).translate(None, _SPACE)[:samples]
    if digits.translate(None, b"01"):
        raise Unreadable("The PBM has other characters than 0 and 1 among its pixels.")
    if len(digits) < samples:
        raise Unreadable(SHORT)
    return np.frombuffer(digits, np.uint8) - np.uint8(ord("0"))
