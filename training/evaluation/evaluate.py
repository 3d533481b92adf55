"""Checkpoint to figures, as data: what the model gets right on samples that training never saw.

A run keeps `evaluation.json` (the test split's) and `calibration.json`, the temperature: fitted on the
validation split whenever a run is evaluated, and part of the exported network.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
from numpy.typing import NDArray

from training.datasets import Samples, Splits
from training.evaluation import calibration, chosen, familiarity, remarks, sheets, stitching
from training.fit.checkpoints import Row, replace_text
from training.fit.runs import Run, read_history
from training.inputs.normalisation import normalise
from training.schema import Recipe
from training.tasks import grouping, heads
from training.tasks.baselines import Baseline
from training.tasks.registry import TASKS
from training.tasks.task import Found, Outputs, TrainedTask

Split = Literal["test", "validation"]

_AT_ONCE = 2**22
"""So many pixels are answered at once, and at most 64 images."""

SHOWN = 12
"""So many of the worst and of the best samples are kept by their rows."""


@dataclass(frozen=True)
class Evaluation:
    """Figures of one split: `headline` names the one that stands for the model.

    `details` has what a report shows besides: `intervals` (95 %, by figure), `confusion` (rows are the
    truth), `calibration` (before and after), `overlaps` of boxes, `groups` (figures of each group of labels),
    `ranking` (rows of the worst and best samples), `familiarity` (how it comes about, and how often it is
    wrong). `baselines` are the same figures of the best answer that never looks at an image, `remarks` what
    is wrong, in sentences. Runs evaluated long ago have none of it.
    """

    split: str
    count: int
    headline: str
    figures: dict[str, float]
    per_class: dict[str, dict[str, float]]
    details: dict[str, Any] = field(default_factory=dict)
    baselines: dict[str, Baseline] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


def evaluate(run: Run, data_dir: Path, split: Split = "test") -> Evaluation:
    """Fit the temperature on validation, then measure the run's best checkpoint on the split.

    Writes calibration.json, familiarity.npz and evaluation.json (evaluation-validation.json for validation)
    into the run, and which image is in which part as split.csv, what was answered for each as
    predictions.csv.
    """
    splits = run.recipe.load(data_dir)
    model = run.model()  # once: of a deep network it takes a second
    calibrate(run, splits.validation, model)
    known = _familiarity(model, run, splits, split)
    tiles = splits.test if split == "test" else splits.validation
    splits = stitching.whole(splits)
    samples = splits.test if split == "test" else splits.validation
    task = TASKS[run.recipe.task]
    parts = stitching.stitched(answers(model, run, tiles.images), tiles)
    found = replace(
        task.collect(parts, samples),
        threshold=chosen.threshold(run),
        label_thresholds=chosen.label_thresholds(run),
    )
    softened = _softened(found, chosen.temperature(run))
    measured = _measure(task, found, samples, run.labels, chosen.temperature(run))
    result = replace(_with_groups(measured, softened, run.groups), split=split)
    result = judged(result, run.recipe, splits, run.labels, read_history(run.folder / "history.csv"))
    result = replace(result, details=result.details | known)
    replace_text(run.folder / _file_name(split), as_text(result, len(run.labels)))
    columns = task.columns(softened, samples, run.labels)
    if run.groups:
        columns |= grouping.columns(softened.rows, softened.true, run.groups)
    sheets.write(run.folder, split, splits, run.recipe.data, columns)
    return result


def as_text(result: Evaluation, label_count: int) -> str:
    """Return an evaluation as the JSON that is kept."""
    # A thousand labels have a million cells, each of which would have a line of its own.
    return json.dumps(asdict(result), indent=2 if label_count <= 100 else None, ensure_ascii=False) + "\n"


def judged(
    result: Evaluation, recipe: Recipe, splits: Splits, labels: tuple[str, ...], history: list[Row]
) -> Evaluation:
    """Return the evaluation with its baselines, and with what they and the history say in plain words."""
    splits = stitching.whole(splits)
    samples = splits.test if result.split == "test" else splits.validation
    task = TASKS[recipe.task]
    known = task.baselines(splits.train, samples, labels)
    if splits.groups and splits.train.labels is not None and samples.labels is not None:
        known |= grouping.constant_answers(splits.train.labels, samples.labels, splits.groups)
    said = remarks.compare(result.figures, known, result.details.get("intervals", {}), result.count)
    if "confusion" in result.details and not (task.one_label_is_meant and _same(samples, labels)):
        said += remarks.missed(result.details["confusion"], labels, pixels=task.per_pixel)
    if "label_thresholds" in result.details:
        said += remarks.never_right(result.per_class, len(labels))
    monitor = heads.monitor(recipe, history)
    said += remarks.fitting(history, monitor, known, len(splits.validation))
    beside = {name: baseline for name, baseline in known.items() if name in result.figures}
    return replace(result, baselines=beside, remarks=said)


def _same(samples: Samples, labels: tuple[str, ...]) -> bool:
    """Whether all have the same label."""
    return len(labels) == 1 or (samples.labels is not None and len(np.unique(samples.labels)) == 1)


def read(run: Run, split: Split = "test") -> Evaluation | None:
    """Return what `evaluate` wrote, or None where it has not."""
    path = run.folder / _file_name(split)
    return revive(chosen.kept(path)) if path.is_file() else None


def revive(table: dict[str, Any]) -> Evaluation:
    """Return the evaluation that was written as this table, now or by an earlier version."""
    known = {name: Baseline(**one) for name, one in table.get("baselines", {}).items()}
    return Evaluation(**{**table, "baselines": known})


def _file_name(split: Split) -> str:
    return "evaluation.json" if split == "test" else f"evaluation-{split}.json"


def calibrate(run: Run, validation: Samples, model: keras.Model) -> None:
    """Fit the run's temperature on what its model answers for validation, choose the threshold where the task
    has one to choose, and write calibration.json.
    """
    (run.folder / chosen.FILE).unlink(missing_ok=True)
    task = TASKS[run.recipe.task]
    found = task.collect(answers(model, run, validation.images), validation)
    rows, true = found.judged
    # Of one label there is no doubt that a temperature could mend.
    fitted = calibration.fit(rows, true, len(validation)) if rows.shape[1] > 1 else 1.0
    known: dict[str, Any] = {"temperature": fitted, "fitted_on": "validation", "count": len(validation)}
    if task.choose_threshold:
        known["threshold"] = task.choose_threshold(_softened(found, fitted), validation)
    if task.choose_label_thresholds:
        known["label_thresholds"] = task.choose_label_thresholds(_softened(found, fitted), validation)
    replace_text(run.folder / chosen.FILE, json.dumps(known) + "\n")


def _familiarity(model: keras.Model, run: Run, splits: Splits, split: Split) -> dict[str, Any]:
    """Fit what the run's network knows its kind of image by, and return what is told of it, if it is told."""
    rule = run.recipe.input.normalisation
    known = familiarity.learn(model, rule, splits)
    familiarity.write(run.folder, known)
    if known is None:
        return {}
    samples = splits.test if split == "test" else splits.validation
    return {familiarity.NAME: familiarity.measure(known, model, rule, samples, split)}


def calibrated(run: Run) -> keras.Model:
    """Rebuild the run's network with its best weights and its temperature: what is exported."""
    model = run.model()
    calibration.apply(model, chosen.temperature(run))
    return model


def predict(run: Run, images: NDArray[np.uint8]) -> Outputs:
    """Answer uint8 images `[N, H, W, C]` with the run's calibrated Keras model: its outputs by name."""
    return answer(calibrated(run), run, images)


def answer(model: keras.Model, run: Run, images: NDArray[np.uint8]) -> Outputs:
    """Like `predict`, with a model that is built already."""
    parts = list(answers(model, run, images))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def answers(model: keras.Model, run: Run, images: NDArray[np.uint8]) -> Iterator[Outputs]:
    """Answer images some at a time, as probabilities of many masks may be more than the memory holds."""
    size = max(1, min(64, _AT_ONCE // (images.shape[1] * images.shape[2])))
    for start in range(0, len(images), size):
        batch = normalise(images[start : start + size], run.recipe.input.normalisation)
        found = heads.answer(model, run.recipe, batch)
        outputs = {name: keras.ops.convert_to_numpy(rows) for name, rows in found.items()}
        if not all(np.isfinite(rows).all() for rows in outputs.values()):
            raise chosen.EvaluationError(
                f"{run.folder} answers with what is no number: its training has diverged."
            )
        yield outputs


@dataclass(frozen=True)
class Told:
    """What a version says of its labels and answers: the group of each label, and the thresholds."""

    groups: grouping.Groups = ()
    threshold: float = 0.0
    label_thresholds: tuple[float, ...] = ()


def measure(
    task: TrainedTask,
    parts: Iterable[Outputs],
    samples: Samples,
    labels: tuple[str, ...],
    objects: NDArray[np.int32] | None = None,
    told: Told = Told(),
) -> Evaluation:
    """Compare outputs with the truth in `samples`, as test samples.

    The outputs come in parts, in the order of the samples. `objects` `[N, H, W]` are the separate objects of
    masks as they were answered; where not given, the service's way of separating finds them.
    """
    found = replace(
        task.collect(parts, samples), threshold=told.threshold, label_thresholds=told.label_thresholds
    )
    return _with_groups(_measure(task, found, samples, labels, objects=objects), found, told.groups)


def _softened(found: Found, temperature: float) -> Found:
    return found if temperature == 1 else replace(found, rows=calibration.soften(found.rows, temperature))


def _measure(
    task: TrainedTask,
    found: Found,
    samples: Samples,
    labels: tuple[str, ...],
    temperature: float = 1.0,
    objects: NDArray[np.int32] | None = None,
) -> Evaluation:
    """Measure what was answered before the temperature; the details say how sure it is before and after."""
    softened = _softened(found, temperature)
    calibrations: dict[str, Any] = {
        "temperature": temperature,
        "before": calibration.describe(*found.judged),
        "after": calibration.describe(*softened.judged),
    }
    measured = task.measure(softened, samples, labels, objects)
    figures, details = dict(measured.figures), {}
    if measured.confusion is not None:
        details["confusion"] = measured.confusion.tolist()
    if found.rows.shape[1] > 1:  # of one label there is no doubt
        details["calibration"] = calibrations
        if task.per_pixel:
            for each in (calibrations["before"], calibrations["after"]):
                del each["chance"]  # pixels are no samples of their own
        else:
            # Pixels' probabilities are not served, so that of masks nobody could check it.
            figures["ece"] = calibrations["after"]["ece"]
    details |= measured.details
    details["intervals"] = measured.intervals
    order = np.argsort(measured.good, kind="stable")
    details["ranking"] = {"worst": order[:SHOWN].tolist(), "best": order[::-1][:SHOWN].tolist()}
    return Evaluation("test", len(samples), measured.headline, figures, measured.per_class, details)


def _with_groups(result: Evaluation, found: Found, groups: grouping.Groups) -> Evaluation:
    """Return the evaluation with the figures of the labels' groups, if any: how often the group is right, and
    how far its score can be believed.
    """
    if not groups:
        return result
    own, intervals, per_group = grouping.measure(found.rows, found.true, groups)
    rows, true = grouping.scores(found.rows, groups), grouping.indices(groups)[found.true]
    own["group_ece"] = calibration.expected_error(calibration.reliability(rows, true))
    known = result.details
    details = known | {"groups": per_group, "intervals": known["intervals"] | intervals}
    return replace(result, figures=result.figures | own, details=details)
