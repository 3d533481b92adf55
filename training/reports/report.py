"""Figures to pictures."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.fit.checkpoints import best_epoch
from training.fit.runs import RunError, read_history

_COLOURS = {"training": "#7f8c8d", "validation": "#e67e04"}

_LONGEST = 24
"""So many characters of a label stand beside a confusion matrix."""


def new_figure(width: float, height: float) -> Any:
    """Return an empty matplotlib figure of that size in inches, whose texts are what they say."""
    import matplotlib
    from matplotlib.figure import Figure

    # A label may have dollars in it, which are no formula.
    matplotlib.rcParams["text.parse_math"] = False
    return Figure(figsize=(width, height), layout="constrained")


def draw_curves(history: Path, monitor: str, picture: Path) -> None:
    """Draw loss and every figure per epoch, of training and validation, and mark phases and what is kept."""
    rows = read_history(history)
    if not rows:
        raise RunError(f"{history} is missing or empty: train first, or resume.")
    epochs = [row["epoch"] + 1 for row in rows]
    names = ["loss", *sorted(name for name in rows[0] if f"val_{name}" in rows[0] and name != "loss")]
    columns = min(len(names), 3)
    height = 3.6 * math.ceil(len(names) / columns)
    figure = new_figure(max(9, 4.5 * columns), height)
    panels = figure.subplots(math.ceil(len(names) / columns), columns, squeeze=False).ravel()
    best = best_epoch(rows, monitor)
    for axes, name in zip(panels, names, strict=False):
        for prefix, label in (("", "training"), ("val_", "validation")):
            values = [row[prefix + name] for row in rows]
            axes.plot(epochs, values, label=label, color=_COLOURS[label], marker="." if len(rows) < 3 else "")
        axes.axvline(epochs[best], linestyle="--", color="grey", label=f"kept: epoch {epochs[best]:.0f}")
        for start in _phase_starts(rows):
            axes.axvline(epochs[start] - 0.5, linestyle=":", color="#2980b9", label="next phase")
        axes.set(xlabel="epoch", title=name.replace("_", " "))
        axes.grid(alpha=0.3)
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    panels[0].legend()
    _save(figure, picture)


def _phase_starts(rows: Sequence[dict[str, Any]]) -> list[int]:
    """Return the rows with which another phase begins, where the history has a `phase`."""
    phases = [row.get("phase") for row in rows]
    return [index for index in range(1, len(rows)) if phases[index] != phases[index - 1]]


def draw_confusion(confusion: list[list[int]], labels: Sequence[str], picture: Path) -> None:
    """Draw a confusion matrix as shares of each true class; rows are the truth."""
    import numpy as np

    table = np.asarray(confusion, float)
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    side = min(max(4.0, 0.45 * len(labels) + 1.5), 14.0)
    figure = new_figure(side, side)
    axes = figure.subplots()
    axes.imshow(shares, cmap="Oranges", vmin=0, vmax=1)
    axes.set(xlabel="answered", ylabel="true")
    if len(labels) <= 50:
        names = [
            name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"
            for name in labels
        ]
        axes.set_xticks(range(len(labels)), names, rotation=90, fontsize=8)
        axes.set_yticks(range(len(labels)), names, fontsize=8)
    if len(labels) <= 12:
        for (row, column), share in np.ndenumerate(shares):
            ink = "white" if share > 0.6 else "black"
            axes.text(column, row, f"{share:.1%}", ha="center", va="center", fontsize=7, color=ink)
    _save(figure, picture)


def draw_reliability(calibration: dict[str, Any], picture: Path) -> None:
    """Draw accuracy over score before and after the temperature; on the diagonal a score can be believed."""
    figure = new_figure(8, 3.8)
    for axes, when in zip(figure.subplots(1, 2, sharey=True), ("before", "after"), strict=True):
        bins = calibration[when]["bins"]
        total = sum(each["count"] for each in bins)
        lows = [each["low"] for each in bins]
        axes.bar(
            lows, [each["accuracy"] for each in bins], 1 / 15, align="edge", color="#e67e04", label="right"
        )
        shares = [each["count"] / total for each in bins]
        axes.bar(lows, shares, 1 / 15, align="edge", color="#2c3e50", alpha=0.5, label="share of answers")
        axes.plot((0, 1), (0, 1), linestyle="--", color="grey")
        title = f"{when}: ECE {calibration[when]['ece']:.4f}, NLL {calibration[when]['nll']:.4f}"
        if "chance" in calibration[when]:
            title += f"\nperfect scores of so many: ECE {calibration[when]['chance']['mean']:.4f}"
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="score", title=title)
    axes.legend(loc="upper left", fontsize=8)
    _save(figure, picture)


def draw_precision_recall(curves: dict[str, list[float]], picture: Path) -> None:
    """Draw precision over recall, of objects at an overlap of .5, a line for each label; up to ten labels."""
    figure = new_figure(6, 4)
    axes = figure.subplots()
    for label, values in list(curves.items())[:10]:
        if max(values) >= 0:
            axes.plot([index / (len(values) - 1) for index in range(len(values))], values, label=label)
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend(loc="lower left", fontsize=8)
    _save(figure, picture)


def draw_overlaps(counts: Sequence[int], picture: Path) -> None:
    """Draw how many boxes overlap the true one how far."""
    figure = new_figure(6, 3)
    axes = figure.subplots()
    width = 1 / len(counts)
    axes.bar([index * width for index in range(len(counts))], counts, width, align="edge", color="#e67e04")
    for limit in (0.5, 0.75):
        axes.axvline(limit, linestyle="--", color="grey")
    axes.set(xlim=(0, 1), xlabel="intersection over union", ylabel="images")
    _save(figure, picture)


def _save(figure: Any, picture: Path) -> None:
    # Without its date and version the same figures give the same file.
    figure.savefig(picture, dpi=100, metadata={"Software": None})
