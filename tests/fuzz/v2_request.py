"""Infer requests: pixels and images that are all there and within limits, or a client's error."""

import asyncio
import base64
import json
from collections.abc import Iterator, Sequence
from typing import Any

from tests.fuzz import Target, run

_INPUT = b'"inputs":[{"name":"image","datatype":"UINT8","shape":[2,2,2,1]'
_BYTES = b'{"inputs":[{"name":"image","datatype":"BYTES","shape":[2],"parameters":{"binary_data_size":11}}]}'

SEEDS = [
    b"\0{" + _INPUT + b',"data":[1,2,3,4,5,6,7,8]}],"outputs":[{"name":"scores"}]}',
    b"\0{" + _INPUT + b',"data":[[[[1],[2]],[[3],[4]]],[[[5],[6]],[[7],[8]]]]}]}',
    b"f{" + _INPUT + b',"parameters":{"binary_data_size":8}}]}12345678',
    bytes([len(_BYTES)]) + _BYTES + b"\1\0\0\0a\2\0\0\0bc",
    b'\0{"id":"1","inputs":[{"name":"image","datatype":"BYTES","shape":[1,1],"data":[["QUJD"]]}],'
    b'"parameters":{"timeout":1,"binary_data_output":true}}',
]


def load() -> tuple[Target, Sequence[bytes]]:
    """Return the target and what to start from."""
    from service.dialects import Encoded, Most
    from service.dialects.v2 import requests
    from service.errors import IntakeError
    from service.manifest import Manifest
    from tests.service.manifests import make_input, make_manifest

    manifest: Manifest = make_manifest(input=make_input(2, 2, 1).model_dump())
    most = Most(rows=3, images=4, image_bytes=64)

    def target(data: bytes) -> None:
        length = None if data[:1] == b"\0" else str(data[0]) if data else "0"
        try:
            found = asyncio.run(requests.read(data[1:], length, manifest, most))
        except IntakeError:
            return
        given, tail = _sent(data[1:], None if length is None else int(length))
        if isinstance(found.asked, Encoded):
            images = list(found.asked.images)
            assert 1 <= len(images) <= most.images
            assert sum(map(len, images)) <= most.image_bytes
            if given is None:
                assert tail in (_framed(images), images[0])
            else:
                assert images == [_decoded(text) for text in _leaves(given)]
        else:
            assert found.asked.rows.shape[1:] == (2, 2, 1)
            assert 1 <= len(found.asked) <= most.rows
            assert found.asked.rows.ravel().tolist() == (list(tail) if given is None else [*_leaves(given)])
        assert [wanted.name for wanted in found.outputs] == ["scores"]

    return target, SEEDS


def _sent(body: bytes, size: int | None) -> tuple[Any, bytes]:
    """Return what Python's own reader of JSON finds as the input's data, and what stands behind the JSON."""
    if size == 0:
        return None, body
    document = json.loads(body[:size].removeprefix(b"\xef\xbb\xbf"))
    return document["inputs"][0].get("data"), b"" if size is None else body[size:]


def _leaves(value: Any) -> Iterator[Any]:
    """Return all that is in a value but lists, in its order."""
    if isinstance(value, list):
        for each in value:
            yield from _leaves(each)
    else:
        yield value


def _framed(images: Sequence[bytes]) -> bytes:
    return b"".join(len(image).to_bytes(4, "little") + image for image in images)


def _decoded(text: str) -> bytes:
    """Decode what may be a data: URL, and in lines."""
    if text[:5].lower() == "data:":
        text = text.partition(",")[2]
    return base64.b64decode("".join(text.split()))


if __name__ == "__main__":
    run(load)
