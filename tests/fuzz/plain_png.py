"""The short way for plain PNGs: what it takes, the long way decodes to the same pixels."""

import struct
import zlib
from collections.abc import Sequence

from tests.fuzz import Target, run


def repaired(data: bytes) -> bytes:
    """Put right the checksums of all chunks, which a fuzzer would never find."""
    at, pieces = 8, [data[:8]]
    while at + 12 <= len(data):
        size = min(int.from_bytes(data[at : at + 4], "big"), len(data) - at - 12)
        content = data[at + 4 : at + 8 + size]
        pieces.append(struct.pack(">I", size) + content + struct.pack(">I", zlib.crc32(content)))
        at += 12 + size
    return b"".join(pieces)


def load() -> tuple[Target, Sequence[bytes]]:
    """Return the target and what to start from."""
    from service.errors import ImageError
    from service.images import codec
    from service.manifest import Input
    from tests.images import plain_png

    grey = Input(height=5, width=7, channels=1, colour="grey", resize="stretch", normalisation="")
    rgb = grey.model_copy(update={"channels": 3, "colour": "rgb"})

    def target(data: bytes) -> None:
        for spec in (grey, rgb):
            found = codec.as_tensor(repaired(data), spec)
            try:
                _, expected = codec.read(repaired(data), spec, 4096, whole=False)
            except ImageError:
                assert found is None
            else:
                assert found is None or (found == expected).all()

    return target, [plain_png(spec, (b"\1" + bytes(7 * spec.channels)) * 5) for spec in (grey, rgb)]


if __name__ == "__main__":
    run(load)
