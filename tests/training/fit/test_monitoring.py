"""What one sees of a training, and what TensorBoard finds afterwards."""

import io
import itertools
import logging
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from tests import worlds
from training.fit.monitoring import Meter
from training.fit.runs import Run, read_history


def events(folder: Path) -> Any:
    """Read the event files of a folder as TensorBoard does."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder))
    found.Reload()
    return found


@pytest.mark.parametrize("task", ["classification", "localization", "segmentation"])
def test_tensorboard_finds_scalars_graph_histograms_and_answers(runs: dict[str, Run], task: str) -> None:
    """The event files have the figures of history.csv, a histogram per weight, the graph and a picture."""
    from tensorboard.util.tensor_util import make_ndarray

    run = runs[task]
    history = read_history(run.folder / "history.csv")[0]
    train = events(run.folder / "tensorboard" / "train")
    loss = make_ndarray(train.Tensors("epoch_loss")[0].tensor_proto)
    assert loss == pytest.approx(history["loss"], rel=1e-5)
    histograms = {tag for tag in train.Tags()["tensors"] if tag.endswith("/histogram")}
    assert {f"{weight.path}/histogram" for weight in run.model().trainable_weights} <= histograms
    validation = events(run.folder / "tensorboard" / "validation")
    nodes = {node.name for node in validation.Graph().node}
    assert any("scores" in name or "mask" in name for name in nodes)
    width, height, *pictures = validation.Tensors("samples")[0].tensor_proto.string_val
    assert len(pictures) == 2
    picture = np.asarray(Image.open(io.BytesIO(pictures[0])))
    assert picture.shape == (int(height), int(width), 3)
    assert picture.std() > 10


def fitted(meter: Meter) -> None:
    """Train a network of one weight for two epochs of three steps."""
    model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    rows = np.zeros((24, 1), np.float32)
    model.fit(rows, rows, batch_size=8, epochs=2, verbose=0, callbacks=[meter])


def test_without_a_terminal_each_epoch_is_a_line(caplog: pytest.LogCaptureFixture) -> None:
    """The log has the figures, the rate and the time left of each epoch, and nothing is drawn."""
    out = io.StringIO()
    with caplog.at_level(logging.INFO, logger="training"):
        fitted(Meter(24, 8, 2, Console(file=out)))
    lines = worlds.logged(caplog, "training")
    assert [line.split(":")[0] for line in lines] == ["epoch 1 of 2", "epoch 2 of 2"]
    assert all("loss 0." in line and "images/s" in line for line in lines)
    assert lines[-1].endswith("0:00 left")
    assert not out.getvalue()


def test_the_time_left_is_the_budgets(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 100 epochs, which would take minutes, no more is told to be left than the minute there is."""
    ticks = itertools.count()
    monkeypatch.setattr("training.fit.monitoring.time", SimpleNamespace(monotonic=lambda: float(next(ticks))))
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100)
    with caplog.at_level(logging.INFO, logger="training"):
        fitted(Meter(24, 8, 100, console, seconds=60.0))
    left = [line.rpartition(", ")[2] for line in worlds.logged(caplog, "training")]
    (first, second) = (int(text.split(":")[0]) * 60 + int(text[2:4]) for text in left)
    assert second < first < 60
    shown = [int(seconds) for seconds in re.findall(r"0:00:(\d\d)", out.getvalue())]
    assert shown
    assert max(shown) < 60


def test_on_a_terminal_a_bar_shows_rate_and_time_left() -> None:
    """The bar has epoch, images per second and the time left, and is gone in the end."""
    out = io.StringIO()
    fitted(Meter(24, 8, 2, Console(file=out, force_terminal=True, width=100)))
    assert "images/s" in out.getvalue()
    assert "epoch 2/2" in out.getvalue()
    assert "0:00:00" in out.getvalue()
    assert out.getvalue().endswith("\x1b[2K")  # the line is wiped


def test_a_slow_epoch_says_how_far_it_is(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is no bar, an epoch of more than half a minute speaks up at times."""
    monkeypatch.setattr("training.fit.monitoring.QUIET_SECONDS", 0.0)
    with caplog.at_level(logging.INFO, logger="training"):
        fitted(Meter(24, 8, 2, Console(file=io.StringIO())))
    assert sum("step 2 of 3" in line for line in caplog.messages) == 2
