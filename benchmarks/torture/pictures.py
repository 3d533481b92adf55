"""Rows D1 to D24: images that bombs, liars and accidents are made of. The same for the same seed."""

import io
import struct
import zlib
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

from training import golden

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def seeds(seed: int) -> list[bytes]:
    """Draw one good image per encoding and kind."""
    return [sample.data for kind in ("digits", "nuclei", "shapes") for sample in golden.samples(kind, seed)]


# ---- bombs: small to send, large to decode


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return a PNG chunk with its right checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, bits: int, colour: int, pixels: bytes, *between: bytes) -> bytes:
    """Return a PNG of these dimensions and inflated pixels, whatever the one makes of the other."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(pixels, 9))
    return _SIGNATURE + chunk(b"IHDR", header) + b"".join(between) + data + chunk(b"IEND", b"")


def lossless_webp(width: int, height: int) -> bytes:
    """Return a WebP of some 30 bytes that decodes to that many black pixels."""
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "WEBP", lossless=True)
    data = bytearray(buffer.getvalue())
    # 14 bits each of width - 1 and height - 1, after RIFF, WEBP, VP8L, its length and its signature byte.
    bits = int.from_bytes(data[21:25], "little") & ~((1 << 28) - 1)
    data[21:25] = (bits | (width - 1) | (height - 1) << 14).to_bytes(4, "little")
    return bytes(data)


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def bombs() -> dict[str, bytes]:
    """Return the bombs by the rows that they are of."""
    small = golden.samples("shapes")[0].data
    frames = [Image.new("RGB", (64, 64), (shade, 0, 0)) for shade in range(0, 250, 5)]
    inflated = bytes(60 * 2**20)
    row = 1 + 13000 // 8
    return {
        "D1 WebP 9000 x 9000": lossless_webp(9000, 9000),
        "D2 PNG 13000 x 13000, 1 bit": png(13000, 13000, 1, 0, bytes(13000 * row)),
        "D3 PNG 65535 x 65535": png(65535, 65535, 8, 2, b""),
        "D3 PNG 2147483647 x 1": png(2**31 - 1, 1, 8, 2, b""),
        "D4 PNG 4096 x 4096": png(4096, 4096, 8, 2, bytes(4096 * (1 + 3 * 4096))),
        "D4 PNG 5000 x 5000": png(5000, 5000, 8, 2, b""),
        "D5 WebP 4096 x 4096": lossless_webp(4096, 4096),
        "D6 JPEG 4096 x 4096, progressive": _saved(Image.new("RGB", (4096, 4096)), "JPEG", progressive=True),
        "D7 AVIF": b"\x00\x00\x00\x1cftypavif\x00\x00\x00\x00avifmif1miaf",
        "D8 zTXt of 60 MB": png(
            32, 32, 8, 2, bytes(32 * 97), chunk(b"zTXt", b"a\x00\x00" + zlib.compress(inflated, 9))
        ),
        "D8 iCCP of 60 MB": png(
            32, 32, 8, 2, bytes(32 * 97), chunk(b"iCCP", b"a\x00\x00" + zlib.compress(inflated, 9))
        ),
        "D9 200,000 tEXt": png(32, 32, 8, 2, bytes(32 * 97), chunk(b"tEXt", b"a\x00b") * 200_000),
        "D11 PNG without pixels": png(64, 64, 8, 2, b""),
        "D13 GIF": _saved(Image.new("RGB", (8, 8)), "GIF"),
        "D13 TIFF": _saved(Image.new("RGB", (8, 8)), "TIFF"),
        "D13 BMP": _saved(Image.new("RGB", (8, 8)), "BMP"),
        "D13 PDF": b"%PDF-1.7",
        "D14 SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
        "D14 JPEG and ZIP": _saved(Image.new("RGB", (64, 64)), "JPEG") + b"PK\x05\x06" + bytes(18),
        "D20 APNG of 50 frames": _saved(frames[0], "PNG", save_all=True, append_images=frames[1:]),
        "D20 WebP of 50 frames": _saved(frames[0], "WEBP", save_all=True, append_images=frames[1:]),
        "D21 1 x 1": png(1, 1, 8, 0, b"\x00\x80"),
        "D21 1 x 60000": png(1, 60000, 8, 0, bytes(120_000)),
        "D21 60000 x 1": png(60000, 1, 8, 0, bytes(60_001)),
        "D22 0 x 0": png(0, 0, 8, 0, b""),
        "nothing but a signature": small[:8],
    }


# ---- mutations


def mutations(sources: list[bytes], count: int, seed: int) -> Iterator[bytes]:
    """Change good images, one to three times each."""
    chance = np.random.default_rng(seed)
    for _ in range(count):
        data = sources[chance.integers(len(sources))]
        for _ in range(chance.integers(1, 4)):
            change = _CHANGES[chance.integers(len(_CHANGES))]
            data = change(data, sources, chance) or b"\x00"
        yield data


Change = Callable[[bytes, list[bytes], np.random.Generator], bytes]


def _flip(data: bytes, sources: list[bytes], chance: np.random.Generator) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.integers(1, 9)):
        changed[chance.integers(len(changed))] ^= 1 << int(chance.integers(8))
    return bytes(changed)


def _flip_head(data: bytes, sources: list[bytes], chance: np.random.Generator) -> bytes:
    changed = bytearray(data)
    changed[chance.integers(min(len(changed), 64))] = int(chance.integers(256))
    return bytes(changed)


def _cut(data: bytes, sources: list[bytes], chance: np.random.Generator) -> bytes:
    return data[: chance.integers(len(data)) + 1]


def _splice(data: bytes, sources: list[bytes], chance: np.random.Generator) -> bytes:
    other = sources[chance.integers(len(sources))]
    return data[: chance.integers(len(data)) + 1] + other[chance.integers(len(other)) :]


def _extreme(data: bytes, sources: list[bytes], chance: np.random.Generator) -> bytes:
    """Write a number that parsers trip over into two or four bytes."""
    changed = bytearray(data)
    value = (b"\xff\xff", b"\x00\x00", b"\x7f\xff", b"\xff\xff\xff\xff", b"\x80\x00\x00\x00", b"\x00\x01")
    number = value[chance.integers(len(value))]
    at = int(chance.integers(len(changed)))
    changed[at : at + len(number)] = number
    return bytes(changed)


def _repeat(data: bytes, sources: list[bytes], chance: np.random.Generator) -> bytes:
    start = int(chance.integers(len(data)))
    piece = data[start : start + int(chance.integers(1, 200))]
    return data[:start] + piece * int(chance.integers(2, 20)) + data[start:]


def _chunks(data: bytes, sources: list[bytes], chance: np.random.Generator) -> bytes:
    """Change one chunk of a PNG and make its checksum right again, so that the change gets past it."""
    chunks = split(data)
    if not chunks:
        return _flip(data, sources, chance)
    at = int(chance.integers(len(chunks)))
    kind, content = chunks[at]
    what = chance.integers(5)
    if what == 0:
        del chunks[at]
    elif what == 1:
        chunks.insert(int(chance.integers(len(chunks) + 1)), chunks[at])
    elif what == 2 and content:
        chunks[at] = (kind, _flip(content, sources, chance))
    elif what == 3 and kind == b"IDAT":
        chunks[at] = (kind, _repack(content, chance))
    else:
        chunks[at] = (kind, _cut(content, sources, chance) if content else b"\x00")
    return _SIGNATURE + b"".join(chunk(*each) for each in chunks)


def _repack(packed: bytes, chance: np.random.Generator) -> bytes:
    """Change the pixels or their number, and compress them again."""
    try:
        pixels = bytearray(zlib.decompress(packed))
    except zlib.error:
        return packed
    if chance.random() < 0.5:
        return zlib.compress(bytes(pixels[: chance.integers(len(pixels) + 1)]))
    for _ in range(20):
        pixels[chance.integers(len(pixels))] = int(chance.integers(256))
    return zlib.compress(bytes(pixels))


def split(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return a PNG's chunks as far as they can be told apart."""
    chunks: list[tuple[bytes, bytes]] = []
    at = len(_SIGNATURE)
    while data.startswith(_SIGNATURE) and at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4])
        if at + 12 + size > len(data):
            break
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    return chunks


_CHANGES: tuple[Change, ...] = (_flip, _flip_head, _cut, _splice, _extreme, _repeat, _chunks, _chunks)
