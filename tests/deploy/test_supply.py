"""Where the code comes from: locked, hashed, above the floor of known holes, and built the same twice."""

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
LOCKS = sorted(ROOT.glob("requirements-*.txt"))
CLIENTS = sorted(ROOT.glob("deploy/clients/*.txt"))
PYTHONS = ["3.11", "3.12", "3.13"]
PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]*\])?==(?P<version>[^\s;]+)")

FLOORS = {
    "starlette": "1.3.1",
    "python-multipart": "0.0.31",
    "h11": "0.16.0",
    "pillow": "12.3.0",
    "keras": "3.13.2",
}
"""Below these are advisories that reach us: CVE-2026-54283, GHSA-v9pg-7xvm-68hf, CVE-2025-43859, Pillow's of
2026, CVE-2026-1462.
"""


def lines_of(lock: Path) -> list[str]:
    """Return each entry of a lock: its line with the continuations."""
    text = re.sub(r"\\\n\s*", "", lock.read_text())
    return [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def marker_of(line: str) -> Marker | None:
    _, found, rest = line.partition(" ; ")
    return Marker(rest.partition("--hash")[0].strip()) if found else None


def entries(lock: Path, python: str | None = None) -> dict[str, str]:
    """Return the entries of a lock by name; where a Python is named, those that hold for it on Linux."""
    surroundings = None if python is None else platform(python)
    found: dict[str, str] = {}
    for line in lines_of(lock):
        match = PIN.match(line)
        assert match, f"{lock.name} holds what is no pin: {line[:60]}"
        marker = marker_of(line)
        if surroundings is not None and marker is not None and not marker.evaluate(surroundings):
            continue
        name = canonicalize_name(match["name"])
        assert name not in found, f"{lock.name} has {name} twice: one version holds for every Python"
        found[name] = line
    return found


def platform(python: str) -> dict[str, str]:
    """Return what markers see on Linux with this Python."""
    return {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": "x86_64",
        "os_name": "posix",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "extra": "",
    }


def version_in(entry: str) -> Version:
    match = PIN.match(entry)
    assert match
    return Version(match["version"])


@pytest.mark.parametrize("lock", [*LOCKS, *CLIENTS], ids=lambda lock: lock.stem)
def test_every_pin_has_its_hashes(lock: Path) -> None:
    """A lock is exact versions with SHA-256s: no range, no address, no option, no index (I17)."""
    pins = entries(lock)
    assert pins
    for name, entry in pins.items():
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", entry), name
        assert "://" not in entry, name


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_no_pin_is_below_the_floor(lock: Path) -> None:
    """What is locked is newer than the last known hole that reaches us (I19)."""
    pins = entries(lock)
    for name, floor in FLOORS.items():
        if name in pins:
            assert version_in(pins[name]) >= Version(floor), name


@pytest.mark.parametrize("name", FLOORS)
def test_what_is_installed_is_above_the_floor(name: str) -> None:
    """What runs here is newer than the last known hole that reaches us (I19)."""
    assert Version(metadata.version(name)) >= Version(FLOORS[name])


def needed(requirement: Requirement, seen: set[str]) -> Iterator[str]:
    """Walk what a requirement brings along, by the metadata of what is installed."""
    name = canonicalize_name(requirement.name)
    for extra in ("", *sorted(requirement.extras)):
        if f"{name}[{extra}]" in seen:
            continue
        seen.add(f"{name}[{extra}]")
        yield name
        for text in metadata.requires(name) or ():
            below = Requirement(text)
            if below.marker is None or below.marker.evaluate({"extra": extra}):
                yield from needed(below, seen)


def wanted(*extras: str) -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    texts = [*project["dependencies"]]
    for extra in extras:
        texts += project["optional-dependencies"][extra]
    asked = [Requirement(text) for text in texts]
    # One extra may bring another of our own.
    own = [wanted(*each.extras) for each in asked if each.name == project["name"]]
    return [each for each in asked if each.name != project["name"]] + [each for more in own for each in more]


@pytest.mark.parametrize(("lock", "extras"), [("cpu", ["cpu"]), ("dev", ["cpu", "train", "sweep", "dev"])])
def test_the_lock_covers_what_is_brought_along(lock: str, extras: list[str]) -> None:
    """Every package down to the last is in the lock, in the version that is installed (I17, I18)."""
    pins = entries(ROOT / f"requirements-{lock}.txt")
    seen: set[str] = set()
    closure = {name for requirement in wanted(*extras) for name in needed(requirement, seen)}
    assert len(closure) > 20
    assert closure <= pins.keys()
    for name in closure:
        assert version_in(pins[name]) == Version(metadata.version(name)), name
    # Nothing rides along that nobody asked for, but what only other platforms need.
    unasked = {name for name in pins.keys() - closure if marker_of(pins[name]) is None}
    assert not unasked - {"setuptools"}


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_a_lock_is_for_every_python(lock: Path, python: str) -> None:
    """For each Python that pyproject.toml allows, a lock has what its own packages ask for there, once, and a
    marker leaves out nothing but other platforms' packages (I17).
    """
    pins = entries(lock, python)
    others = entries(lock).keys() - pins.keys()
    assert others <= {"colorama"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert Version(f"{python}.0") in SpecifierSet(project["requires-python"])
    surroundings = platform(python)
    for name in pins:
        try:
            asked = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # the GPU's are not installed here
        for text in asked:
            below = Requirement(text)
            if below.marker is None or below.marker.evaluate(surroundings):
                assert canonicalize_name(below.name) in pins, f"{name} needs {below} on Python {python}"


def test_the_pythons_are_told() -> None:
    """What pyproject.toml says of Pythons, as range and as classifiers, is what the locks are held to."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    told = [line.rpartition(" ")[2] for line in project["classifiers"] if "Python :: 3." in line]
    assert told == PYTHONS
    allowed = [
        f"3.{minor}" for minor in range(30) if f"3.{minor}.0" in SpecifierSet(project["requires-python"])
    ]
    assert allowed == PYTHONS


def test_every_environment_is_made_from_hashed_wheels() -> None:
    """`make` installs from a lock by hash and wheel, and our own package without anything else (I17)."""
    scripts = ("Makefile", "deploy/try_pythons.sh", "deploy/make_clients.sh")
    texts = [(ROOT / name).read_text() for name in scripts]
    recipes = re.sub(r"\\\n\s*", "", "\n".join(texts))
    installs = [line for line in recipes.splitlines() if re.search(r"(PIP\)|-m pip) .*?install ", line)]
    assert len(installs) >= 6
    for line in installs:
        locked = "--require-hashes --only-binary :all: -r" in line
        # uv makes the locks; it installs nothing.
        assert locked or "--no-deps --no-build-isolation" in line or "'uv>=" in line, line


def wheel(folder: Path) -> Path:
    """Make the smallest wheel there is."""
    folder.mkdir()
    path = folder / "tinythings-1.0-py3-none-any.whl"
    info = "tinythings-1.0.dist-info"
    files = {
        "tinythings.py": b"x = 1\n",
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: tinythings\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for name, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        record += f"{name},sha256={digest},{len(data)}\n"
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def install(made: Path, requirements: Path, target: Path) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "pip",
        "--isolated",
        "--disable-pip-version-check",
        "install",
        "--no-index",
    ]
    command += ["--require-hashes", "--only-binary", ":all:", "--find-links", str(made.parent), "--no-deps"]
    command += ["--no-cache-dir", "--target", str(target), "-r", str(requirements)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_wheel_with_one_other_byte_is_not_installed(tmp_path: Path) -> None:
    """The options that every installation uses refuse a wheel that differs in a byte from its lock (I16)."""
    made = wheel(tmp_path / "wheels")
    requirements = tmp_path / "lock.txt"
    digest = hashlib.sha256(made.read_bytes()).hexdigest()
    requirements.write_text(f"tinythings==1.0 --hash=sha256:{digest}\n")
    good = install(made, requirements, tmp_path / "good")
    assert good.returncode == 0, good.stderr
    data = bytearray(made.read_bytes())
    data[data.index(b"x = 1")] ^= 1
    made.write_bytes(data)
    bad = install(made, requirements, tmp_path / "bad")
    assert bad.returncode != 0
    assert "DO NOT MATCH THE HASHES" in bad.stderr
    assert not (tmp_path / "bad" / "tinythings.py").exists()


def test_two_builds_are_one_wheel(tmp_path: Path) -> None:
    """Built twice from the same files at other times, the wheel is the same to the byte (I22)."""
    build = "from setuptools import build_meta; build_meta.build_wheel('..')"
    digests = set()
    for number in range(2):
        folder = tmp_path / str(number) / "source"
        for name in ("service", "training"):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, folder / name, ignore=ignored, copy_function=shutil.copyfile)
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copyfile(ROOT / name, folder / name)
        environment = os.environ | {"SOURCE_DATE_EPOCH": "1700000000"}
        done = subprocess.run(
            [sys.executable, "-c", build],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        (made,) = folder.parent.glob("*.whl")
        digests.add(hashlib.sha256(made.read_bytes()).hexdigest())
    assert len(digests) == 1


def test_the_bill_of_materials_is_what_is_installed(tmp_path: Path) -> None:
    """`make sbom` names every distribution that is installed here, in its version, and nothing else (I18)."""
    bill = tmp_path / "sbom.json"
    made = next(line for line in (ROOT / "Makefile").read_text().splitlines() if "cyclonedx-py" in line)
    options = made.split("cyclonedx-py")[1].replace("sbom.json $(BIN)/python", f"{bill} {sys.executable}")
    tool = Path(sys.executable).with_name("cyclonedx-py")
    subprocess.run([tool, *options.split()], cwd=ROOT, check=True, capture_output=True)
    written = json.loads(bill.read_text())
    named = {(canonicalize_name(part["name"]), part["version"]) for part in written["components"]}
    # Not by sys.path, to which Ray adds what it carries along.
    places = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    found = metadata.distributions(path=list(places))
    installed = {(canonicalize_name(each.name), each.version) for each in found}
    assert named == {pair for pair in installed if pair[0] != "striate"}
    assert written["metadata"]["component"]["name"] == "striate"
