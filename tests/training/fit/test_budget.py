"""A time budget within one long epoch; for one of several epochs see test_loop."""

import itertools
import re
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import worlds
from training.fit import optimizers
from training.fit.budget import Budget
from training.schema import Training


@pytest.mark.parametrize("planned", [1_000_000, 50])
def test_the_schedule_ends_with_the_time_or_before(planned: int) -> None:
    """An epoch that is too long ends when the time is up, at a rate near 0; a short one is left alone."""
    keras.config.set_dtype_policy("float32")
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1)])
    settings = Training(epochs=1, batch_size=1, learning_rate=1e-3, schedule="one-cycle", warmup=0)
    model.compile(optimizers.build(settings, planned, 1e-3), "mse")
    data = tf.data.Dataset.from_tensors((np.ones((1, 4)), np.ones((1, 1)))).repeat()
    model.fit(data, epochs=1, steps_per_epoch=1, shuffle=False, verbose=0)  # builds the graph
    budget = Budget(2.0 if planned > 50 else 200.0, planned, 1, 0)
    model.fit(data, epochs=1, steps_per_epoch=planned, shuffle=False, callbacks=[budget], verbose=0)
    done, rate = int(model.optimizer.iterations.numpy()) - 1, float(model.optimizer.learning_rate.numpy())
    assert (done == planned) == (planned == 50)
    assert rate < 5e-4


def test_hosts_end_at_the_step_that_they_agree_on() -> None:
    """With others to agree with, what they say is the last step, whatever the own clock says."""
    keras.config.set_dtype_policy("float32")
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1)])
    settings = Training(epochs=1, batch_size=1, learning_rate=1e-3, schedule="one-cycle", warmup=0)
    model.compile(optimizers.build(settings, 1000, 1e-3), "mse")
    data = tf.data.Dataset.from_tensors((np.ones((1, 4)), np.ones((1, 1)))).repeat()
    asked = []

    def agree(total: int) -> int:
        asked.append(total)
        return 37

    budget: Any = Budget(1e-6, 1000, 1, 0, agree)
    model.fit(data, epochs=1, steps_per_epoch=1000, shuffle=False, callbacks=[budget], verbose=0)
    assert int(model.optimizer.iterations.numpy()) == 37
    assert asked


def test_epochs_of_one_step_are_estimated_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few photos in one batch: the schedule is shortened from one epoch to the next."""
    ticks = itertools.count()
    monkeypatch.setattr("training.fit.budget.time", SimpleNamespace(monotonic=lambda: 0.05 * next(ticks)))
    keras.config.set_dtype_policy("float32")
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1)])
    settings = Training(epochs=1, batch_size=1, learning_rate=1e-3, schedule="one-cycle", warmup=0)
    model.compile(optimizers.build(settings, 10_000, 1e-3), "mse")
    data = tf.data.Dataset.from_tensors((np.ones((1, 4)), np.ones((1, 1)))).repeat()
    budget = Budget(6.0, 1, 10_000, 0)
    model.fit(data, epochs=10_000, steps_per_epoch=1, shuffle=False, callbacks=[budget], verbose=0)
    assert 10 < int(model.optimizer.iterations.numpy()) < 100
    assert float(model.optimizer.learning_rate.numpy()) < 2e-4


def test_a_budget_that_building_takes_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """Where the time is up before anything could be estimated, the log says that the rate never came down."""
    keras.config.set_dtype_policy("float32")
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1)])
    settings = Training(epochs=1, batch_size=1, learning_rate=1e-3, schedule="one-cycle", warmup=0)
    model.compile(optimizers.build(settings, 1000, 1e-3), "mse")
    data = tf.data.Dataset.from_tensors((np.ones((1, 4)), np.ones((1, 1)))).repeat()
    budget = Budget(1e-6, 1000, 1, 0)
    model.fit(data, epochs=1, steps_per_epoch=1000, shuffle=False, callbacks=[budget], verbose=0)
    assert int(model.optimizer.iterations.numpy()) == 1
    (line,) = worlds.logged(caplog, "training")
    assert "after 1 step" in line
    assert "Give it more time" in line


def test_what_the_time_allows_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """However often the estimate changes from epoch to epoch."""
    ticks, seconds = itertools.count(), itertools.cycle((0.02, 0.06, 0.1))
    clock = itertools.accumulate(next(seconds) for _ in ticks)
    monkeypatch.setattr("training.fit.budget.time", SimpleNamespace(monotonic=lambda: next(clock)))
    keras.config.set_dtype_policy("float32")
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1)])
    settings = Training(epochs=1, batch_size=1, learning_rate=1e-3, schedule="one-cycle", warmup=0)
    model.compile(optimizers.build(settings, 10_000, 1e-3), "mse")
    data = tf.data.Dataset.from_tensors((np.ones((1, 4)), np.ones((1, 1)))).repeat()
    with caplog.at_level("INFO", "training"):
        budget = Budget(12.0, 2, 5000, 0)
        model.fit(data, epochs=5000, steps_per_epoch=2, shuffle=False, callbacks=[budget], verbose=0)
    (line,) = worlds.logged(caplog, "training")
    said = re.fullmatch(r"The time allows about ([\d.]+) of 5000 epochs: .*", line)
    assert said
    # Two to six looks at the clock an epoch, of 0.02 to 0.1 s.
    assert 12 / 0.6 <= float(said.group(1)) <= 12 / 0.04
