"""Figures as geometry: where each mark lies, and the words that go with it."""

import pytest

from service.pages import charts
from service.pages.records import Bin, Overlaps


def test_calibration_lies_on_the_line_where_scores_hold() -> None:
    """A bin that is as often right as it is sure lies on the diagonal; an empty one is left out."""
    bins = [
        Bin(low=0.5, count=0, confidence=0, accuracy=0),
        Bin(low=0.75, count=4, confidence=0.8, accuracy=0.8),
    ]
    (point,) = charts.reliability(bins)
    assert (point.x, point.y) == pytest.approx((0.8 * charts.SIDE, 0.2 * charts.SIDE))
    assert point.words == "4 answers of score 0.80: 80 % right"


def test_confusion_is_told_by_shares_of_the_truth() -> None:
    """The most frequent mistake comes first; nothing is told of a matrix of other labels."""
    labels, confusion = ("cat", "dog", "fox"), ((8, 2, 0), (0, 10, 0), (1, 1, 2))
    found = {(cell.row, cell.column): cell.share for cell in charts.cells(confusion, labels)}
    assert found == {(0, 0): 0.8, (0, 1): 0.2, (1, 1): 1.0, (2, 0): 0.25, (2, 1): 0.25, (2, 2): 0.5}
    worst = charts.mistakes(confusion, labels)
    assert [(each.truth, each.answer, each.count) for each in worst] == [
        ("fox", "cat", 1),
        ("fox", "dog", 1),
        ("cat", "dog", 2),
    ]
    assert not charts.cells(confusion, labels[:2])
    assert not charts.mistakes(((1, 2),), labels[:2])


def test_overlaps_fill_the_height_by_the_largest() -> None:
    """Each step that is not empty is a bar, told by its share of all."""
    bars = charts.histogram(Overlaps(counts=(0, 1, 3, 0)))
    assert [(bar.x, bar.y) for bar in bars] == [(50, charts.SIDE / 3), (100, charts.SIDE)]
    assert bars[1].words == "IoU 0.50 to 0.75: 75.0 %"


def test_curves_share_their_axis() -> None:
    """Training and validation of one figure are comparable; a single epoch is no curve."""
    history = {"loss": [4.0, 2.0, 1.0], "val_loss": [3.0, 2.0, 2.0], "val_iou": [0.5], "seconds": [1.0, 1.0]}
    (chart,) = charts.curves(history)
    assert (chart.title, chart.low, chart.high, chart.epochs) == ("loss", 1.0, 4.0, 3)
    assert {line.name: line.points for line in chart.lines} == {
        "training": "0.0,0.0 200.0,133.3 400.0,200.0",
        "validation": "0.0,66.7 200.0,133.3 400.0,133.3",
    }
