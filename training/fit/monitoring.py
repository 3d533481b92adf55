"""What one sees while a network trains: a progress bar or lines, and TensorBoard.

    tensorboard --logdir RUNS_DIR

shows the scalars, the graph, each layer's weights as histograms, and the same validation samples with the
answers of every epoch.
"""

import logging
import math
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from training.datasets import Samples, Splits
from training.inputs.normalisation import normalise
from training.schema import Recipe
from training.tasks import heads
from training.tasks.drawing import draw_samples
from training.tasks.registry import TASKS

log = logging.getLogger("training")

SHOWN = 8
"""So many validation samples are drawn each epoch."""

QUIET_SECONDS = 30.0
"""Without a terminal, an epoch that takes longer says now and then how far it is."""


def callbacks(
    folder: Path,
    recipe: Recipe,
    splits: Splits,
    seconds: float | None = None,
    *,
    views: int = 1,
    inputs: Any = None,
) -> list[keras.callbacks.Callback]:
    """Return the callbacks that show the progress, and write `folder / tensorboard`.

    `seconds` are those left of a time budget, by which training ends before all its epochs. An epoch passes
    over `views` of each image; `inputs` are what the model answers for the validation part, where that is
    not its images.
    """
    # Its graph is the configuration, which a custom loss does not have; Gallery writes the graph itself.
    board = keras.callbacks.TensorBoard(str(folder / "tensorboard"), histogram_freq=1, write_graph=False)
    # It does nothing per batch; without this Keras would wait for the figures of every step.
    board.async_safe = True
    shown = splits.validation.take(np.arange(min(SHOWN, len(splits.validation))))
    return [
        Meter(views * len(splits.train), recipe.training.batch_size, recipe.training.epochs, seconds=seconds),
        board,
        Gallery(folder / "tensorboard" / "validation", recipe, shown, splits.labels, inputs),
    ]


class Meter(keras.callbacks.Callback):  # type: ignore[misc]
    """Shows images per second and the time left: a bar on a terminal, a line per epoch in the log.

    The time left is that of all epochs, or of the `seconds` of a time budget where these are fewer.
    """

    def __init__(
        self,
        images: int,
        batch_size: int,
        epochs: int,
        console: Console | None = None,
        seconds: float | None = None,
    ) -> None:
        super().__init__()
        self._end = math.inf if seconds is None else time.monotonic() + seconds
        self.async_safe = True
        self._images, self._steps, self._epochs = images, math.ceil(images / batch_size), epochs
        self._first = self._epoch = 0
        self._started = self._began = self._spoke = 0.0
        self._spoken_rate = ""
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[rate]}"),
            TextColumn("{task.fields[left]}"),
            console=console or Console(stderr=True),
            transient=True,
        )

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Start the clock, and the bar where somebody sees it."""
        self._epoch, self._began = epoch, time.monotonic()
        self._spoke = self._began
        if not self._started:
            self._first, self._started = epoch, self._began
            total, done = self._epochs * self._steps, epoch * self._steps
            self._task = self._bar.add_task("", total=total, completed=done, rate="", left="")
        if self._bar.console.is_terminal:
            self._bar.start()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Move the bar; where there is none, say something at times."""
        rate = self._spoken_rate = self._rate((batch + 1) / self._steps)
        if self._bar.live.is_started:
            place = f"epoch {self._epoch + 1}/{self._epochs}"
            done = self._epoch * self._steps + batch + 1
            left = str(timedelta(seconds=self._left(done / self._steps)))
            self._bar.update(self._task, completed=done, description=place, rate=rate, left=left)
        elif time.monotonic() - self._spoke > QUIET_SECONDS:
            self._spoke = time.monotonic()
            log.info("epoch %d: step %d of %d, %s", self._epoch + 1, batch + 1, self._steps, rate)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Log the epoch's figures in one line."""
        self._hide()
        figures = ", ".join(f"{name} {value:.4f}" for name, value in (logs or {}).items())
        log.info(
            "epoch %d of %d: %s; %s, %d:%02d left",
            epoch + 1,
            self._epochs,
            figures,
            self._spoken_rate,
            *divmod(0 if self.model.stop_training else self._left(epoch + 1), 60),
        )

    def _left(self, epochs: float) -> int:
        """Return the seconds that are left after so many epochs."""
        now = time.monotonic()
        each = (now - self._started) / max(epochs - self._first, 1e-6)
        return max(0, round(min(each * (self._epochs - epochs), self._end - now)))

    def on_train_end(self, logs: Any = None) -> None:
        """Take the bar away."""
        self._hide()

    def _hide(self) -> None:
        if self._bar.live.is_started:
            self._bar.stop()

    def _rate(self, part: float) -> str:
        seconds = max(time.monotonic() - self._began, 1e-6)
        return f"{part * self._images / seconds:,.0f} images/s"


class Gallery(keras.callbacks.Callback):  # type: ignore[misc]
    """Writes the graph once, and after every epoch the answers for the same samples as pictures.

    `inputs` are what the model takes in for these samples and perhaps more, where that is not their images;
    it is then only a part of the network, and has no graph written. It goes before `AveragedWeights`, so that
    the answers are those of the averaged weights.
    """

    def __init__(
        self, folder: Path, recipe: Recipe, samples: Samples, labels: tuple[str, ...], inputs: Any = None
    ) -> None:
        super().__init__()
        self._folder, self._samples, self._labels = folder, samples, labels
        self._recipe, self._task = recipe, TASKS[recipe.task]
        self._whole = inputs is None
        images = normalise(samples.images, recipe.input.normalisation) if inputs is None else inputs
        self._inputs = keras.tree.map_structure(lambda rows: rows[: len(samples)], images)
        self._answers: dict[str, Any] = {}

    def on_train_begin(self, logs: Any = None) -> None:
        """Open the event file and write the graph of one answer."""
        self._writer = tf.summary.create_file_writer(str(self._folder))
        if keras.backend.backend() == "tensorflow" and self._whole:
            answer = tf.function(lambda image: self.model(image, training=False))
            spec = tf.TensorSpec([None, *self._inputs.shape[1:]], tf.float32, name="image")
            with self._writer.as_default():
                tf.summary.graph(answer.get_concrete_function(spec).graph)

    def on_test_end(self, logs: Any = None) -> None:
        """Answer with the weights that were tested."""
        answers = heads.answer(self.model, self._recipe, self._inputs)
        self._answers = {name: keras.ops.convert_to_numpy(rows) for name, rows in answers.items()}

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Draw and write."""
        pictures = draw_samples(self._task, self._samples, self._answers, self._labels)
        with self._writer.as_default():
            tf.summary.image("samples", pictures, step=epoch, max_outputs=SHOWN)

    def on_train_end(self, logs: Any = None) -> None:
        """Close the event file."""
        self._writer.close()
