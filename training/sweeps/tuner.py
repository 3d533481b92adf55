"""A sweep on Ray Tune: on this machine, or on a cluster whose machines share this file system.

runs/<sweep>/
    sweep.json          what was asked for
    <trial>/            an ordinary run (see `runs.py`), and its trial.json (see `trial.py`)
    sweep.md  sweep.html  curves-<data set>.png    see `comparison.py`

These files are all that resuming needs, so it works from any moment, and after the folder was moved. Tune's
own state would not do: its schedulers forget their trials with the driver.
"""

import logging
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import ray
import tensorflow as tf
from ray import tune
from ray.tune.progress_reporter import TrialProgressCallback
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler

from training.fit.runs import RunError, check_place, remove
from training.schema import Recipe
from training.sweeps import trial
from training.sweeps.plan import Search, Sweep, SweepError
from training.sweeps.sweep import Trial, problem, trials

log = logging.getLogger("training")

_MAX_EPOCHS = 10**6
"""ASHA ends a trial at this one: never, since a trial ends by itself, after its evaluation."""

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    # Trials keep their own history, and relative paths stay what they are.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    # Ray warns that it will stop hiding GPUs from tasks that ask for none.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


@contextmanager
def cluster(address: str | None = None) -> Iterator[None]:
    """Be in a Ray cluster: the one at `address`, or one on this machine that ends with the block.

    The latter asks for a token of its own, and shows no dashboard. Its sockets and logs are in a temporary
    folder, since the path of a socket must be short.
    """
    os.environ.update(_QUIET)
    options: dict[str, Any] = {"address": address}
    scratch = None
    if address is None:
        # Without one Ray would write a token into the user's home.
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        scratch = tempfile.mkdtemp(prefix="striate-")
        options = {"address": "local", "include_dashboard": False, "_temp_dir": scratch}
    try:
        _connect(options)
        yield
    finally:
        ray.shutdown()
        if scratch:
            shutil.rmtree(scratch, ignore_errors=True)


def _connect(options: dict[str, Any]) -> None:
    try:
        ray.init(**options, log_to_driver=False, logging_level=logging.CRITICAL)
    except Exception as error:
        # Ray raises anything here, bare Exception included.
        where = f"No Ray cluster at {options['address']}"
        raise SweepError(f"{where}: {trial.describe(error)}") from error


def prepare(sweep: Sweep, folder: Path, *, resume: bool, fresh: bool = False) -> None:
    """Make the folder and its sweep.json; SweepError where a trial is invalid or a sweep in the way.

    With `fresh` a sweep that is there already goes, when all trials of the new one are valid.
    """
    for item in trials(sweep):
        _check_place(item.recipe, folder)
        if item.recipe.data and not Path(item.recipe.data).is_dir():
            raise SweepError(f"{sweep.name}: trial {item.name}: there is no folder {item.recipe.data}.")
    if fresh:
        remove(folder, "sweep.json")
    plan = folder / "sweep.json"
    asked = sweep.model_dump_json(indent=2) + "\n"
    if plan.is_file() and not resume:
        raise SweepError(
            f"{folder} holds a sweep already: add --resume to go on with it, or --fresh to start over."
        )
    if resume and not plan.is_file():
        raise SweepError(f"{folder} holds no sweep to resume.")
    if resume and plan.read_text("utf-8") != asked:
        raise SweepError(f"{folder} was begun with another content of the sweep's file: change its name.")
    folder.mkdir(parents=True, exist_ok=True)
    plan.write_text(asked, "utf-8")


def _check_place(recipe: Recipe, folder: Path) -> None:
    try:
        check_place(recipe, folder, "--runs-dir")
    except RunError as error:
        raise SweepError(str(error)) from None


def run(sweep: Sweep, folder: Path, data_dir: Path, *, max_concurrent: int | None = None) -> None:
    """Run in the Ray cluster of this process (see `cluster`) every trial that has not ended or failed before.

    A trial that fails is recorded, and the others go on.
    """
    chosen = trials(sweep)
    waiting = [item for item in chosen if _is_due(trial.read_record(folder / item.name), sweep.search)]
    log.info("%s: %d trials, %d of them to run", sweep.name, len(chosen), len(waiting))
    if waiting:
        _check_room(sweep.search)
        _tune(sweep.search, waiting, folder.resolve(), data_dir.resolve(), max_concurrent)


def failed(sweep: Sweep, folder: Path) -> list[str]:
    """Return the names of the trials that failed."""
    records = {item.name: trial.read_record(folder / item.name) for item in trials(sweep)}
    return [name for name, record in records.items() if record and record.status == "failed"]


def _check_room(search: Search) -> None:
    """Raise SweepError where no machine is large enough for a trial: Ray would wait for one for ever."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    need = {"CPU": search.cpus_per_trial, "GPU": search.gpus_per_trial}
    if any(all(node.get(kind, 0) >= amount for kind, amount in need.items()) for node in nodes):
        return
    there = "; ".join(f"{node.get('CPU', 0):g} and {node.get('GPU', 0):g}" for node in nodes)
    raise SweepError(
        f"A trial asks for {need['CPU']} cores and {need['GPU']:g} GPUs (search.cpus_per_trial, "
        f"gpus_per_trial), and no machine has as many. There are: {there}."
    )


def _is_due(record: trial.Record | None, search: Search) -> bool:
    # ASHA compares with trials that have ended: they tell it their figures again, and do nothing else.
    return search.scheduler == "asha" or record is None or record.status in {"running", "failed"}


def _tune(
    search: Search, waiting: list[Trial], folder: Path, data_dir: Path, max_concurrent: int | None
) -> None:
    def trainable(config: dict[str, Any]) -> None:
        _limit_tensorflow(search.cpus_per_trial)
        recipe = Recipe.model_validate_json(config["trial"]["recipe"])
        trial.run(recipe, folder / recipe.name, data_dir, tune.report)

    space = [
        {"name": item.name, "problem": problem(item.recipe), "recipe": item.recipe.model_dump_json()}
        for item in waiting
    ]
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": search.cpus_per_trial, "gpu": search.gpus_per_trial}),
        param_space={"trial": tune.grid_search(space)},
        tune_config=tune.TuneConfig(
            max_concurrent_trials=max_concurrent,
            scheduler=_PerProblem(search) if search.scheduler == "asha" else FIFOScheduler(),  # type: ignore[no-untyped-call]
            # Another process would import TensorFlow again, for seconds per trial.
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name=".tune", storage_path=str(folder), callbacks=[_Progress(folder)], verbose=0
        ),
    )
    try:
        tuner.fit()
    finally:
        shutil.rmtree(folder / ".tune", ignore_errors=True)


def _limit_tensorflow(cpus: int) -> None:
    """Use no more threads than the trial's cores, and of a shared GPU's memory only what is needed."""
    tf.config.threading.set_intra_op_parallelism_threads(cpus)
    tf.config.threading.set_inter_op_parallelism_threads(cpus)
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, enable=True)


class _Progress(TrialProgressCallback):
    """Logs epochs and ends, in place of Ray's own tables, and records ends that no trial's process can."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        if "figure" in result:
            log.info("%s: epoch %d, %.4f", _name(trial), result["epoch"], result["figure"])

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._close(trial, "stopped")

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._close(trial, "failed", "its process died")

    def _close(self, tuned: Any, status: Literal["stopped", "failed"], reason: str = "") -> None:
        folder = self._folder / _name(tuned)
        record = trial.read_record(folder)
        if record is None or record.status == "running":
            record = trial.settle(folder, status, reason)
        log.info("%s: %s", folder.name, f"{record.status}: {record.reason}".removesuffix(": "))


class _PerProblem(FIFOScheduler):
    """ASHA within each problem: a figure says nothing of those of another."""

    def __init__(self, search: Search) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._search = search
        self._own: dict[str, ASHAScheduler] = {}

    def _of(self, tuned: Any) -> ASHAScheduler:
        name = tuned.config["trial"]["problem"]
        if name not in self._own:
            self._own[name] = ASHAScheduler(
                time_attr="epoch",
                metric="figure",
                mode="max",
                max_t=_MAX_EPOCHS,
                grace_period=self._search.grace_epochs,
                reduction_factor=self._search.reduction,
            )
        return self._own[name]

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        self._of(trial).on_trial_add(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        decision: str = TrialScheduler.CONTINUE
        if "figure" in result:
            decision = self._of(trial).on_trial_result(tune_controller, trial, result)
        return decision


def _name(tuned: Any) -> str:
    return str(tuned.config["trial"]["name"])
