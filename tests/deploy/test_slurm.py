"""The Slurm batch scripts: that they parse, and that what they call exists."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import typer.main
from typer.core import TyperGroup

from training.__main__ import app

SCRIPTS = sorted((Path(__file__).resolve().parents[2] / "deploy" / "slurm").glob("*.sbatch"))


def options(command: str) -> set[str]:
    """Return the options of a command of `python -m training`."""
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    return {word for parameter in group.commands[command].params for word in parameter.opts}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_scripts_parse_and_call_what_exists(script: Path) -> None:
    """Bash reads the script; each `python -m training` in it is a command with the options named there."""
    subprocess.run(["bash", "-n", script], check=True)
    text = script.read_text().replace("\\\n", " ")
    calls = re.findall(r"^(?!#).*python -m training (\w+)(.*)$", text, re.MULTILINE)
    assert calls
    for name, words in calls:
        assert set(re.findall(r"--[a-z-]+", words)) <= options(name)
    assert set(re.findall(r"add (--\w+)", text)) <= options(script.stem)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_scripts_ask_for_their_argument(script: Path) -> None:
    """Without a recipe or sweep a script says how it is used, and starts nothing."""
    result = subprocess.run(["bash", script], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "usage: sbatch" in result.stderr


@pytest.mark.parametrize(("tasks", "devices"), [("1", "one"), ("2", "hosts")])
def test_what_the_user_says_of_devices_counts(tmp_path: Path, tasks: str, devices: str) -> None:
    """The script says `one` or `hosts` by the number of tasks; the user's own --devices comes after it."""
    for name, text in {"bin/activate": "", "bin/srun": '#!/bin/bash\necho "$@"\n'}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "bin" / "srun").chmod(0o755)
    script = next(path for path in SCRIPTS if path.stem == "train")
    done = subprocess.run(
        ["bash", script, "digits", "--devices", "all"],
        capture_output=True,
        text=True,
        check=True,
        env={
            "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin",
            "STRIATE_VENV": str(tmp_path),
            "SLURM_NTASKS": tasks,
        },
    )
    assert done.stdout.split()[-5:] == ["--devices", devices, "digits", "--devices", "all"]


def test_ray_runs_a_command_on_all_machines() -> None:
    """The sweep's script leans on `ray symmetric-run` and its --min-nodes."""
    scripts = pytest.importorskip("ray.scripts.scripts")
    known = {word for parameter in scripts.cli.commands["symmetric-run"].params for word in parameter.opts}
    assert {"--address", "--min-nodes"} <= known


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_finds_nothing() -> None:
    """The scripts are clean in shellcheck's eyes."""
    subprocess.run(["shellcheck", "--exclude=SC1091", *SCRIPTS], check=True)
