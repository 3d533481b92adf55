"""What a run tells of each image."""

import csv
from pathlib import Path

import numpy as np
import pytest

from training.datasets import Samples
from training.evaluation import evaluate
from training.evaluation.sheets import Columns, write_predictions
from training.fit.runs import Run


def rows(path: Path) -> list[dict[str, str]]:
    """Read a table."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("task", ["classification", "localization", "segmentation"])
def test_a_run_tells_each_images_part_and_answer(runs: dict[str, Run], data_dir: Path, task: str) -> None:
    """Every image is in one part, and the answers of the test's add up to the figures of the evaluation."""
    run = runs[task]
    kept = evaluate.read(run)
    assert kept is not None
    parts = rows(run.folder / "split.csv")
    splits = run.recipe.load(data_dir)
    assert splits.test.paths is not None
    counts = {part: sum(row["part"] == part for row in parts) for part in ("train", "validation", "test")}
    assert counts == {"train": 8, "validation": 2, "test": 10}
    assert len({row["file"] for row in parts}) == 20
    found = rows(run.folder / "predictions.csv")
    assert [row["file"] for row in found] == [path.name for path in splits.test.paths]
    assert [row["file"] for row in parts if row["part"] == "test"] == [row["file"] for row in found]
    if task == "segmentation":
        assert list(found[0]) == ["file", "dice"]
    else:
        right = [row["label"] == row["answer"] for row in found]
        assert np.mean(right) == pytest.approx(kept.figures["accuracy"])
        assert all(0.5 <= float(row["score"]) <= 1 for row in found)
    if task == "localization":
        assert np.mean([float(row["iou"]) for row in found]) == pytest.approx(
            kept.figures["mean_iou"], abs=1e-5
        )
        assert float(found[0]["true x_min"]) == pytest.approx(12 / 60)


def test_files_of_ones_own_go_by_their_place(tmp_path: Path) -> None:
    """Two folders may have a file of the same name; images that are no files go by their number."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    paths = (tmp_path / "a" / "1.jpg", tmp_path / "b" / "1.jpg")
    samples = Samples(np.zeros((2, 2, 2, 3), np.uint8), np.asarray([0, 1], np.int32), paths=paths)
    columns: Columns = {"label": ["x", "y"], "score": np.asarray([0.75, 0.1 + 0.2])}
    write_predictions(tmp_path / "out.csv", samples, str(tmp_path), columns)
    assert rows(tmp_path / "out.csv") == [
        {"file": "a/1.jpg", "label": "x", "score": "0.75"},
        {"file": "b/1.jpg", "label": "y", "score": "0.3"},
    ]
    bare = Samples(samples.images, samples.labels)
    write_predictions(tmp_path / "out.csv", bare, "", columns)
    assert [row["file"] for row in rows(tmp_path / "out.csv")] == ["0", "1"]
