"""A server whose deadlines end within a test, for the tests of what arrives over connections."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service import making, wire
from tests.worlds import Server, serving


@pytest.fixture(scope="session")
def digits_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with the digits alone."""
    folder = tmp_path_factory.mktemp("models")
    making.first("digits", folder)
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


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that it has signed itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    command += ["-days", "2", "-subj", "/CN=striate", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, "-keyout", key, "-out", cert], check=True, capture_output=True)
    return cert, key
