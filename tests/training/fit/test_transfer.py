"""Weights from elsewhere: what is taken over, what learns when, and what is refused."""

import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tests import worlds
from tests.training.stops import Interrupt
from training import halves
from training.fit import transfer
from training.fit.checkpoints import write_history
from training.fit.loop import train
from training.fit.runs import Run, open_run, read_history
from training.fit.transfer import TransferError
from training.reports import report
from training.tasks import heads

TRAINING = {"epochs": 3, "batch_size": 4, "learning_rate": 0.003}


def _recipe(weights: Path, **changes: Any) -> Any:
    table = {"weights": str(weights), "frozen_epochs": 1, "frozen_learning_rate": 0.01} | changes
    return worlds.tiny_recipe("localization", name="fine", training=TRAINING, transfer=table)


class _Watch(keras.callbacks.Callback):  # type: ignore[misc]
    """Notes the weights of two backbone layers and one head layer after each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[dict[str, Any]] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Note them."""
        layers = ("conv1", "norm1", "scores")
        self.seen.append({name: self.model.get_layer(name).get_weights() for name in layers})


def _same(first: Any, second: Any) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.fixture(scope="module")
def whole(
    runs: dict[str, Run], data_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Run, list[dict[str, Any]]]:
    """A run of one frozen epoch and two others, and what was seen of its weights."""
    watch = _Watch()
    folder = tmp_path_factory.mktemp("whole") / "fine"
    return train(_recipe(runs["classification"].folder), folder, data_dir, extra=[watch]), watch.seen


def test_frozen_first_then_all_learn(
    runs: dict[str, Run], whole: tuple[Run, list[dict[str, Any]]], tmp_path: Path
) -> None:
    """In the frozen epochs only what is new learns; after them all but the normalisation's statistics do.

    The history says which epoch was of which phase, and with which rate; the curves mark the change.
    """
    donor = runs["classification"].model()
    run, (frozen, _, free) = whole
    for name in ("conv1", "norm1"):
        assert _same(frozen[name], donor.get_layer(name).get_weights())
    assert not _same(frozen["scores"], donor.get_layer("scores").get_weights())
    assert not _same(free["conv1"], frozen["conv1"])
    assert _same(free["norm1"], frozen["norm1"])
    rows = read_history(run.folder / "history.csv")
    assert [row["phase"] for row in rows] == [1, 2, 2]
    assert [row["epoch"] for row in rows] == [0, 1, 2]
    assert rows[0]["learning_rate"] < 0.01
    for name, history in (("phases", rows), ("one", [row | {"phase": 1} for row in rows])):
        write_history(tmp_path / f"{name}.csv", history)
        report.draw_curves(tmp_path / f"{name}.csv", "val_box_mean_iou", tmp_path / f"{name}.png")
    assert (tmp_path / "phases.png").read_bytes() != (tmp_path / "one.png").read_bytes()


def test_normalisation_may_learn_after_the_frozen_epochs(
    runs: dict[str, Run], data_dir: Path, tmp_path: Path
) -> None:
    """With frozen_normalisation = false its statistics follow the new images, but not before."""
    watch = _Watch()
    recipe = _recipe(runs["classification"].folder, frozen_normalisation=False)
    train(recipe, tmp_path / "fine", data_dir, extra=[watch])
    donor = runs["classification"].model().get_layer("norm1").get_weights()
    assert _same(watch.seen[0]["norm1"], donor)
    assert not _same(watch.seen[1]["norm1"], donor)


def test_resuming_in_either_phase_ends_the_same(
    whole: tuple[Run, list[dict[str, Any]]], data_dir: Path, tmp_path: Path
) -> None:
    """Cut at the end of the frozen phase, and again within the next: the history is that of a whole run."""
    recipe = whole[0].recipe
    for last in (0, 1):
        with pytest.raises(KeyboardInterrupt):
            train(recipe, tmp_path / "cut", data_dir, resume=last > 0, extra=[Interrupt(last)])
    again = train(recipe, tmp_path / "cut", data_dir, resume=True)
    for row, other in zip(*(read_history(r.folder / "history.csv") for r in (whole[0], again)), strict=True):
        assert row | {"seconds": 0} == pytest.approx(other | {"seconds": 0}, rel=1e-5)


@pytest.mark.parametrize("name", ["whole.keras", "some.weights.h5"])
def test_weights_from_a_file(
    runs: dict[str, Run], tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A saved model and bare weights give all layers that fit, and it is said how many."""
    donor = runs["classification"].model()
    (donor.save if name.endswith(".keras") else donor.save_weights)(tmp_path / name)
    model = heads.build(worlds.tiny_recipe("classification"), 5)
    caplog.set_level("INFO", "training")
    taken = transfer.take_over_file(model, tmp_path / name)
    assert "conv1" in taken
    assert "scores" not in taken
    assert _same(model.get_layer("norm3").get_weights(), donor.get_layer("norm3").get_weights())
    assert "weights of 6 of 7 layers" in caplog.text
    assert "new: scores" in caplog.text


def test_weights_from_an_exported_version(
    runs: dict[str, Run], models_dir: Path, data_dir: Path, tmp_path: Path
) -> None:
    """A version in models/ gives its weights to the same network, and one that is not whole is refused."""
    version = models_dir / "tiny-localization" / "1"
    model = heads.build(runs["localization"].recipe, 2)
    taken = transfer.take_over_version(model, version)
    donor = runs["localization"].model()
    halves.settle(donor, dict)  # as a version stores its kernels
    assert "box_dense" in taken
    for layer in donor.layers:
        if layer.name != "scores":  # the temperature is in it
            assert _same(model.get_layer(layer.name).get_weights(), layer.get_weights())
    run = train(_recipe(version, frozen_epochs=0), tmp_path / "fine", data_dir)
    assert len(read_history(run.folder / "history.csv")) == 3
    shutil.copytree(version, tmp_path / "broken")
    next((tmp_path / "broken" / "variables").glob("*.index")).unlink()
    with pytest.raises(TransferError, match="broken is no whole version"):
        transfer.take_over_version(model, tmp_path / "broken")


def test_a_head_alone_is_no_transfer(runs: dict[str, Run]) -> None:
    """Where only the head fits, what it was made for is missing: that is refused, not trained."""
    image = keras.layers.Input((32, 32, 3))
    width = runs["classification"].model().get_layer("scores").kernel.shape[0]
    x = keras.layers.Dense(width, name="stranger")(keras.layers.GlobalAveragePooling2D()(image))
    labels = len(runs["classification"].labels)
    model = keras.Model(image, keras.layers.Dense(labels, activation="softmax", name="scores")(x), name="new")
    with pytest.raises(TransferError, match="shares only scores with new"):
        transfer.take_over(model, runs["classification"].model(), "old")


def test_bare_weights_go_by_the_names_of_layers(tmp_path: Path) -> None:
    """In a network with other layers before and between, each layer gets its namesake's."""

    def build(task: str, extra: bool) -> Any:
        image = keras.layers.Input((8, 8, 3))
        x = keras.layers.Conv2D(4, 3, padding="same", name="new")(image) if extra else image
        x = keras.layers.Conv2D(4, 1, name="first")(x) if not extra else x
        x = keras.layers.BatchNormalization(name="other")(x) if extra else x
        x = keras.layers.BatchNormalization(name="norm")(x)
        return keras.Model(image, keras.layers.Conv2D(4, 3, name="last")(x), name=task)

    donor, model = build("donor", extra=False), build("model", extra=True)
    for layer in donor.layers:
        layer.set_weights([np.random.default_rng(1).normal(size=w.shape) for w in layer.get_weights()])
    donor.save_weights(tmp_path / "donor.weights.h5")
    other = model.get_layer("other").get_weights()
    assert transfer.take_over_file(model, tmp_path / "donor.weights.h5") == ["norm", "last"]
    for name in ("norm", "last"):
        assert _same(model.get_layer(name).get_weights(), donor.get_layer(name).get_weights())
    assert _same(model.get_layer("other").get_weights(), other)


def test_what_cannot_be_taken_over_is_refused(data_dir: Path, tmp_path: Path) -> None:
    """No file, no weights in the file, no ImageNet weights: each is an error; no run is begun."""
    broken = tmp_path / "broken.weights.h5"
    broken.write_bytes(b"nothing")
    for weights, message in (
        (tmp_path / "none.keras", "There are no weights"),
        (broken, "cannot be read"),
        (Path("imagenet"), "no ImageNet weights for lecture-cnn-a"),
    ):
        with pytest.raises(TransferError, match=message):
            train(_recipe(weights), tmp_path / "fine", data_dir)
        with pytest.raises(Exception, match="Train first"):
            open_run(tmp_path / "fine")


def test_only_the_last_layers_are_unfrozen(runs: dict[str, Run], data_dir: Path, tmp_path: Path) -> None:
    """After the frozen epochs what was taken over learns from the named layer on, at its own rate; a name
    that the network does not have is told before anything is trained.
    """
    watch = _Watch()
    donor = runs["classification"]
    recipe = _recipe(donor.folder, unfreeze_from="conv2", backbone_rate=0.25)
    train(recipe, tmp_path / "fine", data_dir, extra=[watch])
    assert _same(watch.seen[-1]["conv1"], donor.model().get_layer("conv1").get_weights())
    model = heads.build(recipe, 2)
    last = transfer.phases(recipe)[-1]
    taken = transfer.take_over(model, donor.model(), "donor")
    transfer.set_trainable(model, recipe, last, taken)
    slowed = {variable.path for variable in transfer.slowed(model, recipe, last, taken)}
    assert "conv2/kernel" in slowed
    assert not {path for path in slowed if path.startswith(("conv1", "norm", "scores", "box"))}
    with pytest.raises(TransferError, match="unfreeze_from is 'conv9': fine has conv1, norm1"):
        train(_recipe(donor.folder, unfreeze_from="conv9"), tmp_path / "wrong", data_dir)
    assert not (tmp_path / "wrong" / "history.csv").exists()


def test_frozen_epochs_alone_are_a_run(runs: dict[str, Run], data_dir: Path, tmp_path: Path) -> None:
    """Where all epochs are frozen there is one phase, and the run has its best weights."""
    run = train(_recipe(runs["classification"].folder, frozen_epochs=3), tmp_path / "fine", data_dir)
    assert [row["phase"] for row in read_history(run.folder / "history.csv")] == [1, 1, 1]
    donor = runs["classification"].model()
    assert _same(run.model().get_layer("conv1").get_weights(), donor.get_layer("conv1").get_weights())
