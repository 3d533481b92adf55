"""docs/training.md can be followed line by line, and says what really happens."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.worlds import Server, serving
from training.recipes import registry

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "docs" / "training.md").read_text("utf-8")
SERVE = "python -m service"


def blocks(*kinds: str) -> list[tuple[str, str]]:
    """Return the fenced blocks of these kinds, in order: (kind, text)."""
    return re.findall(rf"^```({'|'.join(kinds)})\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


def shell(folder: Path, address: Callable[[], str]) -> Callable[[str], str]:
    """Return what runs one line of the guide in `folder` and gives back all that it said."""
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }

    def run(line: str) -> str:
        command = line.replace("localhost:8000", address())
        done = subprocess.run(
            ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    return run


def alike(text: str) -> str:
    """Return text with every number replaced: figures differ from machine to machine."""
    return re.sub(r"\d+(\.\d+)?", "0", re.sub(r" +", " ", text))


@pytest.mark.timeout(400)  # four processes import TensorFlow, one after the other
@pytest.mark.slow
def test_the_guide_can_be_followed(tmp_path: Path) -> None:
    """Each command succeeds in its turn; what is shown below it is said; the exported model answers."""
    (tmp_path / "models").mkdir()
    server: list[Server] = []
    said = ""
    with ExitStack() as stack:
        run = shell(tmp_path, lambda: server[0].url if server else "")
        for kind, text in blocks("sh", "text"):
            if kind == "text":
                for line in text.splitlines():
                    assert alike(line) in alike(said), f"{line!r} was not said:\n{said}"
                continue
            for line in text.splitlines():
                if line == SERVE:
                    server.append(stack.enter_context(serving(tmp_path / "models", engine="openvino")))
                    continue
                said = run(line)
                for version in re.findall(r"^models/(\S+/\d+)$", said, re.MULTILINE):
                    server[0].read_until(f"live {version}")
    for name in ("inspect.png", "boxes.png", "masks.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


@pytest.mark.timeout(400)
@pytest.mark.slow
def test_the_ways_to_many_objects_and_labels_can_be_followed(tmp_path: Path) -> None:
    """From drawn boxes to a live detector, and from columns of labels: each command says what is shown."""
    (tmp_path / "models").mkdir()
    said = ""
    with serving(tmp_path / "models", engine="openvino") as server:
        run = shell(tmp_path, lambda: server.url)
        for kind, text in blocks("shell", "answer"):
            for line in text.splitlines():
                if kind == "answer":
                    assert alike(line) in alike(said), f"{line!r} was not said:\n{said}"
                    continue
                said = run(line)
                for version in re.findall(r"^models/(\S+/\d+)$", said, re.MULTILINE):
                    server.read_until(f"live {version}")


def test_the_guides_recipe_holds_together() -> None:
    """The recipe that the guide shows is one."""
    ((_, text),) = blocks("toml")
    assert registry.parse(text, "docs/training.md").data == "photos"
