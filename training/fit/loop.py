"""`train(recipe, folder)`: data, network, optimiser, callbacks, fit. What it leaves is told in `runs.py`."""

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import keras

from training.datasets import Splits
from training.fit import beginning, distributed, features, monitoring, optimizers, transfer
from training.fit.averaging import AveragedWeights
from training.fit.budget import Budget
from training.fit.checkpoints import Checkpoints, Row, read_last, replace_text, restore, waited, write_history
from training.fit.features import Cut, Fed
from training.fit.pipeline import class_weights, pipeline
from training.fit.runs import Run, held, logging_to, open_run, remove
from training.fit.transfer import Phase
from training.schema import Recipe
from training.tasks import heads
from training.tasks.registry import TASKS

log = logging.getLogger("training")

CACHED_PART = 0.5
"""Of a time budget, at most this part is spent on the frozen epochs where their features are cached."""

STATISTIC_BATCHES = 16
"""On so many batches the statistics of averaged weights are measured."""


@dataclass
class _Session:
    """One process's part of a run: what every phase needs."""

    run: Run
    splits: Splits
    model: keras.Model
    taken: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    extra: Sequence[keras.callbacks.Callback] = ()

    def steps(self, views: int) -> int:
        """Return the batches of an epoch that passes over so many views of each image."""
        return -(-views * len(self.splits.train) // self.run.recipe.training.batch_size)

    @property
    def monitor(self) -> str:
        """The figure that chooses the best epoch."""
        return heads.monitor(self.run.recipe, self.rows)


def train(
    recipe: Recipe,
    folder: Path,
    data_dir: Path,
    *,
    resume: bool = False,
    fresh: bool = False,
    extra: Sequence[keras.callbacks.Callback] = (),
) -> Run:
    """Train `recipe` into `folder`; with `resume`, go on after the last finished epoch there.

    With `fresh`, a run that is there already goes, but only when the new one has all that it needs to begin.
    `extra` callbacks are told of an epoch when its checkpoint is on disk, and of the end of a test while the
    weights that were tested are in the model.
    """
    beginning.prepare(recipe, folder, resume=resume, fresh=fresh)
    with held(folder):
        # Another process may have begun, or ended, a moment ago.
        beginning.prepare(recipe, folder, resume=resume, fresh=fresh)
        return _train(recipe, folder, data_dir, resume=resume, fresh=fresh, extra=extra)


def _train(
    recipe: Recipe,
    folder: Path,
    data_dir: Path,
    *,
    resume: bool,
    fresh: bool,
    extra: Sequence[keras.callbacks.Callback],
) -> Run:
    keras.utils.set_random_seed(recipe.training.seed)
    if resume:
        # What was held out then must be held out now.
        recipe = recipe.model_copy(update={"fingerprint": open_run(folder).recipe.fingerprint})
    splits = recipe.load(data_dir)
    recipe = recipe.model_copy(update={"fingerprint": splits.fingerprint})
    run = Run(folder, recipe, splits.labels, splits.groups)

    keras.config.set_dtype_policy(recipe.training.precision)
    session = _Session(run, splits, heads.build(recipe, len(splits.labels)), extra=extra)
    weights, session.rows = read_last(folder / "checkpoints") if resume else (None, [])
    if weights:
        session.taken = transfer.recall(folder)
        write_history(folder / "history.csv", session.rows)
    else:
        session.taken = beginning.first_weights(session.model, run)
    if fresh:
        remove(folder)
    _write(run, session.taken)
    with logging_to(folder / "train.log"):
        log.info(
            "%s: %d training, %d validation, %d test images; %d parameters",
            recipe.name,
            len(splits.train),
            len(splits.validation),
            len(splits.test),
            session.model.count_params(),
        )
        for reason in recipe.reasons:
            log.info("%s", reason)
        for phase in transfer.phases(recipe):
            weights = _train_phase(session, phase, weights)
    return run


def _write(run: Run, taken: list[str]) -> None:
    """Write what the run is; only when its first weights are there is it a run."""
    run.folder.mkdir(parents=True, exist_ok=True)
    transfer.remember(run.folder, taken)
    replace_text(run.folder / "labels.json", json.dumps(run.labels, ensure_ascii=False) + "\n")
    if run.groups:
        replace_text(run.folder / "groups.json", json.dumps(run.groups, ensure_ascii=False) + "\n")
    (run.folder / "checkpoints").mkdir(exist_ok=True)
    replace_text(run.folder / "recipe.json", run.recipe.model_dump_json(indent=2) + "\n")


def _train_phase(session: _Session, phase: Phase, weights: Path | None) -> Path | None:
    """Train one phase, or what is left of it after the checkpoint `weights`.

    Returns the checkpoint where it is of a later phase.
    """
    recipe, model, slow = session.run.recipe, session.model, session.run.recipe.transfer.backbone_rate
    before = sum(row["phase"] < phase.number for row in session.rows)
    done = sum(row["phase"] == phase.number for row in session.rows)
    if any(row["phase"] > phase.number for row in session.rows):
        return weights
    transfer.set_trainable(model, recipe, phase, session.taken)
    halves = features.cut(model, recipe, session.splits)
    steps = session.steps(halves.views if halves else 1) * phase.epochs
    slowed = transfer.slowed(model, recipe, phase, session.taken)
    optimizer = optimizers.build(recipe.training, steps, phase.learning_rate, slowed, slow)
    label_count = len(session.splits.labels)
    classes = TASKS[recipe.task].loss_classes(session.splits.train) if recipe.training.balance else None
    balance = class_weights(classes, label_count) if classes is not None else None
    for each in (model, halves.rest) if halves else (model,):
        heads.compile_model(each, recipe, label_count, optimizer, class_weights=balance)
    if weights:
        restore(model, weights)
    if done < phase.epochs and not _ended(session, phase):
        _fit(session, phase, (before + done, before + phase.epochs), halves)
    else:
        optimizer.finalize_variable_values(model.trainable_variables)
    return None


def _ended(session: _Session, phase: Phase) -> bool:
    """Whether the run had come to its end before its last epoch, or has no time left for this phase."""
    if not session.rows:
        return False
    patience = session.run.recipe.training.patience
    if patience and not phase.frozen and waited(session.rows, session.monitor, phase.number) >= patience:
        return True
    seconds = _seconds_left(session, phase)
    # Features took the better part of the first epoch, and would have to be computed again.
    least = session.rows[0]["seconds"] if session.run.recipe.transfer.cached_views else 0.0
    return seconds is not None and seconds <= least


def _seconds_left(session: _Session, phase: Phase | None = None) -> float | None:
    """Return the time budget, or its part until the phase's end, less what is spent; None without one."""
    recipe = session.run.recipe
    if not recipe.training.max_minutes:
        return None
    part, phases = 1.0, transfer.phases(recipe)
    if phase and phase.number < len(phases):
        epochs = sum(each.epochs for each in phases[: phase.number])
        part = CACHED_PART if recipe.transfer.cached_views else epochs / recipe.training.epochs
    return 60 * recipe.training.max_minutes * part - sum(row["seconds"] for row in session.rows)


def _fit(session: _Session, phase: Phase, epochs: tuple[int, int], halves: Cut | None) -> None:
    recipe, splits = session.run.recipe, session.splits
    label_count, views = len(splits.labels), halves.views if halves else 1
    # The keeper's clock runs from here: computing features is a part of the first epoch.
    keeper, left, began = _keeper(session, phase, halves), _seconds_left(session, phase), time.monotonic()
    if halves:
        fed = features.feed(halves, splits, recipe, label_count, epochs)
    else:
        fed = Fed(
            pipeline(splits.train, recipe, label_count, training=True, epochs=epochs),
            pipeline(splits.validation, recipe, label_count, training=False),
            lambda: pipeline(splits.train, recipe, label_count, training=True),
        )
    if left is not None and not (halves and phase.frozen):
        # However long the first features take, what learns on them has its time.
        left -= time.monotonic() - began
    distributed.fit(
        halves.rest if halves else session.model,
        fed.train,
        fed.validation,
        initial_epoch=epochs[0],
        epochs=epochs[1],
        steps_per_epoch=session.steps(views),
        shuffle=False,  # the pipeline does it; Keras warns that it cannot
        callbacks=[keeper, *session.extra, *_callbacks(session, phase, fed, views, left)],
        verbose=0,
    )


def _keeper(session: _Session, phase: Phase, halves: Cut | None) -> Checkpoints:
    settings = session.run.recipe.training
    keeper = Checkpoints(session.run.folder, session.monitor, session.rows, phase.number, settings.seed)
    keeper.patience = 0 if phase.frozen else settings.patience
    keeper.keeps_last = settings.keep == "last"
    keeper.whole = session.model if halves else None
    return keeper


def _callbacks(
    session: _Session, phase: Phase, fed: Fed, views: int, seconds: float | None
) -> list[keras.callbacks.Callback]:
    """Return what shows the phase, averages its weights and ends it in time."""
    recipe, spent = session.run.recipe, _seconds_left(session)
    callbacks = monitoring.callbacks(
        session.run.folder, recipe, session.splits, spent, views=views, inputs=fed.shown
    )
    if recipe.training.ema:
        callbacks.append(AveragedWeights(fed.first().take(STATISTIC_BATCHES), distributed.mean_over_hosts))
    if seconds is not None:
        done = sum(row["phase"] == phase.number for row in session.rows)
        callbacks.append(Budget(seconds, session.steps(views), phase.epochs, done, distributed.agreement()))
    return callbacks
