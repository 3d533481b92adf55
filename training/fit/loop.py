"""`train(recipe, folder)`: data, network, optimiser, callbacks, fit. What it leaves is told in `runs.py`."""

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import keras

from training.datasets import Splits
from training.fit import distributed, monitoring, optimizers, transfer
from training.fit.averaging import AveragedWeights
from training.fit.budget import Budget
from training.fit.checkpoints import Checkpoints, Row, read_last, replace_text, restore, waited, write_history
from training.fit.pipeline import class_weights, pipeline
from training.fit.runs import Run, RunError, check_place, held, open_run, remove
from training.fit.transfer import Phase
from training.schema import Recipe
from training.tasks import heads
from training.tasks.registry import TASKS

log = logging.getLogger("training")

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

    @property
    def steps(self) -> int:
        """Batches per epoch."""
        return -(-len(self.splits.train) // self.run.recipe.training.batch_size)

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
    _prepare(recipe, folder, resume=resume, fresh=fresh)
    with held(folder):
        # Another process may have begun, or ended, a moment ago.
        _prepare(recipe, folder, resume=resume, fresh=fresh)
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
        session.taken = _first_weights(session.model, run)
    if fresh:
        remove(folder)
    _write(run, session.taken)
    with _logging_to(folder / "train.log"):
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


@contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    level = log.level
    if log.getEffectiveLevel() > logging.INFO:
        log.setLevel(logging.INFO)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.setLevel(level)
        log.removeHandler(handler)
        handler.close()


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
    recipe, model = session.run.recipe, session.model
    before = sum(row["phase"] < phase.number for row in session.rows)
    done = sum(row["phase"] == phase.number for row in session.rows)
    if any(row["phase"] > phase.number for row in session.rows):
        return weights
    transfer.set_trainable(model, recipe, phase, session.taken)
    optimizer = optimizers.build(recipe.training, session.steps * phase.epochs, phase.learning_rate)
    label_count = len(session.splits.labels)
    classes = TASKS[recipe.task].loss_classes(session.splits.train) if recipe.training.balance else None
    balance = class_weights(classes, label_count) if classes is not None else None
    heads.compile_model(model, recipe, label_count, optimizer, class_weights=balance)
    if weights:
        restore(model, weights)
    if done < phase.epochs and not _ended(session, phase):
        _fit(session, phase, (before + done, before + phase.epochs))
    else:
        optimizer.finalize_variable_values(model.trainable_variables)
    return None


def _ended(session: _Session, phase: Phase) -> bool:
    """Whether a run that is resumed had come to its end before its last epoch."""
    if not session.rows:
        return False
    patience = session.run.recipe.training.patience
    if patience and not phase.frozen and waited(session.rows, session.monitor, phase.number) >= patience:
        return True
    seconds = _seconds_left(session, phase)
    return seconds is not None and seconds <= 0


def _seconds_left(session: _Session, phase: Phase | None = None) -> float | None:
    """Return the time budget, or its part until the phase's end, less what is spent; None without one."""
    recipe = session.run.recipe
    if not recipe.training.max_minutes:
        return None
    epochs = sum(part.epochs for part in transfer.phases(recipe)[: phase.number if phase else None])
    spent = sum(row["seconds"] for row in session.rows)
    return 60 * recipe.training.max_minutes * epochs / recipe.training.epochs - spent


def _fit(session: _Session, phase: Phase, epochs: tuple[int, int]) -> None:
    recipe, splits = session.run.recipe, session.splits
    label_count = len(splits.labels)
    distributed.fit(
        session.model,
        pipeline(splits.train, recipe, label_count, training=True, epochs=epochs),
        pipeline(splits.validation, recipe, label_count, training=False),
        initial_epoch=epochs[0],
        epochs=epochs[1],
        steps_per_epoch=session.steps,
        shuffle=False,  # the pipeline does it; Keras warns that it cannot
        callbacks=_callbacks(session, phase),
        verbose=0,
    )


def _callbacks(session: _Session, phase: Phase) -> list[keras.callbacks.Callback]:
    recipe = session.run.recipe
    settings = recipe.training
    keeper = Checkpoints(session.run.folder, session.monitor, session.rows, phase.number, settings.seed)
    keeper.patience = 0 if phase.frozen else settings.patience
    seconds = _seconds_left(session, phase)
    shown = monitoring.callbacks(session.run.folder, recipe, session.splits, _seconds_left(session))
    callbacks = [keeper, *session.extra, *shown]
    if settings.ema:
        batches = pipeline(session.splits.train, recipe, len(session.splits.labels), training=True)
        callbacks.append(AveragedWeights(batches.take(STATISTIC_BATCHES), distributed.mean_over_hosts))
    if seconds is not None:
        done = sum(row["phase"] == phase.number for row in session.rows)
        callbacks.append(Budget(seconds, session.steps, phase.epochs, done, distributed.agreement()))
    return callbacks


def _first_weights(model: keras.Model, run: Run) -> list[str]:
    """Take over the weights that the recipe starts from, if any; return the names of their layers."""
    if run.recipe.transfer.weights == "imagenet":
        return transfer.take_over_imagenet(model, run.recipe)
    path = _donor(run.recipe, run.folder)
    if path is None:
        return []
    if not path.is_dir():
        return transfer.take_over_file(model, path)
    if (path / transfer.VERSION).is_file():
        taken = transfer.take_over_version(model, path)
        keras.config.set_dtype_policy(run.recipe.training.precision)
        return taken
    donor = open_run(path).model()
    keras.config.set_dtype_policy(run.recipe.training.precision)
    return transfer.take_over(model, donor, str(path))


def _donor(recipe: Recipe, folder: Path) -> Path | None:
    """Return the file or run that the first weights come from, None where they come from neither."""
    weights = recipe.transfer.weights
    if weights == "imagenet" or not (weights or recipe.start_from):
        return None
    return Path(weights) if weights else folder.parent / recipe.start_from


def _prepare(recipe: Recipe, folder: Path, *, resume: bool, fresh: bool) -> None:
    """Raise RunError where the run cannot begin, before anything is read or deleted."""
    check_place(recipe, folder, "--runs-dir")
    _check_begun(recipe, folder, resume=resume, fresh=fresh)
    donor = None if resume else _donor(recipe, folder)
    if donor is None:
        return
    if donor.resolve() == folder.resolve():
        raise RunError(
            f"The weights would come from {folder}, which this run would replace: give the new run another "
            f"name, in a recipe file of your own."
        )
    if not recipe.transfer.weights and not (donor / "recipe.json").is_file():
        raise RunError(
            f"{recipe.name} starts from the run {recipe.start_from}, and there is no {donor}: "
            f"`python -m training train {recipe.start_from}` first."
        )
    if donor.is_dir():
        if not (donor / transfer.VERSION).is_file():
            open_run(donor)
    elif not donor.is_file():
        raise transfer.TransferError(
            f"There are no weights {donor}: give imagenet, a file, a run's folder, or that of a version."
        )


def _check_begun(recipe: Recipe, folder: Path, *, resume: bool, fresh: bool) -> None:
    begun = (folder / "recipe.json").is_file()
    if begun and not (resume or fresh):
        raise RunError(
            f"{folder} holds a run already: add --resume to go on with it, or --fresh to start over."
        )
    if resume and not begun:
        others = sorted(path.parent.name for path in folder.parent.glob("*/recipe.json"))
        raise RunError(f"{folder} holds no run to resume. There are: {', '.join(others) or 'none'}.")
    epochs = len(read_last(folder / "checkpoints")[1]) if resume else 0
    if epochs > recipe.training.epochs:
        raise RunError(f"{folder} has {epochs} epochs already: --epochs must be that many at least.")
