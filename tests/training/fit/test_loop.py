"""Runs: what they leave behind, how they resume, what they refuse."""

import itertools
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

from tests import worlds
from training.evaluation.chosen import EvaluationError
from training.export import export
from training.fit import monitoring
from training.fit.checkpoints import DivergedError
from training.fit.loop import train
from training.fit.runs import Run, RunError, held, open_run, read_history, remove
from training.fit.transfer import TransferError
from training.inputs.normalisation import normalise
from training.schema import Recipe
from training.tasks.drawing import draw_samples


def test_a_run_leaves_its_recipe_labels_history_and_weights(runs: dict[str, Run]) -> None:
    """A run can be opened again with all that made it."""
    for run in runs.values():
        again = open_run(run.folder)
        assert again == run
        assert len(read_history(run.folder / "history.csv")) == 1
        assert run.weights.is_file()


def test_resume_goes_on_where_the_run_ended(data_dir: Path, tmp_path: Path) -> None:
    """A run that was cut after an epoch goes on with the next one and keeps its history."""
    short = worlds.tiny_recipe("classification", name="cut")
    longer = short.model_copy(update={"training": short.training.model_copy(update={"epochs": 3})})
    folder = tmp_path / "cut"
    train(short, folder, data_dir)
    train(longer, folder, data_dir, resume=True)
    assert [row["epoch"] for row in read_history(folder / "history.csv")] == [0, 1, 2]
    assert open_run(folder).recipe.training.epochs == 3
    with pytest.raises(RunError, match="3 epochs already"):
        train(short, folder, data_dir, resume=True)
    assert open_run(folder).recipe.training.epochs == 3


def test_one_process_trains_a_run(runs: dict[str, Run], data_dir: Path, tmp_path: Path) -> None:
    """Whoever comes while another has the run is told so, and changes nothing; afterwards it is free."""
    folder = tmp_path / "taken"
    shutil.copytree(runs["classification"].folder, folder)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    with held(folder):
        for fresh in (False, True):
            with pytest.raises(RunError, match="being trained by another process"):
                train(runs["classification"].recipe, folder, data_dir, fresh=fresh, resume=not fresh)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    train(runs["classification"].recipe, folder, data_dir, resume=True)


@pytest.mark.parametrize("name", ["evaluation.json", "calibration.json", "checkpoints/best.weights.h5"])
def test_half_a_file_is_named(runs: dict[str, Run], tmp_path: Path, name: str) -> None:
    """A run that was copied in part is told by the file that is not whole."""
    run = runs["classification"]
    shutil.copytree(run.folder, tmp_path / "half")
    whole = (tmp_path / "half" / name).read_bytes()
    (tmp_path / "half" / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises((RunError, EvaluationError), match=f"{Path(name).name} is not whole"):
        export(open_run(tmp_path / "half"), tmp_path / "models")


def test_a_run_is_not_overwritten(runs: dict[str, Run], data_dir: Path, tmp_path: Path) -> None:
    """Training into a folder that holds a run needs --resume or --fresh, and says so."""
    folder = tmp_path / "taken"
    shutil.copytree(runs["classification"].folder, folder)
    with pytest.raises(RunError, match="--resume"):
        train(runs["classification"].recipe, folder, data_dir)
    with pytest.raises(RunError, match="no run to resume"):
        train(runs["classification"].recipe, tmp_path / "empty", data_dir, resume=True)


def test_fresh_replaces_a_run_only_by_one_that_begins(
    runs: dict[str, Run], data_dir: Path, tmp_path: Path
) -> None:
    """Where the new run lacks its data, its weights or its donor, the old one stays as it is."""
    plain = runs["classification"]
    folder = tmp_path / "taken"
    shutil.copytree(plain.folder, folder)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}

    def start(recipe: Recipe, message: str) -> None:
        with pytest.raises(Exception, match=message):
            train(recipe, folder, data_dir, fresh=True)
        assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before

    weights = {"transfer": plain.recipe.transfer.model_copy(update={"weights": str(folder)})}
    start(plain.recipe.model_copy(update=weights), "which this run would replace")
    start(
        plain.recipe.model_copy(update={"start_from": "other"}),
        "`python -m training train other` first",
    )
    gone = {"dataset": "folder", "data": str(tmp_path / "gone")}
    start(plain.recipe.model_copy(update=gone), "There is no folder")
    train(plain.recipe, folder, data_dir, fresh=True)
    assert (folder / "recipe.json").stat().st_mtime_ns != before[folder / "recipe.json"]
    assert "training," in (folder / "train.log").read_text()


def test_remove_deletes_runs_only(tmp_path: Path) -> None:
    """`--fresh` never deletes a folder that is not a run."""
    precious = tmp_path / "photos"
    precious.mkdir()
    remove(precious)
    assert precious.is_dir()
    (precious / "recipe.json").write_text("{}")
    remove(precious)
    assert not precious.exists()
    assert list(tmp_path.iterdir()) == []


def test_opening_no_run_says_what_is_missing(tmp_path: Path) -> None:
    """A folder that is not a run is told by the file it lacks."""
    with pytest.raises(RunError, match=r"recipe\.json is missing"):
        open_run(tmp_path)


def test_start_from_copies_the_twin_layers(runs: dict[str, Run], data_dir: Path, tmp_path: Path) -> None:
    """A recipe that starts from another run begins with that run's encoder, whatever its task. `test_zoo`
    holds that every layer of the encoder has its twin in the U-Net on it.
    """
    shutil.copytree(runs["localization"].folder, tmp_path / "first")
    recipe = worlds.tiny_recipe(
        "classification",
        name="second",
        start_from="first",
        training={"epochs": 1, "batch_size": 4, "learning_rate": 1e-12},
    )
    run = train(recipe, tmp_path / "second", data_dir)
    donor = open_run(tmp_path / "first").model()
    for name in ("conv1", "conv2", "dense"):
        taken = run.model().get_layer(name).get_weights()[0]
        assert np.allclose(taken, donor.get_layer(name).get_weights()[0], atol=1e-6), name


def test_start_from_a_stranger_is_refused(runs: dict[str, Run], data_dir: Path, tmp_path: Path) -> None:
    """Starting from a network without a layer in common is an error, not a silent no-op."""
    shutil.copytree(runs["segmentation"].folder, tmp_path / "stranger")
    recipe = worlds.tiny_recipe("classification", name="lonely", start_from="stranger")
    with pytest.raises(TransferError, match="shares no layer"):
        train(recipe, tmp_path / "lonely", data_dir)


def test_the_seed_decides_the_run(data_dir: Path, tmp_path: Path) -> None:
    """Two runs of one seed end with the same weights; another seed ends elsewhere."""
    weights = []
    for number, seed in enumerate((5, 5, 6)):
        recipe = worlds.tiny_recipe(
            "classification",
            training={"epochs": 1, "batch_size": 20, "learning_rate": 0.001, "seed": seed},
        )
        run = train(recipe, tmp_path / str(number), data_dir)
        weights.append(run.model().get_layer("scores").get_weights()[0])
    assert np.allclose(weights[0], weights[1], atol=1e-6)
    assert not np.allclose(weights[0], weights[2], atol=1e-3)


def test_two_classes_train_a_one_channel_mask(tmp_path: Path) -> None:
    """With two classes the mask has one channel, and its loss falls in training."""
    folder = tmp_path / "data" / "nuclei"
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    chance = np.random.default_rng(0)
    for number in range(16):
        ids = np.zeros((32, 32), np.uint16)
        row, column = chance.integers(0, 20, 2)
        ids[row : row + 10, column : column + 10] = 1
        Image.fromarray(ids).save(folder / "masks" / f"{number}.png")
        Image.fromarray((ids * 200).astype(np.uint8)).save(folder / "images" / f"{number}.png")
    recipe = worlds.tiny_recipe(
        "segmentation",
        name="blobs",
        architecture="lecture-cnn-c",
        dataset="nuclei",
        training={"epochs": 3, "batch_size": 4, "learning_rate": 0.003},
    )
    run = train(recipe, tmp_path / "blobs", tmp_path / "data")
    assert run.labels == ("background", "nucleus")
    assert run.model().output["mask"].shape == (None, 32, 32, 1)
    losses = [row["loss"] for row in read_history(run.folder / "history.csv")]
    assert losses[-1] < losses[0]


def test_patience_ends_a_run_and_keeps_it_ended(data_dir: Path, tmp_path: Path) -> None:
    """After so many epochs without a better one the run ends; resuming adds none."""
    # A rate so small that no epoch is better than the first.
    training = {"epochs": 9, "batch_size": 20, "learning_rate": 1e-12, "patience": 2}
    recipe = worlds.tiny_recipe("classification", name="patient", augmentation={}, training=training)
    folder = tmp_path / "patient"
    for resume in (False, True):
        train(recipe, folder, data_dir, resume=resume)
        assert [row["epoch"] for row in read_history(folder / "history.csv")] == [0, 1, 2]


def test_a_time_budget_ends_a_run_with_its_schedule(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run ends when the time is up, its best weights kept, its rate near 0."""
    ticks = itertools.count()
    # Each look at the clock takes 0.05 s, however busy the machine is. `test_budget` has a real one.
    monkeypatch.setattr("training.fit.budget.time", SimpleNamespace(monotonic=lambda: 0.05 * next(ticks)))
    training = {"epochs": 5000, "batch_size": 2, "learning_rate": 1e-3, "max_minutes": 0.1, "warmup": 0}
    recipe = worlds.tiny_recipe("classification", name="hurried", training=training)
    run = train(recipe, tmp_path / "hurried", data_dir)
    rows = read_history(run.folder / "history.csv")
    assert 3 < len(rows) < 15
    assert rows[-1]["learning_rate"] < 2e-4
    assert run.weights.is_file()


class _Weights(keras.callbacks.Callback):  # type: ignore[misc]
    """Notes a layer's weights after each epoch, and the statistics that its test was made with."""

    def __init__(self) -> None:
        super().__init__()
        self.trained: list[Any] = []
        self.tested: list[Any] = []

    def on_test_end(self, logs: Any = None) -> None:
        self.tested.append(self.model.get_layer("norm1").get_weights())

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.trained.append(self.model.get_layer("norm1").get_weights())


def test_the_average_is_what_is_tested_drawn_and_kept(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights of the best epoch are the moving average of all steps; its statistics are its own."""
    drawn: list[tuple[Any, Any]] = []

    def spy(task: Any, samples: Any, outputs: Any, labels: Any) -> Any:
        drawn.append((samples.images, outputs["scores"]))
        return draw_samples(task, samples, outputs, labels)

    monkeypatch.setattr(monitoring, "draw_samples", spy)
    training = {"epochs": 1, "batch_size": 3, "learning_rate": 0.01, "ema": 0.5, "warmup": 0}
    recipe = worlds.tiny_recipe("classification", name="mean", augmentation={}, training=training)
    watch = _Weights()
    run = train(recipe, tmp_path / "mean", data_dir, extra=[watch])
    model = run.model()
    ((images, scores),) = drawn
    assert scores == pytest.approx(np.asarray(model(normalise(images, recipe.input.normalisation))["scores"]))
    kept = model.get_layer("norm1").get_weights()
    average = watch.trained[0][0]
    for gamma, *_ in watch.trained[1:]:
        average = 0.5 * average + 0.5 * gamma
    assert kept[0] == pytest.approx(average, rel=1e-5)
    assert kept[0] != pytest.approx(watch.trained[-1][0], rel=1e-4)
    for tested, stored in zip(watch.tested[-1], kept, strict=True):
        assert tested == pytest.approx(stored, rel=1e-5)
    # In so few steps the moving mean is far from that of the images; measured again it is not.
    assert abs(kept[2]).max() > 2 * abs(watch.trained[-1][2]).max()


def test_a_loss_that_is_no_number_is_told(data_dir: Path, tmp_path: Path) -> None:
    """A run that diverges says in which epoch, and keeps the checkpoint before it."""
    training = {"epochs": 2, "batch_size": 4, "learning_rate": 1e30, "optimizer": "sgd", "gradient_clip": 0}
    recipe = worlds.tiny_recipe("classification", name="wild", training=training)
    with pytest.raises(DivergedError, match=r"in epoch \d: lower training.learning_rate"):
        train(recipe, tmp_path / "wild", data_dir)
