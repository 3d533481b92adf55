"""Checkpoint to figures, as data: what the model gets right on samples that training never saw."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.datasets import Samples
from training.loop import Run
from training.normalisation import normalise

Outputs = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Evaluation:
    """Figures of one split: `headline` names the one that stands for the model."""

    split: str
    count: int
    headline: str
    figures: dict[str, float]
    per_class: dict[str, dict[str, float]]

    def as_json(self) -> dict[str, Any]:
        """Return plain data for evaluation.json."""
        return {
            "split": self.split,
            "count": self.count,
            "headline": self.headline,
            "figures": self.figures,
            "per_class": self.per_class,
        }


def evaluate(run: Run, data_dir: Path) -> Evaluation:
    """Evaluate the run's best checkpoint on the test split, and write evaluation.json into the run."""
    splits = run.recipe.load(data_dir)
    outputs = predict(run, splits.test.images)
    result = measure(outputs, splits.test, run.labels)
    text = json.dumps(result.as_json(), indent=2, ensure_ascii=False)
    (run.folder / "evaluation.json").write_text(text + "\n", "utf-8")
    return result


def predict(run: Run, images: NDArray[np.uint8], batch_size: int = 64) -> Outputs:
    """Answer uint8 images `[N, H, W, C]` with the run's Keras model: its outputs by name."""
    model = run.model()
    parts = []
    for start in range(0, len(images), batch_size):
        batch = normalise(images[start : start + batch_size], run.recipe.input.normalisation)
        parts.append({name: np.asarray(rows) for name, rows in model(batch, training=False).items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def measure(outputs: Outputs, samples: Samples, labels: tuple[str, ...]) -> Evaluation:
    """Compare outputs with the truth in `samples`; which figures depends on which outputs there are."""
    if "mask" in outputs:
        assert samples.masks is not None
        return _measure_masks(class_map(outputs["mask"]), samples.masks, labels)
    assert samples.labels is not None
    right = outputs["scores"].argmax(axis=1) == samples.labels
    figures = {"accuracy": float(right.mean())}
    per_class = {
        label: {"accuracy": float(right[samples.labels == index].mean())}
        for index, label in enumerate(labels)
        if (samples.labels == index).any()
    }
    if "box" not in outputs:
        return Evaluation("test", len(samples), "accuracy", figures, per_class)
    assert samples.boxes is not None
    overlaps = box_overlaps(outputs["box"], samples.boxes)
    figures = {"mean_iou": float(overlaps.mean()), "iou_over_half": float((overlaps > 0.5).mean()), **figures}
    return Evaluation("test", len(samples), "mean_iou", figures, per_class)


def class_map(probabilities: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Turn mask outputs `[N, H, W, K]` into class indices `[N, H, W]` (threshold 0.5 where K is 1)."""
    if probabilities.shape[-1] == 1:
        return np.asarray(probabilities[..., 0] >= 0.5, np.uint8)
    return np.asarray(probabilities.argmax(axis=-1), np.uint8)


def box_overlaps(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float64]:
    """Intersection over union of boxes `[N, 4]`, row by row."""

    def area(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
        product: NDArray[np.float64] = np.maximum(boxes[:, 2:] - boxes[:, :2], 0).prod(axis=1)
        return product

    a, b = first.astype(np.float64), second.astype(np.float64)
    shared = area(np.hstack([np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, 2:], b[:, 2:])]))
    union = area(a) + area(b) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def _measure_masks(found: NDArray[np.uint8], true: NDArray[np.uint8], labels: tuple[str, ...]) -> Evaluation:
    count = len(labels)
    confusion = np.bincount(
        true.astype(np.int64).ravel() * count + found.ravel(), minlength=count * count
    ).reshape(count, count)
    hits = np.diag(confusion).astype(np.float64)
    wrong = confusion.sum(axis=0) + confusion.sum(axis=1) - 2 * hits
    iou = hits / np.maximum(hits + wrong, 1)
    dice = 2 * hits / np.maximum(2 * hits + wrong, 1)
    per_class = {
        label: {"iou": float(iou[index]), "dice": float(dice[index])} for index, label in enumerate(labels)
    }
    figures = {
        "mean_iou": float(iou.mean()),
        "pixel_accuracy": float(hits.sum() / confusion.sum()),
    }
    headline = "mean_iou"
    if count == 2:
        figures = {"dice": float(dice[1]), "iou": float(iou[1]), **figures}
        headline = "dice"
    return Evaluation("test", len(true), headline, figures, per_class)


def describe(evaluation: Evaluation) -> str:
    """Return one line for people."""
    figures = ", ".join(f"{name} {value:.4f}" for name, value in evaluation.figures.items())
    return f"{evaluation.split}, {evaluation.count} images: {figures}"
