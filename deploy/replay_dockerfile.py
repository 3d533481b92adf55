"""Replay a target of the Dockerfile without a container engine, start the service from it and ask /readyz.

    python3.11 deploy/replay_dockerfile.py cpu FOLDER [--models MODELS]

It is no part of `make test`, because it downloads every package of the target. Run it as a user who is not
root and who may not write the repository. FOLDER must not exist; each stage gets a folder in it as its root,
in which the stage's own ENV, COPY and RUN steps are carried out, with .dockerignore in force. Then the final
root is made read-only, ENTRYPOINT is started on a free loopback port, HEALTHCHECK must succeed, STOPSIGNAL
must end it, and no file may have been added. MODELS stands in for the repository's models/.

What it cannot show: the base image (the caller's Python and system libraries stand in for it) and isolation.
"""

import argparse
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from json import loads
from pathlib import Path
from urllib.request import urlopen

REPOSITORY = Path(__file__).resolve().parents[1]
_KEPT = re.compile(r"(?i)PIP_\w+|\w+_PROXY|SSL_CERT_\w+")
"""What a builder passes on from outside: how to reach a package index."""


@dataclass
class Stage:
    """One FROM and the instructions below it, as (keyword, arguments)."""

    name: str
    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def all(self, keyword: str) -> list[str]:
        """Return the arguments of each instruction of that keyword."""
        return [arguments for each, arguments in self.steps if each == keyword]


@dataclass(frozen=True)
class Copy:
    """A COPY instruction; `stage` is empty where the files come from the repository."""

    stage: str
    sources: list[str]
    destination: str


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """Split a Dockerfile into (keyword, arguments), comments dropped and continuations joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        if line.strip():
            keyword, _, arguments = line.strip().partition(" ")
            yield keyword.upper(), arguments.strip()


def parse(text: str) -> dict[str, Stage]:
    """Return the stages of a Dockerfile by name, in their order."""
    stages: dict[str, Stage] = {}
    stage = None
    for keyword, arguments in instructions(text):
        if keyword == "FROM":
            base, _, name = re.split(r"\s+", arguments)
            stage = stages[name] = Stage(name, base)
        elif stage:
            stage.steps.append((keyword, arguments))
    return stages


def parse_copy(arguments: str) -> Copy:
    """Read the arguments of COPY."""
    words = shlex.split(arguments)
    options = [word for word in words if word.startswith("--")]
    *sources, destination = [word for word in words if not word.startswith("--")]
    origin = [option.removeprefix("--from=") for option in options if option.startswith("--from=")]
    return Copy(origin[0] if origin else "", sources, destination)


def ancestry(stages: dict[str, Stage], name: str) -> list[Stage]:
    """Return the stage and those that it is built on, the first one first."""
    stage = stages[name]
    below = ancestry(stages, stage.base) if stage.base in stages else []
    return [*below, stage]


def ignored(path: str, patterns: list[str]) -> bool:
    """Whether .dockerignore keeps a path out: the last pattern that matches it or a parent decides."""
    parents = ["/".join(path.split("/")[:depth]) for depth in range(1, path.count("/") + 2)]
    verdict = False
    for pattern in patterns:
        expression = _expression(pattern.removeprefix("!"))
        if any(expression.fullmatch(parent) for parent in parents):
            verdict = not pattern.startswith("!")
    return verdict


def read_ignore(text: str) -> list[str]:
    """Return the patterns of a .dockerignore."""
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def _expression(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    wild = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(wild.get(part, re.escape(part)) for part in parts))


class Replay:
    """The stages' roots below one folder, made on demand."""

    def __init__(self, folder: Path, models: Path) -> None:
        self._folder = folder
        self._models = models
        self._stages = parse((REPOSITORY / "Dockerfile").read_text())
        self._patterns = read_ignore((REPOSITORY / ".dockerignore").read_text())
        self._roots: dict[str, Path] = {}
        self._environments: dict[str, dict[str, str]] = {}
        self._directories: dict[str, str] = {}
        given = {name: value for name, value in os.environ.items() if _KEPT.fullmatch(name)}
        # A home that cannot be written, as a user without an entry in /etc/passwd has.
        path = f"{_base_image(folder / 'base-image')}:{os.defpath}"
        self._outside = {"PATH": path, "HOME": "/", "LANG": "C.UTF-8", **given}
        written = [self._stages[name].all("WORKDIR") for name in self._stages]
        tops = {path.split("/")[1] for paths in written for path in paths} | {"opt"}
        self._absolute = re.compile(rf"(?<![\w./-])/(?={'|'.join(sorted(tops))}\b)")

    def build(self, name: str) -> Path:
        """Carry out the stage's steps, those of the stages it needs first, and return its root."""
        if name in self._roots:
            return self._roots[name]
        stage = self._stages[name]
        root = self._folder / name
        if stage.base in self._stages:
            shutil.copytree(self.build(stage.base), root, symlinks=True)
            self._environments[name] = {
                key: value.replace(str(self._roots[stage.base]), str(root))
                for key, value in self._environments[stage.base].items()
            }
            self._directories[name] = self._directories[stage.base]
        else:
            root.mkdir(parents=True)
            self._environments[name] = dict(self._outside)
            self._directories[name] = "/"
        self._roots[name] = root
        for keyword, arguments in stage.steps:
            print(f"[{name}] {keyword} {arguments}", flush=True)
            self._step(name, keyword, arguments)
        return root

    def _step(self, name: str, keyword: str, arguments: str) -> None:
        root, environment = self._roots[name], self._environments[name]
        if keyword == "WORKDIR":
            self._directories[name] = arguments
            (root / arguments.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif keyword == "ENV":
            for key, value in (word.split("=", 1) for word in shlex.split(arguments)):
                inside = self._inside(root, value)
                environment[key] = inside.replace("$PATH", environment["PATH"])
        elif keyword == "COPY":
            self._copy(name, parse_copy(arguments))
        elif keyword == "RUN":
            self._run(name, ["/bin/sh", "-c", self._inside(root, arguments)])

    def _inside(self, root: Path, text: str) -> str:
        return self._absolute.sub(f"{root}/", text)

    def _directory(self, name: str) -> Path:
        return self._roots[name] / self._directories[name].lstrip("/")

    def _run(self, name: str, command: list[str]) -> None:
        subprocess.run(command, cwd=self._directory(name), env=self._environments[name], check=True)  # noqa: S603

    def _copy(self, name: str, copy: Copy) -> None:
        destination = (
            self._roots[name] / copy.destination.lstrip("/")
            if copy.destination.startswith("/")
            else self._directory(name) / copy.destination
        )
        for source in copy.sources:
            if copy.stage:
                origin = self.build(copy.stage) / source.lstrip("/")
                shutil.copytree(origin, destination, symlinks=True, dirs_exist_ok=True)
            elif source.strip("/") == "models":
                self._copy_in(self._models, "models", destination)
            elif source.endswith("/"):
                self._copy_in(REPOSITORY / source, source.strip("/"), destination)
            elif not ignored(source, self._patterns):
                shutil.copy(REPOSITORY / source, destination)

    def _copy_in(self, origin: Path, name: str, destination: Path) -> None:
        for path in sorted(origin.rglob("*")):
            relative = path.relative_to(origin)
            if path.is_file() and not ignored(f"{name}/{relative.as_posix()}", self._patterns):
                (destination / relative).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, destination / relative)

    def serve(self, name: str) -> None:
        """Start the stage's ENTRYPOINT, wait for its HEALTHCHECK, send its STOPSIGNAL."""
        steps = dict(step for stage in ancestry(self._stages, name) for step in stage.steps)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        environment = self._environments[name]
        environment |= {"STRIATE_HOST": "127.0.0.1", "STRIATE_PORT": str(port)}
        command = [shutil.which(loads(steps["ENTRYPOINT"])[0], path=environment["PATH"]) or ""]
        command += loads(steps["ENTRYPOINT"])[1:]
        check = [command[0], *loads(steps["HEALTHCHECK"].split("CMD", 1)[1])[1:]]
        print("entry point:", shlex.join(command), flush=True)
        process = subprocess.Popen(command, cwd=self._directory(name), env=environment)  # noqa: S603
        try:
            self._await(check, environment, process)
        finally:
            process.send_signal(getattr(signal, steps["STOPSIGNAL"]))
            code = process.wait(timeout=40)
        print("exit code after", steps["STOPSIGNAL"], code)

    def _await(self, check: list[str], environment: dict[str, str], process: subprocess.Popen[bytes]) -> None:
        started = time.monotonic()
        while _asks(check, environment).returncode:
            if process.poll() is not None or time.monotonic() - started > 120:
                raise SystemExit("The service did not become ready.")
            time.sleep(0.2)
        print(f"health check succeeded after {time.monotonic() - started:.1f} s")
        with urlopen(f"http://127.0.0.1:{environment['STRIATE_PORT']}/readyz") as answer:
            print("/readyz:", answer.status, answer.read().decode())


def _asks(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, env=environment, capture_output=True, check=False)  # noqa: S603


def _base_image(folder: Path) -> str:
    """Give the calling Python the names that it has in the base image, and return the folder of them."""
    folder.mkdir()
    (folder / "python").symlink_to(sys.executable)
    pip = folder / "pip"
    pip.write_text(f'#!/bin/sh\nexec "{folder}/python" -m pip "$@"\n')
    pip.chmod(0o755)
    return str(folder)


def _set_writable(root: Path, writable: bool) -> None:
    for path in [root, *root.rglob("*")]:
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | 0o200 if writable else mode & ~0o222)


def main() -> None:
    """Parse the command line and replay."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", type=Path, default=REPOSITORY / "models")
    given = parser.parse_args()
    if os.geteuid() == 0:
        sys.exit("Run it as a user who is not root.")
    given.folder.mkdir(parents=True)
    replay = Replay(given.folder.resolve(), given.models.resolve())
    root = replay.build(given.target)
    before = sorted(root.rglob("*"))
    _set_writable(root, False)
    try:
        replay.serve(given.target)
        added = set(root.rglob("*")) - set(before)
    finally:
        _set_writable(root, True)
    if added:
        sys.exit(f"Files were added: {sorted(map(str, added))}")
    print("no file was added")


if __name__ == "__main__":
    main()
