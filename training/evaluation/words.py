"""An evaluation in words, for people at a terminal."""

from training.evaluation import familiarity
from training.evaluation.evaluate import Evaluation


def describe(evaluation: Evaluation) -> str:
    """Return one line of figures for people, with the 95 % intervals where there are, then their baselines,
    how often familiarity is wrong, and what else is, a line each.
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
    if familiarity.NAME in evaluation.details:
        lines.append(familiarity.describe(evaluation.details[familiarity.NAME]))
    return "\n".join([*lines, *(f"Note: {remark}" for remark in evaluation.remarks)])
