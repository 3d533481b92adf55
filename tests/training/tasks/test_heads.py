"""What is common to the heads of all tasks."""

from pathlib import Path

import pytest

from tests import worlds
from training.evaluation.evaluate import evaluate
from training.fit import loop
from training.fit.runs import read_history
from training.reports import page
from training.tasks import heads
from training.zoo import ARCHITECTURES


def test_balanced_classes_choose_the_epoch_by_the_mean_of_theirs() -> None:
    """Where nothing is balanced, and in a history from before there was that figure, the accuracy chooses."""
    training = {"epochs": 1, "batch_size": 4, "learning_rate": 0.001}
    plain = worlds.tiny_recipe("classification", training=training)
    balanced = worlds.tiny_recipe("classification", training=training | {"balance": True})
    assert heads.monitor(plain) == "val_accuracy"
    assert heads.monitor(balanced) == "val_balanced_accuracy"
    assert heads.monitor(balanced, [{"val_accuracy": 0.5}]) == "val_accuracy"


def test_a_balanced_run_keeps_its_fairest_epoch(data_dir: Path, tmp_path: Path) -> None:
    """The figure is in its history, and its report marks the epoch by it."""
    training = {"epochs": 2, "batch_size": 4, "learning_rate": 0.001, "balance": True}
    run = loop.train(worlds.tiny_recipe("classification", training=training), tmp_path / "run", data_dir)
    rows = read_history(run.folder / "history.csv")
    result = evaluate(run, data_dir, "validation")
    best = max(row["val_balanced_accuracy"] for row in rows)
    assert result.figures["macro_recall"] == pytest.approx(best)
    evaluate(run, data_dir)
    page.write(run, data_dir)
    assert "best validation balanced accuracy" in (run.folder / "report.html").read_text("utf-8")


@pytest.mark.parametrize("task", ["classification", "localization", "segmentation"])
def test_a_head_is_told_from_its_backbone(task: str) -> None:
    """By the names of its layers; the labels' probabilities come from the one with kernel and bias."""
    recipe = worlds.tiny_recipe(task)
    model = heads.build(recipe, 3)
    backbone = {layer.name for layer in ARCHITECTURES[recipe.architecture].build(recipe.input.shape).layers}
    known = {layer.name for layer in model.layers if layer.weights}
    assert {name for name in known if heads.is_head(name)} == known - backbone
    assert not any(heads.is_head(name) for name in backbone)
    kernel, bias = heads.label_layer(model).get_weights()
    assert kernel.shape[-1] == len(bias) == 3
