"""A server whose deadlines end within a test, for the tests of what arrives over connections."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service import wire
from tests.worlds import Server, serving


@pytest.fixture(scope="session")
def digits_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with the digits alone."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(wire.MODELS / "digits", folder / "digits")
    return folder


@pytest.fixture(scope="session")
def guarded(digits_dir: Path) -> Iterator[Server]:
    """A server whose deadlines end within a test."""
    with serving(
        digits_dir,
        engine="openvino",
        default_classify="digits",
        head_seconds=str(wire.HEAD_SECONDS),
        body_seconds=str(wire.BODY_SECONDS),
        body_grace_seconds=str(wire.GRACE_SECONDS),
        keep_alive_seconds=str(wire.IDLE_SECONDS),
        write_seconds=str(wire.WRITE_SECONDS),
        max_connections=str(wire.CONNECTIONS),
    ) as server:
        yield server
    assert "Traceback" not in "".join(server.log)
