"""JSON bodies: images within limits, or an error of the client's."""

import asyncio
import base64
from collections.abc import Sequence

from tests.fuzz import Target, run


def load() -> tuple[Target, Sequence[bytes]]:
    """Return the target and what to start from."""
    from starlette.requests import Request
    from starlette.types import Message

    from service.admission import Lease, Memory
    from service.bodies.intake import BodyLimits, Image, read_images
    from service.errors import IntakeError

    limits = BodyLimits(1024, 3)

    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", b"application/json")]}

    async def read(data: bytes) -> list[Image]:
        async def receive() -> Message:
            return {"type": "http.request", "body": data, "more_body": False}

        return await read_images(Request(scope, receive), limits, Lease(Memory(2**20)))

    def target(data: bytes) -> None:
        try:
            images = asyncio.run(read(data))
        except IntakeError:
            return
        assert 1 <= len(images) <= limits.images
        decoded = [image for image in images if isinstance(image, bytes)]
        assert sum(map(len, decoded)) <= limits.body_bytes
        plain = data.replace(b"\\/", b"/").replace(b"\\n", b"").replace(b"\\r", b"")
        for image in decoded:
            assert not image or base64.b64encode(image)[:-4] in plain or b"\\u" in data

    return target, [b'{"image": "aGVsbG8="}', b'{"images": ["aGVsbG8=", "data:image/png;base64,aGVs"]}']


if __name__ == "__main__":
    run(load)
