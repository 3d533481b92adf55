"""Checkpoint to figures, as data: what the model gets right on samples that training never saw.

A run keeps `evaluation.json` (the test split's) and `calibration.json`, the temperature: fitted on the
validation split whenever a run is evaluated, and part of the exported network.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
from numpy.typing import NDArray

from training import calibration, measures
from training.datasets import Samples, Splits
from training.loop import Run
from training.normalisation import normalise

Outputs = dict[str, NDArray[np.float32]]
Split = Literal["test", "validation"]

PIXELS = 200_000
"""So many pixels, drawn by chance, stand for all where masks are calibrated."""


SHOWN = 12
"""So many of the worst and of the best samples are kept by their rows."""


class EvaluationError(Exception):
    """A run cannot be measured. The text says why."""


@dataclass(frozen=True)
class Evaluation:
    """Figures of one split: `headline` names the one that stands for the model.

    `details` has what a report shows besides: `intervals` (95 %, by figure), `confusion` (rows are the
    truth), `calibration` (before and after), `overlaps` of boxes, `ranking` (rows of the worst and best
    samples). Runs evaluated long ago have none.
    """

    split: str
    count: int
    headline: str
    figures: dict[str, float]
    per_class: dict[str, dict[str, float]]
    details: dict[str, Any] = field(default_factory=dict)


def evaluate(run: Run, data_dir: Path, split: Split = "test") -> Evaluation:
    """Fit the temperature on validation, then measure the run's best checkpoint on the split.

    Writes calibration.json and evaluation.json (evaluation-validation.json for validation) into the run.
    """
    splits = load_splits(run, data_dir)
    calibrate(run, splits.validation)
    samples = splits.test if split == "test" else splits.validation
    result = measure(predict(run, samples.images), samples, run.labels, split, temperature(run))
    text = json.dumps(asdict(result), indent=2, ensure_ascii=False)
    (run.folder / _file_name(split)).write_text(text + "\n", "utf-8")
    return result


def load_splits(run: Run, data_dir: Path) -> Splits:
    """Load the data that the run was trained on."""
    return run.recipe.load(data_dir)


def read(run: Run, split: Split = "test") -> Evaluation | None:
    """Return what `evaluate` wrote, or None where it has not."""
    path = run.folder / _file_name(split)
    return Evaluation(**json.loads(path.read_text("utf-8"))) if path.is_file() else None


def _file_name(split: Split) -> str:
    return "evaluation.json" if split == "test" else f"evaluation-{split}.json"


def calibrate(run: Run, validation: Samples) -> None:
    """Fit the run's temperature on the validation split and write calibration.json."""
    (run.folder / "calibration.json").unlink(missing_ok=True)
    rows, labels = probabilities(predict(run, validation.images), validation)
    kept = {"temperature": calibration.fit(rows, labels), "fitted_on": "validation", "count": len(validation)}
    (run.folder / "calibration.json").write_text(json.dumps(kept) + "\n", "utf-8")


def temperature(run: Run) -> float:
    """Return the number that divides the run's logits; 1 where it was never fitted."""
    path = run.folder / "calibration.json"
    return float(json.loads(path.read_text("utf-8"))["temperature"]) if path.is_file() else 1.0


def calibrated(run: Run) -> keras.Model:
    """Rebuild the run's network with its best weights and its temperature: what is exported."""
    model = run.model()
    calibration.apply(model, temperature(run))
    return model


def predict(run: Run, images: NDArray[np.uint8]) -> Outputs:
    """Answer uint8 images `[N, H, W, C]` with the run's calibrated Keras model: its outputs by name."""
    return answer(calibrated(run), run, images)


def answer(model: keras.Model, run: Run, images: NDArray[np.uint8], batch_size: int = 64) -> Outputs:
    """Like `predict`, with a model that is built already."""
    parts = []
    for start in range(0, len(images), batch_size):
        batch = normalise(images[start : start + batch_size], run.recipe.input.normalisation)
        answers = model(batch, training=False)
        parts.append({name: keras.ops.convert_to_numpy(rows) for name, rows in answers.items()})
    outputs = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    if not all(np.isfinite(rows).all() for rows in outputs.values()):
        raise EvaluationError(f"{run.folder} answers with what is no number: its training has diverged.")
    return outputs


def probabilities(outputs: Outputs, samples: Samples) -> tuple[calibration.Rows, NDArray[Any]]:
    """Return probabilities `[M, K]` and true labels `[M]`: a row per image, or per pixel of a mask."""
    if "mask" not in outputs:
        assert samples.labels is not None
        return outputs["scores"].astype(np.float64), samples.labels
    assert samples.masks is not None
    flat = outputs["mask"].reshape(-1, outputs["mask"].shape[-1])
    pixels = np.arange(len(flat))
    if len(flat) > PIXELS:
        pixels = np.random.default_rng(0).integers(len(flat), size=PIXELS)
    rows = flat[pixels].astype(np.float64)
    if rows.shape[1] == 1:
        rows = np.hstack([1 - rows, rows])
    return rows, samples.masks.ravel()[pixels]


def measure(
    outputs: Outputs,
    samples: Samples,
    labels: tuple[str, ...],
    split: Split = "test",
    temperature: float = 1.0,
) -> Evaluation:
    """Compare outputs with the truth in `samples`; which figures depends on which outputs there are.

    `temperature` is what the outputs were calibrated with: the details say how it was before, too.
    """
    rows, true = probabilities(outputs, samples)
    calibrations: dict[str, Any] = {
        "temperature": temperature,
        "before": calibration.describe(calibration.soften(rows, 1 / temperature), true),
        "after": calibration.describe(rows, true),
    }
    if "mask" in outputs:
        figures, intervals, per_class, confusion = measures.measure_masks(
            measures.class_map(outputs["mask"]), samples, labels
        )
        headline = "dice" if len(labels) == 2 else "mean_iou"
    else:
        figures, intervals, per_class, confusion = measures.measure_scores(rows, true, labels)
        # Pixels' probabilities are not served, so that of masks nobody could check it.
        figures["ece"] = calibrations["after"]["ece"]
        headline = "accuracy"
    details: dict[str, Any] = {"confusion": confusion.tolist(), "calibration": calibrations}
    if "box" in outputs:
        assert samples.boxes is not None
        overlaps = measures.box_overlaps(outputs["box"], samples.boxes)
        headline = "mean_iou"
        figures = measures.measure_boxes(overlaps, intervals) | figures
        details["overlaps"] = measures.spread(overlaps)
    details["intervals"] = intervals
    order = np.argsort(measures.quality(outputs, samples), kind="stable")
    details["ranking"] = {"worst": order[:SHOWN].tolist(), "best": order[::-1][:SHOWN].tolist()}
    return Evaluation(split, len(samples), headline, figures, per_class, details)


def describe(evaluation: Evaluation) -> str:
    """Return one line for people, with the 95 % intervals where there are."""
    intervals = evaluation.details.get("intervals", {})
    parts = []
    for name, value in evaluation.figures.items():
        interval = " [{:.4f}, {:.4f}]".format(*intervals[name]) if name in intervals else ""
        parts.append(f"{name} {value:.4f}{interval}")
    return f"{evaluation.split}, {evaluation.count} images: {', '.join(parts)}"
