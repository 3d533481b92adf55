"""A time budget: the schedule is shortened so that it ends when the time does."""

import logging
import time
from collections.abc import Callable
from typing import Any

import keras

log = logging.getLogger("training")

FIRST_STEPS = 1
"""After so many steps of an epoch, the very first one not counted, which builds the graph, and then whenever
they have doubled, the rest is estimated."""


class Budget(keras.callbacks.Callback):  # type: ignore[misc]
    """Ends a phase of `epochs` epochs of `steps` steps after `seconds`, its last test included.

    With `agree`, which turns what each of several hosts would have into what all have, the phase ends with
    the schedule's last step instead: the hosts' clocks differ, and all must take the same steps at the same
    rate.
    """

    def __init__(
        self, seconds: float, steps: int, epochs: int, done: int, agree: Callable[[int], int] | None = None
    ) -> None:
        super().__init__()
        self._agree = agree
        self._end = time.monotonic() + seconds
        self._steps = steps
        self._planned = steps * epochs
        self._done = done * steps
        self._first = self._last = (0, 0.0)
        self._next = FIRST_STEPS
        self._test_began = 0.0
        self._test_seconds = 0.0
        self._pause = self._epoch_began = 0.0
        self._estimated = self._said = False

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Start to count steps, and note how long the last test and what was written after it took."""
        if self._last[0]:
            self._pause = time.monotonic() - self._last[1]
        self._epoch_began = time.monotonic()
        self._first = (0, 0.0)
        self._next = FIRST_STEPS

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """End if the time is up; now and then, estimate."""
        self._last = (batch + 1, time.monotonic())
        if not self._first[0]:
            self._first = self._last
        done = self._done + batch + 1
        if self._is_over(done):
            self.model.stop_training = True
            if not self._estimated:
                log.warning(
                    "The time was up after %d step(s), most of it gone into building the graph: the learning "
                    "rate never came down, and these weights are a draft. Give it more time.",
                    done,
                )
        elif batch >= self._next:
            self._next *= 2
            self._estimate(done)

    def _is_over(self, done: int) -> bool:
        if self._agree:
            return done >= int(self.model.optimizer._learning_rate.steps.numpy())
        return self._last[1] + self._test_seconds > self._end

    def on_test_begin(self, logs: Any = None) -> None:
        """Start the clock of the test."""
        self._test_began = time.monotonic()

    def on_test_end(self, logs: Any = None) -> None:
        """Remember what a test takes."""
        self._test_seconds = time.monotonic() - self._test_began

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Estimate again."""
        self._done += self._last[0]
        # An epoch of one step tells how long it took, but for the first, which builds the graph.
        told = self._last[0] > self._first[0] or self._done > self._last[0]
        if told and not self.model.stop_training:
            self._estimate(self._done)
            self._say()

    def _say(self) -> None:
        """Say once what the schedule was shortened to, when a whole epoch has told what one takes."""
        total = int(self.model.optimizer._learning_rate.steps.numpy())
        if not self._said and total < self._planned:
            log.info(
                "The time allows about %.1f of %d epochs: the learning rate comes down by then.",
                total / self._steps,
                self._planned // self._steps,
            )
            self._said = True

    def _estimate(self, done: int) -> None:
        """Set the schedule's end to the step at which the time will be up, if that is before its own."""
        (first, began), (last, now) = self._first, self._last
        each = (now - began) / (last - first) if last > first else now - self._epoch_began
        # To each step its part of what comes between two epochs.
        step = each + max(self._pause, self._test_seconds) / self._steps
        left = (self._end - time.monotonic() - self._test_seconds) / step
        total = min(self._planned, done + max(0, int(left)))
        if self._agree:
            total = self._agree(total)
        self._estimated = True
        schedule = self.model.optimizer._learning_rate
        before = int(schedule.steps.numpy())
        if total == before:
            return
        schedule.steps.assign(max(1, total))
        if keras.backend.backend() == "jax":
            # Its compiled step holds the old number as a constant.
            self.model.make_train_function(force=True)
