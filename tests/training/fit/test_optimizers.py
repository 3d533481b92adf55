"""The learning rate step by step, and what the optimiser is told."""

import keras
import numpy as np
import pytest

from training.fit import optimizers
from training.fit.optimizers import Schedule
from training.schema import Training

SETTINGS = Training(epochs=1, batch_size=1, learning_rate=0.1)


def _rates(kind: str, warmup: float, steps: int = 100) -> list[float]:
    schedule = Schedule(kind, 0.1, steps, warmup)
    return [float(schedule(step)) for step in range(steps)]


@pytest.mark.parametrize("kind", ["constant", "cosine", "one-cycle"])
def test_the_rate_rises_in_warm_up_and_never_after(kind: str) -> None:
    """It rises by equal steps to the peak, and falls or stays from there."""
    rates = _rates(kind, 0.2)
    assert np.diff(rates[:20]) == pytest.approx(0.1 / 20, rel=1e-4)
    assert max(rates) == pytest.approx(0.1)
    assert (np.diff(rates[20:]) <= 1e-9).all()


def test_where_each_schedule_ends_and_is_half_way() -> None:
    """Half of the way down, cosine and one-cycle are at half the peak; at the end, near 0."""
    for kind, middle, end in (("constant", 0.1, 0.1), ("cosine", 0.05, 0.0), ("one-cycle", 0.05, 0.0)):
        rates = _rates(kind, 0.2)
        assert rates[60] == pytest.approx(middle, rel=1e-4)
        assert rates[-1] == pytest.approx(end, abs=0.002)


def test_without_warm_up_the_first_rate_is_the_peak() -> None:
    """No part of the steps is spent on rising."""
    assert _rates("cosine", 0.0)[0] == pytest.approx(0.1)


def test_a_shortened_schedule_ends_earlier() -> None:
    """A time budget may take steps away; what is left of the way down is then steeper."""
    schedule = Schedule("one-cycle", 0.1, 100, 0.0)
    schedule.steps.assign(50)
    assert float(schedule(25)) == pytest.approx(0.05)
    assert float(schedule(80)) == 0


@pytest.mark.parametrize("name", ["adamw", "adam", "nadam", "lion", "rmsprop", "sgd"])
def test_every_optimiser_takes_the_settings(name: str) -> None:
    """Rate, decay, clipping and averaging reach whichever optimiser was chosen."""
    changes = {"optimizer": name, "weight_decay": 0.02, "gradient_clip": 2.0, "ema": 0.9}
    built = optimizers.build(SETTINGS.model_copy(update=changes), 10, 0.1)
    assert (built.weight_decay, built.global_clipnorm, built.use_ema) == (0.02, 2.0, True)
    assert built.ema_momentum == 0.9
    plain = optimizers.build(SETTINGS.model_copy(update={"optimizer": name, "gradient_clip": 0.0}), 10, 0.1)
    assert (plain.weight_decay, plain.global_clipnorm, plain.use_ema) == (None, None, False)


@pytest.mark.parametrize("name", ["sgd", "lion"])
def test_a_part_of_the_network_may_learn_slower(name: str) -> None:
    """Of two equal weights with equal gradients, the slowed one goes a tenth as far, and does not decay."""
    keras.config.set_dtype_policy("float32")
    fast, slow = (keras.Variable([1.0], name=each) for each in ("fast", "slow"))
    settings = SETTINGS.model_copy(
        update={"optimizer": name, "weight_decay": 0.5, "schedule": "constant", "warmup": 0.0}
    )
    built = optimizers.build(settings, 10, 0.01, [slow], 0.1)
    built.build([fast, slow])
    built.apply([keras.ops.zeros(1), keras.ops.zeros(1)])
    assert [float(np.asarray(each)[0]) for each in (fast, slow)] == pytest.approx([0.995, 1.0])
    built.apply([keras.ops.ones(1), keras.ops.ones(1)])
    after = [float(np.asarray(each)[0]) for each in (fast, slow)]
    assert 0.995 * 0.995 - after[0] == pytest.approx(10 * (1 - after[1]), rel=1e-3)
    assert after[1] < 1
