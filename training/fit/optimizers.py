"""Optimisers and the schedules of their learning rate, as the recipe says."""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from training.schema import Training

_CLASSES = {
    # With the same decoupled decay; Keras's AdamW only insists on having one.
    "adamw": keras.optimizers.Adam,
    "adam": keras.optimizers.Adam,
    "nadam": keras.optimizers.Nadam,
    "lion": keras.optimizers.Lion,
    "rmsprop": keras.optimizers.RMSprop,
    "sgd": keras.optimizers.SGD,
}
_OPTIONS: dict[str, dict[str, Any]] = {
    "rmsprop": {"momentum": 0.9},
    "sgd": {"momentum": 0.9, "nesterov": True},
}


class Schedule(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """The learning rate over the part of all steps that is done.

    In the first `warmup` part it rises linearly to `peak`. Then it stays (`constant`), falls along half a
    cosine to 0 (`cosine`; Loshchilov, Hutter, "SGDR", ICLR 2017, eq. 5), or falls linearly to 0 (`one-cycle`;
    Smith, Topin, "Super-Convergence", 2018, figure 1, without its last bit below the first rate).
    """

    def __init__(self, kind: str, peak: float, steps: int, warmup: float) -> None:
        self.kind = kind
        self.peak = peak
        self.warmup = warmup
        # A variable, for a time budget may shorten it on the way.
        self.steps = keras.Variable(float(steps), trainable=False, dtype="float32", name="schedule_steps")

    def __call__(self, step: Any) -> Any:
        """Return the rate before the update of that number, counted from 0."""
        part = ops.minimum(ops.cast(step, "float32") / self.steps, 1.0)
        rise = ops.minimum((part * self.steps + 1) / ops.maximum(self.warmup * self.steps, 1.0), 1.0)
        left = ops.minimum((1 - part) / (1 - self.warmup), 1.0)
        falls = {"constant": 1.0, "cosine": 0.5 - 0.5 * ops.cos(math.pi * left), "one-cycle": left}
        return self.peak * rise * falls[self.kind]

    def get_config(self) -> dict[str, Any]:
        """Return what the schedule is made from."""
        steps = int(ops.convert_to_numpy(self.steps))
        return {"kind": self.kind, "peak": self.peak, "steps": steps, "warmup": self.warmup}


def build(
    settings: Training, steps: int, learning_rate: float, slowed: Sequence[Any] = (), rate: float = 1.0
) -> keras.optimizers.Optimizer:
    """Return the recipe's optimiser for so many steps with that highest rate.

    The variables in `slowed` have the part `rate` of it, and do not decay: they shall stay near to what they
    were (Howard, Ruder, "Universal Language Model Fine-tuning", ACL 2018, section 3.2, has a rate per layer).
    """
    rates: dict[Any, float] = {}
    kind = _CLASSES[settings.optimizer]
    optimizer = (_by_part(kind, rates) if slowed else kind)(
        Schedule(settings.schedule, learning_rate, steps, settings.warmup),
        weight_decay=settings.weight_decay or None,
        global_clipnorm=settings.gradient_clip or None,
        use_ema=settings.ema > 0,
        ema_momentum=settings.ema,
        **_OPTIONS.get(settings.optimizer, {}),
    )
    rates |= {optimizer._var_key(variable): rate for variable in slowed}
    # Decaying a bias or a normalisation's scale only moves it away from what the data ask for.
    optimizer.exclude_from_weight_decay(var_list=list(slowed), var_names=["bias", "gamma", "beta"])
    return optimizer


def _by_part(kind: Any, rates: dict[Any, float]) -> Any:
    """Return the optimiser's class with a part of the learning rate for each variable that `rates` has."""

    class ByPart(kind):  # type: ignore[misc]
        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            part = rates.get(self._var_key(variable), 1.0)
            super().update_step(gradient, variable, learning_rate * part)

    return ByPart
