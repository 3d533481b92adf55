"""A run survives the end of its process at any moment."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import keras
import pytest

from tests import worlds
from training.fit.checkpoints import Checkpoints, best_epoch, read_last, waited, write_history
from training.fit.loop import train
from training.fit.runs import Run, open_run, read_history
from training.schema import Recipe

EPOCHS = 12


def _recipe() -> Recipe:
    training = {"epochs": EPOCHS, "batch_size": 5, "learning_rate": 0.003, "ema": 0.8, "seed": 4}
    augmentation = {"flip": True, "rotation_degrees": 10, "cutmix": 0.5}
    return worlds.tiny_recipe("classification", name="killed", augmentation=augmentation, training=training)


def _write_recipe(path: Path) -> Path:
    recipe = _recipe().model_dump(exclude_defaults=True)
    tables = {key: recipe.pop(key) for key in ("input", "augmentation", "training")}
    lines = [f"{key} = {json.dumps(value)}" for key, value in recipe.items()]
    for name, table in tables.items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    path.write_text("\n".join(lines))
    return path


def _start(folder: Path, data_dir: Path) -> subprocess.Popen[bytes]:
    recipe = _write_recipe(folder / "killed.toml")
    command = [sys.executable, "-W", "ignore", "-m", "training", "train", str(recipe)]
    places = ["--data-dir", str(data_dir), "--runs-dir", str(folder)]
    return subprocess.Popen(
        [*command, *places],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )


def _wait_for(line: bytes, process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    assert any(line in said for said in process.stdout), "training ended before it was killed"


def _figures(run: Run) -> list[dict[str, float]]:
    return [row | {"seconds": 0.0} for row in read_history(run.folder / "history.csv")]


@pytest.mark.slow
def test_a_killed_run_goes_on_as_if_nothing_had_been(data_dir: Path, tmp_path: Path) -> None:
    """SIGKILL at a random moment, in the middle of writing too, loses at most one epoch.

    Resumed, the run ends with the history of one that was never killed, epoch by epoch, and with its weights.
    """
    whole = train(_recipe(), tmp_path / "whole", data_dir)
    process = _start(tmp_path, data_dir)
    folder = tmp_path / "killed"
    try:
        _wait_for(b"epoch 2 of ", process)
        # An epoch takes some hundredths of a second, half of it the writing.
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(random.uniform(0, 0.1))
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    seen = len(read_history(folder / "history.csv"))
    _, rows = read_last(folder / "checkpoints")
    assert 2 <= len(rows) < EPOCHS
    assert seen <= len(rows) + 1
    again = train(open_run(folder).recipe, folder, data_dir, resume=True)
    for row, other in zip(_figures(whole), _figures(again), strict=True):
        assert row == pytest.approx(other, rel=1e-4, abs=1e-6)


@pytest.fixture
def finished(runs: dict[str, Run], tmp_path: Path) -> Run:
    """A run of one epoch, to be resumed up to the third."""
    shutil.copytree(runs["classification"].folder, tmp_path / "run")
    recipe = runs["classification"].recipe
    longer = recipe.model_copy(update={"training": recipe.training.model_copy(update={"epochs": 2})})
    return Run(tmp_path / "run", longer, runs["classification"].labels)


def test_what_a_kill_leaves_behind_does_no_harm(finished: Run, data_dir: Path) -> None:
    """Half a checkpoint beside its place, a history with a row too many, half of the best weights."""
    checkpoints = finished.folder / "checkpoints"
    half = checkpoints / ".last-2"
    half.mkdir()
    (half / "model.weights.h5").write_bytes(b"half")
    (checkpoints / ".best.weights.h5").write_bytes(b"half")
    _, rows = read_last(checkpoints)
    write_history(finished.folder / "history.csv", [*rows, rows[0] | {"epoch": 1}])
    train(finished.recipe, finished.folder, data_dir, resume=True)
    assert [row["epoch"] for row in read_history(finished.folder / "history.csv")] == [0, 1]
    assert [path.name for path in checkpoints.glob("*last*")] == ["last-2"]


def test_of_two_checkpoints_the_later_counts(finished: Run) -> None:
    """A kill between writing a checkpoint and deleting the one before leaves both."""
    checkpoints = finished.folder / "checkpoints"
    shutil.copytree(checkpoints / "last-1", checkpoints / "last-10")
    weights, _ = read_last(checkpoints)
    assert weights
    assert weights.parent.name == "last-10"


def test_waiting_counts_the_epochs_of_its_phase_since_the_best() -> None:
    """The best epoch may be of the phase before."""
    rows = [{"phase": phase, "accuracy": value} for phase, value in ((1, 0.5), (1, 0.9), (2, 0.8), (2, 0.7))]
    assert waited(rows, "accuracy", 2) == 2
    assert waited(rows, "accuracy", 1) == 0
    assert waited(rows[:1], "accuracy", 1) == 0


def test_better_weights_do_away_with_the_figures_of_the_ones_before(tmp_path: Path) -> None:
    """Nothing is exported with figures or a temperature of other weights; what is no number is not kept."""
    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
    (tmp_path / "checkpoints").mkdir()
    keeper = Checkpoints(tmp_path, "val_accuracy", [{"val_accuracy": 0.5}], 1, 0)
    keeper.set_model(model)
    figures = [
        tmp_path / name for name in ("evaluation.json", "evaluation-validation.json", "calibration.json")
    ]
    for path in figures:
        path.write_text("{}")
    for logs in ({"accuracy": 0.4, "loss": 1.0}, {"accuracy": 0.6, "loss": float("nan")}):
        keeper.on_test_end(logs)
        assert all(path.is_file() for path in figures)
    keeper.on_test_end({"accuracy": 0.6, "loss": 1.0})
    assert not any(path.is_file() for path in figures)
    assert (tmp_path / "checkpoints" / "best.weights.h5").is_file()


def test_of_two_epochs_alike_the_one_with_less_loss_is_kept(tmp_path: Path) -> None:
    """Few images tie often: then the first epoch to have them right is not the one that knows them best."""
    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
    (tmp_path / "checkpoints").mkdir()
    rows = [{"val_accuracy": 1.0, "val_loss": 0.8}, {"val_accuracy": 0.9, "val_loss": 0.1}]
    keeper = Checkpoints(tmp_path, "val_accuracy", rows, 1, 0)
    keeper.set_model(model)
    keeper.on_test_end({"accuracy": 1.0, "loss": 0.9})
    assert not (tmp_path / "checkpoints" / "best.weights.h5").exists()
    keeper.on_test_end({"accuracy": 1.0, "loss": 0.7})
    assert (tmp_path / "checkpoints" / "best.weights.h5").is_file()
    later = [*rows, {"val_accuracy": 1.0, "val_loss": 0.7}, {"val_accuracy": float("nan"), "val_loss": 0.0}]
    assert best_epoch(later, "val_accuracy") == 2


def test_the_last_epoch_is_kept_where_a_recipe_says_so(tmp_path: Path) -> None:
    """Whatever validation says of it; the history tells which one it was."""
    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    (tmp_path / "checkpoints").mkdir()
    keeper = Checkpoints(tmp_path, "val_accuracy", [], 1, 0)
    keeper.keeps_last = True
    keeper.set_model(model)
    for epoch, accuracy in enumerate((0.9, 0.5)):
        model.layers[0].bias.assign([float(epoch)])
        keeper.on_test_end({"accuracy": accuracy, "loss": 1.0})
        keeper.on_epoch_end(epoch, {"loss": 1.0, "val_loss": 1.0, "val_accuracy": accuracy})
    model.load_weights(tmp_path / "checkpoints" / "best.weights.h5")
    assert model.layers[0].bias[0] == 1
    assert best_epoch(read_history(tmp_path / "history.csv"), "val_accuracy") == 1
