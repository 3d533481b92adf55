"""A sweep on Ray Tune: killed and resumed, with a trial that fails, and compared."""

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
import ray
from ray.tune.experiment import Trial

from training.fit.runs import open_run, read_history, remove
from training.sweeps import comparison, sweep, trial, tuner
from training.sweeps.plan import Search, SweepError

# Ray's own, at its start and end.
pytestmark = [pytest.mark.timeout(300), pytest.mark.filterwarnings("ignore::ResourceWarning")]

PLAN = """
name = "tiny"
description = "For <tests>."
[base]
task = "classification"
dataset = "oxford-iiit-pet"
architecture = "lecture-cnn-a"
golden = "pets"
input = { height = 32, width = 32, channels = 3 }
training = { epochs = 1, batch_size = 8, learning_rate = 0.001 }
[grid]
training.seed = [1, 2, 3]
[[where]]
match.training.seed = 2
set.training.epochs = 8
[[where]]
match.training.seed = 3
set.transfer.weights = "none.keras"
"""
TOKEN = secrets.token_hex(32)
GOOD, LONG, BAD = (f"{number}-oxford-iiit-pet-lecture-cnn-a" for number in (1, 2, 3))


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The address of a Ray cluster that this process is in."""
    # Ray reads it once in the life of a process, which may come here twice.
    with mock.patch.dict(os.environ, {"RAY_AUTH_TOKEN": TOKEN}), tuner.cluster():
        yield ray.get_runtime_context().gcs_address


def spawn(plan: Path, data_dir: Path, address: str, *words: str) -> subprocess.Popen[str]:
    """Start the command line's `sweep` on the cluster, one trial at a time."""
    command = [sys.executable, "-m", "training", "sweep", str(plan), "--max-concurrent", "1"]
    places = ["--address", address, "--data-dir", str(data_dir), "--runs-dir", str(plan.parent)]
    return subprocess.Popen([*command, *places, *words], stderr=subprocess.PIPE, text=True)


def kill_at(process: subprocess.Popen[str], message: str) -> None:
    """Kill the process as soon as it has logged the message."""
    assert process.stderr is not None
    log = []
    for line in process.stderr:
        log.append(line)
        if message in line:
            process.send_signal(signal.SIGKILL)
            break
    else:
        raise AssertionError("".join(log))
    process.communicate()


@pytest.mark.slow
def test_a_killed_sweep_goes_on(address: str, data_dir: Path, tmp_path: Path) -> None:
    """After kill -9 of the driver, --resume leaves the finished trial alone, goes on with the unfinished one
    from its last epoch, and lists one that fails with its reason; the comparison shows all three.
    """
    plan = tmp_path / "tiny.toml"
    plan.write_text(PLAN)
    kill_at(spawn(plan, data_dir, address), f"{LONG}: epoch 2")
    folder = tmp_path / "tiny"
    finished = (folder / GOOD / "history.csv").stat().st_mtime_ns
    before = trial.read_record(folder / LONG)
    assert before is not None
    assert before.status == "running"

    chosen = sweep.load(str(plan))
    tuner.prepare(chosen, folder, resume=True)
    tuner.run(chosen, folder, data_dir)
    assert (folder / GOOD / "history.csv").stat().st_mtime_ns == finished
    epochs = [row["epoch"] for row in read_history(folder / LONG / "history.csv")]
    assert sorted(set(epochs)) == list(range(8))
    assert len(epochs) <= 9, "more than the epoch that was cut was trained again"
    after = {name: trial.read_record(folder / name) for name in (GOOD, LONG, BAD)}
    assert [record.status for record in after.values() if record] == ["finished", "finished", "failed"]

    assert tuner.failed(chosen, folder) == [BAD]
    page, *_ = comparison.write(folder)
    text = page.read_text()
    assert f"- {BAD} (seed 3): TransferError: There are no weights none.keras" in text
    assert f"| {LONG} | oxford-iiit-pet | lecture-cnn-a | seed 2 |" in text
    assert "## Best on oxford-iiit-pet" in text
    markup = (folder / "sweep.html").read_text()
    assert "For &lt;tests&gt;." in markup
    assert 'src="data:image/png;base64,' in markup
    assert open_run(folder / LONG).weights.is_file()


def test_what_no_machine_can_run_is_refused(address: str, data_dir: Path, tmp_path: Path) -> None:
    """Ray would wait for a machine that never comes."""
    greedy = PLAN.replace("[grid]", "[search]\ncpus_per_trial = 4096\n[grid]")
    chosen = sweep.parse(greedy, "tiny.toml")
    tuner.prepare(chosen, tmp_path / "tiny", resume=False)
    with pytest.raises(SweepError, match="asks for 4096 cores and 0 GPUs"):
        tuner.run(chosen, tmp_path / "tiny", data_dir)


def test_two_problems_never_share_a_picture() -> None:
    """Where the names of files would be cut to the same, they are numbered."""
    long = "/home/somebody/pictures/of/something/with/a/name/that/is/long/enough/"
    names = comparison._file_names([long + "left", long + "right", "mnist"])
    assert len(set(names.values())) == 3
    assert names["mnist"] == "mnist"


def test_asha_compares_within_a_data_set() -> None:
    """A trial that is good for its data goes on, however low its figure; a worse one there stops."""
    scheduler = tuner._PerProblem(Search(scheduler="asha", reduction=2))
    seen = []
    for dataset, figure in (("easy", 0.99), ("hard", 0.2), ("easy", 0.97), ("hard", 0.3)):
        tuned = Trial("none", config={"trial": {"problem": dataset}}, stub=True)
        scheduler.on_trial_add(None, tuned)
        seen.append(scheduler.on_trial_result(None, tuned, {"epoch": 1, "figure": figure}))
    assert seen == ["CONTINUE", "CONTINUE", "STOP", "CONTINUE"]


def test_a_sweep_is_not_overwritten(tmp_path: Path) -> None:
    """A folder that holds a sweep needs --resume with the same file, or --fresh; others are never deleted."""
    chosen = sweep.parse(PLAN, "tiny.toml")
    with pytest.raises(SweepError, match="no sweep to resume"):
        tuner.prepare(chosen, tmp_path / "tiny", resume=True)
    tuner.prepare(chosen, tmp_path / "tiny", resume=False)
    with pytest.raises(SweepError, match="--resume"):
        tuner.prepare(chosen, tmp_path / "tiny", resume=False)
    tuner.prepare(chosen, tmp_path / "tiny", resume=True)
    with pytest.raises(SweepError, match="another content"):
        tuner.prepare(chosen.model_copy(update={"description": "New."}), tmp_path / "tiny", resume=True)
    precious = tmp_path / "tiny" / "trial"
    precious.mkdir()
    small = sweep.parse(PLAN.replace("height = 32", "height = 8"), "tiny.toml")
    with pytest.raises(SweepError, match="at least 10x10 pixels"):
        tuner.prepare(small, tmp_path / "tiny", resume=False, fresh=True)
    assert precious.is_dir(), "a sweep that cannot begin has taken another's place"
    tuner.prepare(chosen, tmp_path / "tiny", resume=False, fresh=True)
    assert not precious.exists()
    remove(tmp_path, "sweep.json")
    assert tmp_path.is_dir()
    remove(tmp_path / "tiny", "sweep.json")
    assert not (tmp_path / "tiny").exists()


def test_only_sweeps_are_compared(tmp_path: Path) -> None:
    """Comparing what is no sweep says what is missing."""
    with pytest.raises(SweepError, match=r"sweep\.json is missing"):
        comparison.write(tmp_path)
