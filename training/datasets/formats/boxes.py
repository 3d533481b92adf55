"""HEIF and AVIF are files of boxes (ISO/IEC 14496-12 and 23008-12): the size, rotation and colours of the
image that is shown.

A file holds many items: a photo's tiles, its thumbnail, its depth. The primary one is what is shown, and its
properties tell how. Read here with every number of boxes bounded, before libheif or libavif see the file.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from .names import Unreadable

_BOXES = 4096
"""Of one box, at most. A photo of 48 megapixels in tiles has some hundred items."""
_META_BYTES = 2**20
_ENDS = {b"hvc1": bytes(1), b"av01": bytes(8)}
"""What no coded image ends in, by how it is coded. The last byte of HEVC is never zero (ITU-T H.265, section
7.4.2.2), and AV1's entropy coder ends in no run of zeros."""
DAMAGED = "The image is damaged or cut short: it does not say how large it is. Send the whole file."

Span = tuple[int, int]
"""Where something begins and ends."""


@dataclass(frozen=True)
class Shown:
    """The primary item: its size before it is turned, whether it is shown on its side, and its colours.

    `colours` are the numbers of its primaries and transfer function (ITU-T H.273), where it says them.
    """

    width: int
    height: int
    on_its_side: bool
    colours: tuple[int, int] | None


def shown(data: bytes) -> Shown:
    """Read the header. Raises Unreadable, struct.error or IndexError."""
    meta = _meta(data)
    number = _primary(data, meta)
    properties = _properties(data, meta[b"iprp"], number)
    size: tuple[int, int] | None = None
    side, colours = False, None
    for kind, (start, end) in properties:
        if kind == b"ispe" and size is None:
            size = struct.unpack_from(">II", data, start + 4)
        elif kind == b"clap":
            # A clean aperture: a part in the middle, its sides as fractions.
            wide, per_wide, high, per_high = struct.unpack_from(">IIII", data, start)
            if not size or not per_wide or not per_high:
                raise Unreadable(DAMAGED)
            size = (min(size[0], round(wide / per_wide)), min(size[1], round(high / per_high)))
        elif kind == b"irot":
            side = data[start] % 2 == 1
        elif kind == b"colr" and data[start : start + 4] == b"nclx" and end - start >= 8:
            colours = struct.unpack_from(">HH", data, start + 4)
    if size is None:
        raise Unreadable(DAMAGED)
    return Shown(*size, side, colours)


def check(data: bytes) -> None:
    """Refuse a file whose pixels end in zeros: the end of a download that never came.

    No decoder of HEVC tells: it shows what it has.
    """
    meta = _meta(data)
    if b"iloc" not in meta:
        return
    coded = _coded_items(data, meta.get(b"iinf"))
    # By item, for its last extent has its end.
    ends = {item: end for item, end in _locations(data, meta[b"iloc"][0]) if item in coded}
    for item, end in ends.items():
        if end > len(data):
            raise Unreadable("The image is cut short: a part of its pixels is missing. Send the whole file.")
        if data[:end].endswith(_ENDS[coded[item]]):
            raise Unreadable(
                "The image is damaged: zeros stand where its last pixels were. Send the whole file."
            )


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, Span]]:
    """Yield the kind of each box, and where its content lies."""
    end = min(end, len(data))
    for _ in range(_BOXES):
        if start + 8 > end:
            return
        size, kind = struct.unpack_from(">I4s", data, start)
        content = start + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, content)
            content += 8
        behind = start + size if size else end
        if behind < content:
            raise Unreadable(DAMAGED)
        yield kind, (content, behind)
        start = behind


def _meta(data: bytes) -> dict[bytes, Span]:
    for kind, (start, end) in _boxes(data, 0, len(data)):
        if kind == b"meta":
            if end - start > _META_BYTES or end > len(data):
                break
            # A version and flags stand first.
            return dict(_boxes(data, start + 4, end))
    raise Unreadable(DAMAGED)


def _primary(data: bytes, meta: dict[bytes, Span]) -> int:
    if not {b"pitm", b"iprp"} <= set(meta):
        raise Unreadable(DAMAGED)
    start, _ = meta[b"pitm"]
    return int(struct.unpack_from(">I" if data[start] else ">H", data, start + 4)[0])


def _properties(data: bytes, iprp: Span, number: int) -> list[tuple[bytes, Span]]:
    """Return the properties of an item, in their order."""
    parts = list(_boxes(data, *iprp))
    kept = [box for kind, span in parts if kind == b"ipco" for box in _boxes(data, *span)]
    found = []
    for kind, span in parts:
        if kind == b"ipma":
            found += [kept[index - 1] for index in _associated(data, span, number) if 0 < index <= len(kept)]
    return found


def _associated(data: bytes, ipma: Span, number: int) -> list[int]:
    """Return the numbers of an item's properties, from 1."""
    at, _ = ipma
    version, wide = data[at], data[at + 3] & 1
    (count,) = struct.unpack_from(">I", data, at + 4)
    at += 8
    for _ in range(min(count, _BOXES)):
        (item,) = struct.unpack_from(">I" if version else ">H", data, at)
        at += 4 if version else 2
        length = data[at]
        at += 1
        if item == number:
            form, mask = (f">{length}H", 0x7FFF) if wide else (f">{length}B", 0x7F)
            return [index & mask for index in struct.unpack_from(form, data, at)]
        at += length * (2 if wide else 1)
    return []


def _coded_items(data: bytes, iinf: Span | None) -> dict[int, bytes]:
    """Return the items that are coded images, not metadata, and how they are coded."""
    found: dict[int, bytes] = {}
    if iinf is None:
        return found
    start, end = iinf
    for kind, (at, _) in _boxes(data, start + (8 if data[start] else 6), end):
        version = data[at]
        if kind == b"infe" and version >= 2:
            number, _, coding = struct.unpack_from(">IH4s" if version > 2 else ">HH4s", data, at + 4)
            if coding in _ENDS:
                found[number] = coding
    return found


def _locations(data: bytes, at: int) -> Iterator[tuple[int, int]]:
    """Yield each item that lies in the file itself, and where each of its extents ends (box `iloc`)."""
    version, sizes = data[at], struct.unpack_from(">BB", data, at + 4)
    offset_size, length_size, base_size, index_size = (half for size in sizes for half in divmod(size, 16))
    wide = version == 2

    def number(size: int) -> int:
        nonlocal at
        at += size
        return int.from_bytes(data[at - size : at], "big")

    at += 6
    for _ in range(min(number(4 if wide else 2), _BOXES)):
        item = number(4 if wide else 2)
        method = number(2) & 15 if version else 0
        number(2)
        base = number(base_size)
        for _ in range(min(number(2), _BOXES)):
            if version:
                number(index_size)
            start = base + number(offset_size)
            length = number(length_size)
            if method == 0:
                yield item, start + length if length else len(data)
