"""A frozen backbone answers once: where the network is cut, and that nothing else changes by it."""

import logging
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import worlds
from tests.training.stops import Interrupt
from training import schema
from training.fit import features, transfer
from training.fit.loop import train
from training.fit.runs import Run, read_history
from training.recipes import registry
from training.schema import Recipe
from training.tasks import heads


def _recipe(weights: Path, epochs: int = 4, **changes: Any) -> Recipe:
    """Two frozen epochs and others, all images in one batch, so that their order is nothing to the loss."""
    table = {"weights": str(weights), "frozen_epochs": 2, "cached_views": 3, "unfreeze_from": "dense"}
    fields = {
        "name": "cached",
        "training": {"epochs": epochs, "batch_size": 64, "learning_rate": 0.003, "dropout_scale": 0.0},
        **changes,
        "transfer": table | changes.get("transfer", {}),
    }
    return worlds.tiny_recipe("localization", **fields)


def _lite(name: str, task: str) -> keras.Model:
    """Build an EfficientNet-Lite for a task, its whole trunk frozen."""
    size = schema.Input(height=64, width=64, channels=3)
    recipe = registry.sketch(f"efficientnet-lite0{name}").model_copy(update={"task": task, "input": size})
    dropout = recipe.training.model_copy(update={"head_dropout": 0.2})
    model = heads.build(recipe.model_copy(update={"training": dropout}), 3)
    for layer in model.layers:
        layer.trainable = not layer.name.startswith(("stem", "block", "top"))
    return model


def test_a_classifier_is_cut_behind_its_pooling() -> None:
    """Of each image 1,280 numbers are kept: the dropout behind them is drawn anew in each step."""
    model = _lite("", "classification")
    assert [tensor.shape for tensor in features.frontier(model)] == [(None, 1280)]


def test_a_pyramid_is_cut_before_its_maps_grow() -> None:
    """The maps of strides 8, 16 and 32 are kept; not what only enlarges or joins them."""
    model = _lite("-pyramid", "localization")
    shapes = [tensor.shape[1:] for tensor in features.frontier(model)]
    assert sorted(shapes) == [(2, 2, 320), (4, 4, 112), (8, 8, 40)]
    # Of the trunk, what feeds the blocks that learn now takes the place of the smallest map.
    for layer in model.layers:
        layer.trainable |= layer.name.startswith(("block12", "block13", "block14", "block15", "block16"))
    assert sorted(tensor.shape[1:] for tensor in features.frontier(model)) == [(4, 4, 112), (8, 8, 40)]


def test_nothing_is_cut_where_nothing_is_frozen() -> None:
    """Layers without weights before the first that learns are no backbone."""
    model = heads.build(worlds.tiny_recipe("segmentation"), 3)
    assert features.frontier(model) == []
    assert features.cut(model, worlds.tiny_recipe("segmentation"), None) is None  # type: ignore[arg-type]


def test_both_parts_together_answer_as_the_whole(runs: dict[str, Run], data_dir: Path) -> None:
    """Features with 16 bits give the outputs of the network, by the same layers."""
    recipe = _recipe(runs["classification"].folder)
    model = heads.build(recipe, 2)
    transfer.set_trainable(model, recipe, transfer.phases(recipe)[0], ["conv1", "norm1", "conv2", "norm2"])
    halves = features.cut(model, recipe, recipe.load(data_dir))
    assert halves
    assert halves.views == 3
    images = tf.constant(np.random.default_rng(0).random((4, 32, 32, 3)), tf.float32)
    kept = tf.cast(tf.cast(halves.backbone(images), tf.float16), tf.float32)
    answers, whole = halves.rest(kept), model(images)
    for name in ("scores", "box"):
        assert np.asarray(answers[name]) == pytest.approx(np.asarray(whole[name]), abs=1e-3)
    assert {layer.name for layer in halves.rest.layers if layer.weights} == {
        layer.name for layer in model.layers if layer.trainable and layer.weights
    }


def test_cached_or_not_a_run_is_the_same(runs: dict[str, Run], data_dir: Path, tmp_path: Path) -> None:
    """Without augmentation, the history of both phases is that of a network that is computed in each epoch,
    up to what 16 bits of a feature leave; and so is what the run answers.
    """
    found = []
    for views in (0, 1):
        recipe = _recipe(runs["classification"].folder, augmentation={}, transfer={"cached_views": views})
        run = train(recipe, tmp_path / f"{views}", data_dir)
        found.append((read_history(run.folder / "history.csv"), run.model()))
    (rows, model), (others, other) = found
    assert [row["phase"] for row in rows] == [1, 1, 2, 2]
    for row, same in zip(rows, others, strict=True):
        assert same | {"seconds": 0} == pytest.approx(row | {"seconds": 0}, rel=0.01, abs=0.002)
    images = np.random.default_rng(0).random((2, 32, 32, 3)).astype(np.float32)
    assert np.asarray(other(images)["box"]) == pytest.approx(np.asarray(model(images)["box"]), abs=0.01)


def test_a_run_that_is_resumed_sees_the_same_views(
    runs: dict[str, Run], data_dir: Path, tmp_path: Path
) -> None:
    """Cut in the first phase, again at its end, and in the second: the history is that of a whole run. Its
    averaged weights and its drops of chance come back, too.
    """
    recipe = _recipe(
        runs["classification"].folder,
        training={"epochs": 4, "batch_size": 4, "learning_rate": 0.003, "ema": 0.8, "head_dropout": 0.2},
    )
    whole = train(recipe, tmp_path / "whole", data_dir)
    expected = read_history(whole.folder / "history.csv")
    folder = tmp_path / "cut"
    for last in (0, 1, 2):
        with pytest.raises(KeyboardInterrupt):
            train(recipe, folder, data_dir, resume=last > 0, extra=[Interrupt(last)])
    again = train(recipe, folder, data_dir, resume=True)
    for row, other in zip(expected, read_history(again.folder / "history.csv"), strict=True):
        assert row | {"seconds": 0} == pytest.approx(other | {"seconds": 0}, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize(("room", "message"), [(0.4, "in 1 view"), (0.0001, "computed anew in each epoch")])
def test_what_does_not_fit_into_memory_is_told(
    runs: dict[str, Run],
    data_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    room: float,
    message: str,
) -> None:
    """With less room there are fewer views, and with none the run does without the cache; it says which."""
    recipe = _recipe(runs["classification"].folder, epochs=2)
    model = heads.build(recipe, 2)
    taken = transfer.take_over(model, runs["classification"].model(), "donor")
    transfer.set_trainable(model, recipe, transfer.phases(recipe)[0], taken)
    splits = recipe.load(data_dir)
    halves = features.cut(model, recipe, splits)
    assert halves
    each = 2 * sum(int(np.prod(tensor.shape[1:])) for tensor in halves.backbone.outputs)
    images = 3 * len(splits.train) + len(splits.validation)
    monkeypatch.setattr("training.fit.features.CACHE_BYTES", int(room * images * each) + 1)
    caplog.set_level(logging.INFO, "training")
    run = train(recipe, tmp_path / "run", data_dir)
    assert message in caplog.text
    assert len(read_history(run.folder / "history.csv")) == 2
