"""Figures become pictures, and the same figures the same picture."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.fit.runs import RunError
from training.reports.report import draw_confusion, draw_curves


def size(path: Path) -> tuple[int, int]:
    """Return a picture's width and height; an error where it is none."""
    with Image.open(path) as picture:
        assert np.asarray(picture.convert("L")).std() > 5
        return picture.size


def test_no_history_is_named(tmp_path: Path) -> None:
    """A run that was copied without its history is told so."""
    with pytest.raises(RunError, match=r"history\.csv is missing or empty"):
        draw_curves(tmp_path / "history.csv", "val_accuracy", tmp_path / "none.png")


def test_curves_have_a_panel_for_each_figure(tmp_path: Path) -> None:
    """Loss and every figure that validation has too get a panel; what has none, like the rate, does not."""
    history = tmp_path / "history.csv"
    history.write_text(
        "epoch,loss,val_loss,accuracy,val_accuracy,learning_rate\n0,2,3,.1,.2,1\n1,1,2,.3,.4,1\n"
    )
    draw_curves(history, "val_accuracy", tmp_path / "two.png")
    draw_curves(history, "val_accuracy", tmp_path / "again.png")
    assert (tmp_path / "two.png").read_bytes() == (tmp_path / "again.png").read_bytes()
    header = "epoch,phase,loss,val_loss,accuracy,val_accuracy,box_mean_iou,val_box_mean_iou,x,val_x"
    history.write_text(f"{header}\n0,0,2,3,.1,.2,.1,.1,0,0\n1,1,1,2,.3,.4,.2,.3,0,0\n")
    draw_curves(history, "val_accuracy", tmp_path / "four.png")
    (width, height), (wide, high) = size(tmp_path / "two.png"), size(tmp_path / "four.png")
    assert wide == pytest.approx(1.5 * width, abs=2)
    assert high == 2 * height


def test_labels_are_what_they_say(tmp_path: Path) -> None:
    """Dollars are no formula, and a long name leaves room for the matrix."""
    labels = ["US$_$", "a name of more than a hundred letters " * 3]
    draw_confusion([[1, 0], [0, 1]], labels, tmp_path / "confusion.png")
    assert size(tmp_path / "confusion.png")[0] >= 300


@pytest.mark.parametrize("count", [2, 43, 100])
def test_a_confusion_matrix_of_any_size_fits(tmp_path: Path, count: int) -> None:
    """Two classes or a hundred: the picture stays one that a page can hold."""
    labels = [f"class {number}" for number in range(count)]
    draw_confusion(np.eye(count, dtype=int).tolist(), labels, tmp_path / "confusion.png")
    width, height = size(tmp_path / "confusion.png")
    assert 300 <= width == height <= 1400
