"""Training on several devices of one machine, or on several machines: the same recipe, run and checkpoints.

`scope` chooses the strategy; within it `fit` stands for `Model.fit`, and `share` leaves each host its part of
every batch. The batch size is that of all devices together. On several machines
(`MultiWorkerMirroredStrategy`) every worker takes the same steps, callbacks included, so that all decide
alike; all but the first do so in a folder that is deleted afterwards. `Model.fit` itself fails there (keras
issue 20585), hence the loop here.

Gradients are clipped by each device before they are summed, as Keras does.
"""

import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from training.fit.runs import lock_of

Devices = Literal["one", "all", "hosts"]


class DistributionError(Exception):
    """The devices or hosts asked for cannot train this. The text says what would be right."""


@dataclass(frozen=True)
class Worker:
    """One of the processes that train, and where it writes its run: the chief into the run's own folder."""

    folder: Path
    chief: bool


@contextmanager
def scope(devices: Devices, folder: Path, *, resume: bool = False) -> Iterator[Worker]:
    """Train what is built inside on `one` device, `all` GPUs of this machine, or all `hosts`.

    The hosts are those of TF_CONFIG, or of the Slurm job step (`srun`). Enter it before anything else uses
    TensorFlow. Without a GPU, `all` means the logical CPU devices. Only the chief's folder is kept.
    """
    if devices == "one":
        yield Worker(folder, chief=True)
    elif keras.backend.backend() != "tensorflow":
        raise DistributionError(f"--devices {devices} needs KERAS_BACKEND=tensorflow.")
    elif devices == "all":
        chosen = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        with tf.distribute.MirroredStrategy([device.name for device in chosen]).scope():
            yield Worker(folder, chief=True)
    else:
        index = _join_hosts()
        with tf.distribute.MultiWorkerMirroredStrategy().scope(), _worker(folder, index, resume) as worker:
            yield worker


def _join_hosts() -> int:
    """Make sure of TF_CONFIG and return this process's number in it."""
    if "TF_CONFIG" not in os.environ and "SLURM_STEP_NUM_TASKS" in os.environ:
        os.environ["TF_CONFIG"] = json.dumps(_slurm_config())
    try:
        config = json.loads(os.environ["TF_CONFIG"])
        task = config["task"]
        return int(config["cluster"]["worker"].index(config["cluster"][task["type"]][int(task["index"])]))
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise DistributionError(
            "--devices hosts needs TF_CONFIG with cluster.worker and task, or a Slurm job step (srun)."
        ) from error


def _slurm_config() -> dict[str, Any]:
    """Return TF_CONFIG for this task of a Slurm job step; its GPUs are those that Slurm shows it."""
    resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
        # Two jobs may share a machine.
        port_base=20000 + int(os.environ.get("SLURM_JOB_ID", "0")) % 20000,
        # It cannot count to no GPU, and the addresses do not depend on them.
        gpus_per_node=int(os.environ["SLURM_STEP_NUM_TASKS"]),
        gpus_per_task=1,
        auto_set_gpu=False,
    )
    cluster = resolver.cluster_spec().as_dict()
    kind, index = resolver.get_task_info()
    return {"cluster": cluster, "task": {"type": kind, "index": index}}


@contextmanager
def _worker(folder: Path, index: int, resume: bool) -> Iterator[Worker]:
    if index == 0:
        yield Worker(folder, chief=True)
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    # A sibling: recipes that start from another run look for it next to their own.
    own = Path(tempfile.mkdtemp(prefix=f".{folder.name}-worker-{index}-", dir=folder.parent))
    try:
        if resume:
            if not folder.is_dir():
                raise DistributionError(f"{folder} is not on this host: resuming needs a shared file system.")
            shutil.copytree(folder, own, dirs_exist_ok=True)
        yield Worker(own, chief=False)
    finally:
        shutil.rmtree(own, ignore_errors=True)
        lock_of(own).unlink(missing_ok=True)


def _hosts() -> Any:
    """Return the strategy where it spans several hosts, else None."""
    strategy = tf.distribute.get_strategy()
    return strategy if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) else None


def alone() -> bool:
    """Whether one device of one process trains."""
    return _hosts() is None and tf.distribute.get_strategy().num_replicas_in_sync == 1


def share(batches: Any, *, training: bool) -> Any:
    """Return what this process computes of a dataset of batches of row numbers.

    A batch may be a tuple: what follows the rows is kept. Each device's part of a batch holds equally many
    rows, some of them twice where a batch does not divide: an empty part has neither a gradient nor
    statistics, and a small one would count as much as the others. On several hosts the parts are dealt here,
    one device's after the other, and all must get the batches in the same order; the devices of one process
    are dealt theirs by TensorFlow, in equal parts.
    """
    parts = tf.distribute.get_strategy().num_replicas_in_sync
    if parts == 1:
        return batches
    hosts = _hosts()
    local = len(hosts.extended.worker_devices) if hosts else parts
    first = hosts.cluster_resolver.task_id * local if hosts else 0

    def whole(*batch: Any) -> Any:
        rows, *rest = batch
        count = tf.shape(rows)[0]
        rows = tf.gather(rows, tf.range(-(-count // parts) * parts) % count)
        return (rows, *rest) if rest else rows

    def split(*batch: Any) -> Any:
        rows, *rest = batch

        def part(number: Any) -> Any:
            chosen = rows[tf.cast(number, tf.int32) :: parts]
            return (chosen, *rest) if rest else chosen

        return tf.data.Dataset.range(first, first + local).map(part)

    filled = batches.map(whole)
    return filled.flat_map(split) if hosts else filled


def agreement() -> Callable[[int], int] | None:
    """Return what turns each host's number into the chief's, called by all at once; None for one host."""
    strategy = _hosts()
    if strategy is None:
        return None
    local = len(strategy.extended.worker_devices)
    chief = strategy.cluster_resolver.task_id == 0

    def agree(number: int) -> int:
        share = tf.constant(number / local if chief else 0.0, tf.float64)
        return round(float(_over_hosts(strategy, [share], "SUM")[0]))

    return agree


def mean_over_hosts(values: NDArray[Any]) -> NDArray[Any]:
    """Return the mean of what several hosts have measured, of each its own; on one host, what was given."""
    strategy = _hosts()
    if strategy is None:
        return values
    return np.asarray(_over_hosts(strategy, [tf.constant(values, tf.float32)], "MEAN")[0])


def _over_hosts(strategy: Any, values: list[Any], how: str) -> list[Any]:
    """Reduce values over all devices, and return what came out on this host's first."""
    reduce = tf.function(lambda given: strategy.run(_all_reduce, args=(given, how)))
    return [strategy.experimental_local_results(value)[0] for value in reduce(values)]


def fit(model: keras.Model, train: Any, validation: Any, **options: Any) -> None:
    """Fit a compiled model to batched datasets: `Model.fit`, or the same on several hosts.

    `options` are those of `Model.fit`, of which several hosts take epochs, initial_epoch, steps_per_epoch,
    callbacks and verbose.
    """
    strategy = _hosts()
    if strategy is None:
        model.fit(train, validation_data=validation, **options)
        return
    verbose = options.get("verbose", 2)
    callbacks = keras.callbacks.CallbackList(
        options.get("callbacks", []),
        add_history=True,
        add_progbar=verbose != 0,
        model=model,
        verbose=verbose,
        epochs=options["epochs"],
        steps=options.get("steps_per_epoch"),
    )
    loop = _Loop(model, strategy, callbacks)
    loop.run(train, validation, options.get("initial_epoch", 0), options["epochs"])


class _Loop:
    """`Model.fit` of Keras 3.15 step by step, with what several hosts must agree on."""

    def __init__(self, model: keras.Model, strategy: Any, callbacks: Any) -> None:
        self._model = model
        self._strategy = strategy
        self._callbacks = callbacks
        self._train_step = tf.function(lambda batch: strategy.run(model.train_step, args=(batch,)))
        self._test_step = tf.function(lambda batch: strategy.run(model.test_step, args=(batch,)))

    def run(self, train: Any, validation: Any, first: int, last: int) -> None:
        """Train the epochs from `first`, or where BackupAndRestore says, up to but without `last`."""
        model, callbacks = self._model, self._callbacks
        model.stop_training = False
        train, validation = (
            self._strategy.distribute_datasets_from_function(lambda _, part=part: part)
            for part in (train, validation)
        )
        epochs = self._epochs(train)
        callbacks.on_train_begin()
        logs: dict[str, float] = {}
        for epoch in range(model._initial_epoch or first, last):
            callbacks.on_epoch_begin(epoch)
            logs = self._train_epoch(next(epochs))
            logs |= {f"val_{name}": value for name, value in self._validate(validation).items()}
            callbacks.on_epoch_end(epoch, logs)
            if self._any_host(model.stop_training):
                break
        model.optimizer.finalize_variable_values(model.trainable_weights)
        callbacks.on_train_end(logs)

    def _epochs(self, train: Any) -> Iterator[Iterator[Any]]:
        """Yield each epoch's batches: all of the dataset, or with steps_per_epoch the next ones of it."""
        steps = self._callbacks.params["steps"]
        running = iter(train)
        while True:
            yield itertools.islice(running, steps) if steps else iter(train)

    def _train_epoch(self, batches: Iterator[Any]) -> dict[str, float]:
        self._model.reset_metrics()
        step = 0
        for step, batch in enumerate(batches):
            self._callbacks.on_train_batch_begin(step)
            self._train_step(batch)
            # Metrics are gathered from all hosts: once per epoch is enough.
            self._callbacks.on_train_batch_end(step)
            # In the midst of an epoch only a time budget says so, and all hosts' at the same step.
            if self._model.stop_training:
                break
        logs = self._metrics()
        self._callbacks.on_train_batch_end(step, logs)
        self._average_statistics()
        return logs

    def _validate(self, validation: Any) -> dict[str, float]:
        self._model.reset_metrics()
        self._callbacks.on_test_begin()
        for batch in validation:
            self._test_step(batch)
        logs = self._metrics()
        self._callbacks.on_test_end(logs)
        return logs

    def _metrics(self) -> dict[str, float]:
        return {name: float(value) for name, value in self._model.get_metrics_result().items()}

    def _average_statistics(self) -> None:
        """Give all devices the mean of what batch normalisation saw: each knows its own share only."""
        seen = [v.value for v in self._model.non_trainable_variables if v.dtype == "float32"]
        if seen:
            means = _over_hosts(self._strategy, [tf.convert_to_tensor(variable) for variable in seen], "MEAN")
            for variable, mean in zip(seen, means, strict=True):
                variable.assign(mean)

    def _any_host(self, stop: bool) -> bool:
        """Say whether any host wants to stop: a time budget ends on each at its own moment."""
        return float(_over_hosts(self._strategy, [tf.constant(float(stop))], "SUM")[0]) > 0


def _all_reduce(values: list[Any], how: str) -> Any:
    # An argument has no device yet, which the reduction asks for.
    placed = [tf.identity(value) for value in values]
    return tf.distribute.get_replica_context().all_reduce(how, placed)
