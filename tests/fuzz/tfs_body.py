"""Bodies of TensorFlow Serving's REST: images within limits, as JSON says they are, or the client's error."""

import asyncio
import base64
import json
from collections.abc import Sequence

import numpy as np

from tests.fuzz import Target, run

SEEDS = [
    b'p{"instances": [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]}',
    b'p{"signature_name": "", "instances": [{"image": [[[1], [2]], [[3], [4]]]}, {"data": [1,2,3,4]}]}',
    b'p{"instances": [{"b64": "aGVsbG8="}, {"image_bytes": {"b64": "aGVs"}, "key": 1}]}',
    b'p{"inputs": {"image": [[[1.0, 2], [3, 4]]]}}',
    b'p{"inputs": %b1%b}' % (b"[" * 300, b"]" * 300),
    b'c{"context": {"image": {"b64": "aGVs"}}, "examples": [{}, {"image": [1, 2, 3, 4]}]}',
    b'p{"instances": [%b]}' % b",\n".join([b"[[[1 ] , [ 2]],[[300],[4]]]"] * 40),
]


def load() -> tuple[Target, Sequence[bytes]]:
    """Return the target and what to start from."""
    from service.dialects import Asked, Encoded, Most
    from service.dialects.tfs import requests
    from service.errors import IntakeError
    from tests.service.manifests import make_input, make_manifest

    manifest = make_manifest(input=make_input(2, 2, 1).model_dump())
    most = Most(rows=4, images=3, image_bytes=64)

    async def read(kind: bytes, body: bytes) -> Asked:
        if kind == b"c":
            return await requests.to_classify(body, manifest, most)
        return (await requests.to_predict(body, manifest, most)).asked

    def target(data: bytes) -> None:
        kind, body = data[:1], data[1:]
        try:
            asked = asyncio.run(read(kind, body))
        except IntakeError:
            return
        if isinstance(asked, Encoded):
            assert 1 <= len(asked) <= most.images
            plain = body.replace(b"\\/", b"/").replace(b"\\n", b"").replace(b"\\r", b"").replace(b"\n", b"")
            for image in asked.images:
                assert base64.b64encode(image)[:-4] in plain or b"\\u" in body
            return
        assert 1 <= len(asked) <= most.rows
        assert asked.rows.shape[1:] == (2, 2, 1)
        if kind != b"c":
            document = json.loads(body.removeprefix(b"\xef\xbb\xbf"))
            value = document["inputs"] if "inputs" in document else document["instances"]
            numbers = list(_numbers(value))
            assert (
                np.array_equal(numbers, asked.rows.ravel()) or "key" in str(value) or "target" in str(value)
            )

    return target, SEEDS


def _numbers(value: object) -> list[float]:
    """Return all numbers in a value, in their order."""
    if isinstance(value, dict):
        value = [*value.values()]
    if isinstance(value, list):
        return [number for each in value for number in _numbers(each)]
    assert isinstance(value, (int, float))
    return [value]


if __name__ == "__main__":
    run(load)
