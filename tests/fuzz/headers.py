"""The heads of images: a size within limits or an error, and never another size than Pillow's."""

import io
from collections.abc import Sequence

from tests.fuzz import Target, run

MAX_PIXELS = 2**24


def load() -> tuple[Target, Sequence[bytes]]:
    """Return the target and what to start from."""
    from PIL import Image

    from service.errors import ImageError
    from service.images import codec, headers
    from tests.images import LOSSY, WHOLE

    def target(data: bytes) -> None:
        try:
            head = headers.read(data, MAX_PIXELS)
        except ImageError:
            return
        assert 4 <= min(head.width, head.height) <= max(head.width, head.height) <= headers.MAX_SIDE
        assert head.width * head.height <= MAX_PIXELS
        assert 0 < head.price(16, MAX_PIXELS) <= head.price(None, MAX_PIXELS)
        try:
            opened = codec.inspect(data, MAX_PIXELS)
        except ImageError:
            return
        assert opened.size == (head.width, head.height)

    seeds = [*WHOLE.values(), *LOSSY.values()]
    for kind, options in (("JPEG", {}), ("PNG", {}), ("WEBP", {}), ("WEBP", {"lossless": True})):
        buffer = io.BytesIO()
        Image.new("RGB", (16, 12)).save(buffer, kind, **options)
        seeds.append(buffer.getvalue())
    return target, seeds


if __name__ == "__main__":
    run(load)
