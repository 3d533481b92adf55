"""Manifests: a manifest that hangs together, or a ValidationError."""

import json
from collections.abc import Sequence

from tests.fuzz import Target, run


def load() -> tuple[Target, Sequence[bytes]]:
    """Return the target and what to start from."""
    from pydantic import ValidationError

    from service.manifest import Manifest
    from tests.service.manifests import make_manifest

    def target(data: bytes) -> None:
        try:
            found = Manifest.model_validate_json(data)
        except ValidationError:
            return
        assert Manifest.model_validate_json(found.model_dump_json()) == found

    made = json.loads(make_manifest().model_dump_json())
    return target, [json.dumps(made).encode()]


if __name__ == "__main__":
    run(load)
