"""Infer requests: pixels and images that are all there and within limits, or a client's error."""

import asyncio
from collections.abc import Sequence

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
        if isinstance(found.asked, Encoded):
            assert 1 <= len(found.asked) <= most.images
            assert sum(map(len, found.asked.images)) <= most.image_bytes
        else:
            assert found.asked.rows.shape[1:] == (2, 2, 1)
            assert 1 <= len(found.asked) <= most.rows
        assert [wanted.name for wanted in found.outputs] == ["scores"]

    return target, SEEDS


if __name__ == "__main__":
    run(load)
