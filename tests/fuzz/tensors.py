"""Arrays of pixels in JSON: the rows that Python's reader of JSON finds, or an error that names the array."""

import asyncio
import json
from collections.abc import Sequence

import numpy as np

from tests.fuzz import Target, run

FRAME = (2, 2, 1)

SEEDS = [
    b"n[[[[1],[2]],[[3],[4]]]]",
    b"n[[[1, 2],[3, 4]],[[5,6],[7,8.0]]]",
    b"f[1,2,3,255]",
    b"r[[[1],[2]],[[3],[4]]]",
]


def load() -> tuple[Target, Sequence[bytes]]:
    """Return the target and what to start from."""
    from service.dialects import tensors
    from service.dialects.documents import Numbers
    from service.errors import MalformedBody
    from service.manifest import Input

    spec = Input(height=2, width=2, channels=1, colour="grey", resize="stretch", normalisation="none")

    def read(kind: bytes, text: bytes) -> list[int] | None:
        numbers = Numbers(memoryview(text))
        try:
            if kind == b"r":
                return asyncio.run(tensors.row(numbers, spec, "data")).ravel().tolist()
            shape = (1, *FRAME) if kind == b"f" else None
            return asyncio.run(tensors.pixels(numbers, spec, 3, "data", shape=shape)).rows.ravel().tolist()
        except MalformedBody:
            return None

    def target(data: bytes) -> None:
        kind, text = data[:1], data[1:]
        if text[:1] != b"[" or any(sign in text for sign in b'"{}'):
            return
        found = read(kind, text)
        if found is None:
            return
        assert np.array(json.loads(text)).ravel().tolist() == found
        assert all(0 <= value <= 255 for value in found)

    return target, SEEDS


if __name__ == "__main__":
    run(load)
