"""Clients of other servers, unmodified, each in an environment of its own: `make clients` makes them."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / ".venvs" / "clients"


def needed(name: str) -> pytest.MarkDecorator:
    """For tests that run one: `light` (tritonclient, ovmsclient), `kserve`, `mlserver`, `perf`."""
    there = (FOLDER / f"{name}.made").exists()
    return pytest.mark.skipif(not there, reason=f"no clients of {name} here: `make clients` makes them")


def run(name: str, *words: str, seconds: float = 120) -> subprocess.CompletedProcess[str]:
    """Run a program of an environment, as its user would, with what it prints."""
    home = FOLDER / name
    libraries = [home / "usr/lib/x86_64-linux-gnu", *home.glob("lib/python3*/site-packages/nvidia/*/lib")]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    environment["LD_LIBRARY_PATH"] = ":".join(map(str, libraries))
    command = [str(home / "bin" / words[0]), *words[1:]]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=seconds, check=False
    )


def told(name: str, script: str, *arguments: str) -> Any:
    """Run a script in an environment and return what it prints, as JSON."""
    done = run(name, "python", "-c", script, *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
