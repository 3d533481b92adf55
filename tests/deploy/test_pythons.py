"""`make` finds a Python that will do, and says in a sentence what is missing where there is none."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "deploy" / "make_venv.sh"

FAKE = """#!/bin/sh
case "$*" in
    *version_info*) echo {version}; exit {unfit} ;;
    *ensurepip*) exit {bare} ;;
    "-m venv --clear "*) {make} ;;
esac
exit 9
"""
SHIM = """#!/bin/sh
echo "pyenv: $(basename "$0"): command not found" >&2
exit 127
"""
MAKES = 'mkdir -p "$4/bin" && echo {name} > "$4/made"; exit 0'
BREAKS = 'mkdir -p "$4/bin" && touch "$4/bin/python"; exit 1'


def put(folder: Path, name: str, text: str) -> None:
    """Put a program into a folder of programs."""
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)


def python(folder: Path, name: str, version: str, *, bare: bool = False, make: str = MAKES) -> None:
    """Put an interpreter there that says it is of this version; a bare one has no ensurepip, as on Debian."""
    unfit = version not in {"3.11", "3.12", "3.13"}
    text = FAKE.format(version=version, unfit=int(unfit), bare=int(bare), make=make.format(name=name))
    put(folder, name, text)


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder with the few programs that the script needs, to be the whole PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "mkdir", "rm", "touch", "basename"):
        found = shutil.which(name)
        assert found
        (folder / name).symlink_to(found)
    return folder


def make(programs: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Make an environment beside the programs."""
    return subprocess.run(
        ["/bin/sh", str(SCRIPT), str(programs.parent / "venv")],
        env={"PATH": str(programs), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def made_of(programs: Path) -> str:
    return (programs.parent / "venv" / "made").read_text().strip()


def test_the_newest_is_taken(programs: Path) -> None:
    """Of several Pythons in the range the newest makes the environment; one that is newer is passed over."""
    python(programs, "python3", "3.14")
    python(programs, "python3.11", "3.11")
    python(programs, "python3.12", "3.12")
    done = make(programs)
    assert (done.returncode, made_of(programs)) == (0, "python3.12")
    python(programs, "python3.13", "3.13")
    assert make(programs).returncode == 0
    assert made_of(programs) == "python3.13"


def test_a_shim_that_leads_nowhere_is_none(programs: Path) -> None:
    """A version manager's name for a Python that it does not run is passed over."""
    put(programs, "python3.13", SHIM)
    python(programs, "python3.11", "3.11")
    assert make(programs).returncode == 0
    assert made_of(programs) == "python3.11"


def test_python3_will_do(programs: Path) -> None:
    """Where only `python3` is there, it is taken when it is in the range."""
    python(programs, "python3", "3.12")
    assert make(programs).returncode == 0
    assert made_of(programs) == "python3"


def test_without_any_there_is_a_sentence(programs: Path) -> None:
    """No Python in the range: what is needed is said, and how to point to one."""
    python(programs, "python3", "3.10")
    done = make(programs)
    assert done.returncode == 1
    assert done.stderr == (
        "error: there is no Python 3.11, 3.12 or 3.13 here; install one, or tell where it is: "
        "make PYTHON=/path/to/python3.13\n"
    )


def test_the_missing_package_is_named(programs: Path) -> None:
    """A Python without venv, as Debian's and Ubuntu's: the message names the package; an older one that has
    it is taken instead.
    """
    python(programs, "python3.12", "3.12", bare=True)
    done = make(programs)
    assert done.returncode == 1
    assert "apt install python3.12-venv" in done.stderr
    assert not (programs.parent / "venv").exists()
    python(programs, "python3.11", "3.11")
    assert make(programs).returncode == 0
    assert made_of(programs) == "python3.11"


def test_a_given_python_is_held_to_the_range(programs: Path) -> None:
    """PYTHON=... is taken where it is in the range, and is an error with its version where it is not."""
    python(programs, "python3.13", "3.13")
    python(programs, "python3.11", "3.11")
    python(programs, "old", "3.9")
    assert make(programs, PYTHON="python3.11").returncode == 0
    assert made_of(programs) == "python3.11"
    done = make(programs, PYTHON=str(programs / "old"))
    assert done.returncode == 1
    assert f"PYTHON={programs / 'old'} is Python 3.9, not one of Python 3.11, 3.12 or 3.13" in done.stderr
    gone = make(programs, PYTHON="/nowhere/python")
    assert gone.returncode == 1
    assert "PYTHON=/nowhere/python is not one of" in gone.stderr


def test_half_an_environment_is_not_left(programs: Path) -> None:
    """Where making it fails half way nothing is left, or the next `make` would take it for whole."""
    python(programs, "python3.12", "3.12", make=BREAKS)
    done = make(programs)
    assert done.returncode == 1
    assert "python3.12-venv" in done.stderr
    assert not (programs.parent / "venv").exists()


def test_what_is_made_runs(tmp_path: Path) -> None:
    """With the Python of these tests it makes an environment that has pip, over one that was left behind."""
    folder = tmp_path / "venv"
    (folder / "lib").mkdir(parents=True)
    (folder / "dev.installed").touch()
    done = subprocess.run(
        ["/bin/sh", str(SCRIPT), str(folder)],
        env=os.environ | {"PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not (folder / "dev.installed").exists()
    asked = [str(folder / "bin" / "python"), "-m", "pip", "--version"]
    shown = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    assert f"(python {sys.version_info[0]}.{sys.version_info[1]})" in shown
