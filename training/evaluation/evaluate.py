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
from training.evaluation import baselines, calibration, remarks, sheets
from training.evaluation.baselines import Baseline
from training.fit.checkpoints import Row, replace_text
from training.fit.runs import Run, read_history
from training.inputs.normalisation import normalise
from training.schema import Recipe
from training.tasks import heads, measures

Outputs = dict[str, NDArray[np.float32]]
Split = Literal["test", "validation"]

PIXELS = 200_000
"""So many pixels, drawn by chance, stand for all where masks are calibrated."""

_AT_ONCE = 2**22
"""So many pixels are answered at once, and at most 64 images."""

SHOWN = 12
"""So many of the worst and of the best samples are kept by their rows."""


class EvaluationError(Exception):
    """A run cannot be measured. The text says why."""


@dataclass(frozen=True)
class Evaluation:
    """Figures of one split: `headline` names the one that stands for the model.

    `details` has what a report shows besides: `intervals` (95 %, by figure), `confusion` (rows are the
    truth), `calibration` (before and after), `overlaps` of boxes, `ranking` (rows of the worst and best
    samples). `baselines` are the same figures of the best answer that never looks at an image, `remarks` what
    is wrong, in sentences. Runs evaluated long ago have none of these.
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

    Writes calibration.json and evaluation.json (evaluation-validation.json for validation) into the run, and
    which image is in which part as split.csv, what was answered for each as predictions.csv.
    """
    splits = load_splits(run, data_dir)
    calibrate(run, splits.validation)
    samples = splits.test if split == "test" else splits.validation
    found = _collect(answers(run.model(), run, samples.images), samples)
    result = _measure(found, samples, run.labels, split, temperature(run))
    history = read_history(run.folder / "history.csv")
    result = judged(result, run.recipe, splits, run.labels, history)
    replace_text(run.folder / _file_name(split), as_text(result, len(run.labels)))
    scores = None if found.classes is not None else calibration.soften(found.rows, temperature(run))
    told = sheets.Answered(scores, found.boxes, found.classes)
    sheets.write(run.folder, split, splits, run.recipe.data, told)
    return result


def as_text(result: Evaluation, label_count: int) -> str:
    """Return an evaluation as the JSON that is kept."""
    # A thousand labels have a million cells, each of which would have a line of its own.
    return json.dumps(asdict(result), indent=2 if label_count <= 100 else None, ensure_ascii=False) + "\n"


def judged(
    result: Evaluation, recipe: Recipe, splits: Splits, labels: tuple[str, ...], history: list[Row]
) -> Evaluation:
    """Return the evaluation with its baselines, and with what they and the history say in plain words."""
    samples = splits.test if result.split == "test" else splits.validation
    known = baselines.measure(splits.train, samples, labels)
    details = result.details
    said = remarks.compare(result.figures, known, details.get("intervals", {}), result.count)
    if "confusion" in details and not (recipe.task == "localization" and _same(samples)):
        said += remarks.missed(details["confusion"], labels, pixels=recipe.task == "segmentation")
    monitor = heads.monitor(recipe, history)
    said += remarks.fitting(history, monitor, known, len(splits.validation))
    beside = {name: baseline for name, baseline in known.items() if name in result.figures}
    return replace(result, baselines=beside, remarks=said)


def _same(samples: Samples) -> bool:
    """Whether all have the same label: where only boxes are learnt, as it is meant to be."""
    return samples.labels is not None and len(np.unique(samples.labels)) == 1


def load_splits(run: Run, data_dir: Path) -> Splits:
    """Load the data that the run was trained on."""
    return run.recipe.load(data_dir)


def read(run: Run, split: Split = "test") -> Evaluation | None:
    """Return what `evaluate` wrote, or None where it has not."""
    path = run.folder / _file_name(split)
    return revive(_kept(path)) if path.is_file() else None


def revive(table: dict[str, Any]) -> Evaluation:
    """Return the evaluation that was written as this table, now or by an earlier version."""
    known = {name: Baseline(**one) for name, one in table.get("baselines", {}).items()}
    return Evaluation(**{**table, "baselines": known})


def _kept(path: Path) -> dict[str, Any]:
    try:
        table: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise EvaluationError(f"{path} is not whole ({error}): run `evaluate` again.") from None
    return table


def _file_name(split: Split) -> str:
    return "evaluation.json" if split == "test" else f"evaluation-{split}.json"


def calibrate(run: Run, validation: Samples) -> None:
    """Fit the run's temperature on the validation split and write calibration.json."""
    (run.folder / "calibration.json").unlink(missing_ok=True)
    found = _collect(answers(run.model(), run, validation.images), validation)
    # Of one label there is no doubt that a temperature could mend.
    fitted = calibration.fit(found.rows, found.true, len(validation)) if len(run.labels) > 1 else 1.0
    kept = {"temperature": fitted, "fitted_on": "validation", "count": len(validation)}
    replace_text(run.folder / "calibration.json", json.dumps(kept) + "\n")


def temperature(run: Run) -> float:
    """Return the number that divides the run's logits; 1 where it was never fitted."""
    path = run.folder / "calibration.json"
    return float(_kept(path)["temperature"]) if path.is_file() else 1.0


def calibrated(run: Run) -> keras.Model:
    """Rebuild the run's network with its best weights and its temperature: what is exported."""
    model = run.model()
    calibration.apply(model, temperature(run))
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
        found = model(batch, training=False)
        outputs = {name: keras.ops.convert_to_numpy(rows) for name, rows in found.items()}
        if not all(np.isfinite(rows).all() for rows in outputs.values()):
            raise EvaluationError(f"{run.folder} answers with what is no number: its training has diverged.")
        yield outputs


@dataclass(frozen=True)
class _Found:
    """What is kept of the answers: `rows` `[M, K]` are probabilities, of images or of some pixels of masks,
    and `true` `[M]` their labels; `classes` `[N, H, W]` and `boxes` `[N, 4]` where there are such.
    """

    rows: calibration.Rows
    true: NDArray[Any]
    classes: NDArray[np.uint8] | None
    boxes: NDArray[np.float32] | None


def _collect(parts: Iterable[Outputs], samples: Samples) -> _Found:
    rows: list[NDArray[np.float32]] = []
    kept: list[NDArray[Any]] = []
    if samples.masks is None:
        for part in parts:
            rows.append(part["scores"])
            kept.extend(part[name] for name in ("box",) if name in part)
        assert samples.labels is not None
        boxes = np.concatenate(kept) if kept else None
        return _Found(np.concatenate(rows).astype(np.float64), samples.labels, None, boxes)
    count = samples.masks.size
    drawn = np.random.default_rng(0).integers(count, size=PIXELS) if count > PIXELS else np.arange(count)
    pixels = np.sort(drawn)
    start = 0
    for part in parts:
        flat = part["mask"].reshape(-1, part["mask"].shape[-1])
        first, last = np.searchsorted(pixels, (start, start + len(flat)))
        rows.append(flat[pixels[first:last] - start])
        kept.append(measures.class_map(part["mask"]))
        start += len(flat)
    some = np.concatenate(rows).astype(np.float64)
    if some.shape[1] == 1:
        some = np.hstack([1 - some, some])
    return _Found(some, samples.masks.ravel()[pixels], np.concatenate(kept), None)


def measure(
    parts: Iterable[Outputs],
    samples: Samples,
    labels: tuple[str, ...],
    split: Split = "test",
    temperature: float = 1.0,
    objects: NDArray[np.int32] | None = None,
) -> Evaluation:
    """Compare outputs with the truth in `samples`; which figures depends on which outputs there are.

    The outputs come in parts, in the order of the samples, as they are before the temperature divides their
    logits; the details say how sure they are before and after. `objects` `[N, H, W]` are the separate objects
    of masks as they were answered; where not given, the service's way of separating finds them.
    """
    return _measure(_collect(parts, samples), samples, labels, split, temperature, objects)


def _measure(
    found: _Found,
    samples: Samples,
    labels: tuple[str, ...],
    split: Split,
    temperature: float,
    objects: NDArray[np.int32] | None = None,
) -> Evaluation:
    rows = found.rows if temperature == 1 else calibration.soften(found.rows, temperature)
    calibrations: dict[str, Any] = {
        "temperature": temperature,
        "before": calibration.describe(found.rows, found.true),
        "after": calibration.describe(rows, found.true),
    }
    if found.classes is not None:
        for each in (calibrations["before"], calibrations["after"]):
            del each["chance"]  # pixels are no samples of their own
        figures, intervals, per_class, confusion = measures.measure_masks(
            found.classes, samples, labels, objects
        )
        headline = "dice" if len(labels) == 2 else "mean_iou"
    else:
        figures, intervals, per_class, confusion = measures.measure_scores(rows, found.true, labels)
        # Pixels' probabilities are not served, so that of masks nobody could check it.
        figures["ece"] = calibrations["after"]["ece"]
        headline = "accuracy"
    details: dict[str, Any] = {"confusion": confusion.tolist(), "calibration": calibrations}
    if len(labels) < 2:
        # Always saying the one label that there is, is no merit.
        figures, intervals, per_class, details = {}, {}, {}, {}
    overlaps = None
    if found.boxes is not None and samples.boxes is not None:
        overlaps = measures.box_overlaps(found.boxes, samples.boxes)
        headline = "mean_iou"
        bias = measures.measure_bias(found.boxes, samples.boxes, intervals)
        figures = measures.measure_boxes(overlaps, intervals) | bias | figures
        details["overlaps"] = measures.spread(overlaps)
    details["intervals"] = intervals
    if found.classes is not None:
        good = measures.mask_quality(found.classes, samples)
    else:
        good = rows[np.arange(len(rows)), found.true] if overlaps is None else overlaps
    order = np.argsort(good, kind="stable")
    details["ranking"] = {"worst": order[:SHOWN].tolist(), "best": order[::-1][:SHOWN].tolist()}
    return Evaluation(split, len(samples), headline, figures, per_class, details)


def describe(evaluation: Evaluation) -> str:
    """Return one line of figures for people, with the 95 % intervals where there are, then their baselines
    and what is wrong, a line each.
    """
    intervals = evaluation.details.get("intervals", {})
    parts = []
    for name, value in evaluation.figures.items():
        interval = " [{:.4f}, {:.4f}]".format(*intervals[name]) if name in intervals else ""
        parts.append(f"{name} {value:.4f}{interval}")
    lines = [f"{evaluation.split}, {evaluation.count} images: {', '.join(parts)}"]
    answers: dict[str, list[str]] = {}
    for name, baseline in evaluation.baselines.items():
        answers.setdefault(baseline.answer, []).append(f"{name} {baseline.value:.4f}")
    lines += [f"{answer} gives: {', '.join(values)}" for answer, values in answers.items()]
    return "\n".join([*lines, *(f"Note: {remark}" for remark in evaluation.remarks)])
