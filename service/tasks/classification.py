"""Classification: one row -> the most probable labels, and their most probable group where they have some."""

from collections.abc import Sequence
from typing import Any

from service.manifest import Manifest
from service.options import ClassifyOptions
from service.responses import ClassifyResponse
from service.schemas import (
    Classification,
    GroupedClassification,
    LabelScore,
    Localization,
    MultilabelClassification,
)
from service.tasks.task import Face, Row, ServedTask, Size, familiarity, unit

TOP_K: int = ClassifyOptions.model_fields["top_k"].default

Named = Classification | GroupedClassification | MultilabelClassification
"""What is answered, by whether the model's labels have groups, or do not exclude each other."""


def classify(row: Row, manifest: Manifest, options: ClassifyOptions, _: Size | None = None) -> Named:
    """Name the most probable classes, and the most probable group where there are groups; or all labels that
    count, where these do not exclude each other.
    """
    if manifest.label_thresholds:
        return _classify_each(row, manifest, options)
    threshold = manifest.threshold if options.threshold is None else options.threshold
    # As a list: for the few classes of most models, NumPy takes longer to begin than Python to finish.
    scores = row["scores"].tolist()
    best = sorted(range(len(scores)), key=scores.__getitem__, reverse=True)[: options.top_k]
    ranked = [LabelScore(manifest.labels[index], unit(scores[index])) for index in best]
    top = tuple([each for each in ranked if each.score >= threshold])
    label, score, known = top[0].label if top else None, ranked[0].score, familiarity(row)
    if not manifest.groups:
        return Classification(label=label, score=score, top=top, familiarity=known)
    group, group_score = best_group(scores, manifest.groups)
    return GroupedClassification(
        label=label,
        score=score,
        group=group if group_score >= threshold else None,
        group_score=group_score,
        top=top,
        familiarity=known,
    )


def _classify_each(row: Row, manifest: Manifest, options: ClassifyOptions) -> MultilabelClassification:
    scores = [unit(score) for score in row["scores"].tolist()]
    least = manifest.label_thresholds
    if options.threshold is not None:
        least = (options.threshold,) * len(scores)
    told = zip(manifest.labels, scores, least, strict=True)
    found = [LabelScore(label, score) for label, score, threshold in told if score >= threshold]
    found.sort(key=lambda each: each.score, reverse=True)
    return MultilabelClassification(
        label=found[0].label if found else None,
        score=found[0].score if found else max(scores),
        labels=tuple(found),
        top=tuple(found[: options.top_k]),
        familiarity=familiarity(row),
    )


def best_group(scores: Sequence[float], groups: Sequence[str]) -> tuple[str, float]:
    """Return the group whose labels' scores have the largest sum, the first of equal ones, and that sum.

    `scores` and `groups` are parallel, one of each for a label.
    """
    sums = dict.fromkeys(groups, 0.0)
    for group, score in zip(groups, scores, strict=True):
        sums[group] += score
    best = max(sums, key=sums.__getitem__)
    return best, unit(sums[best])


def grouped(manifest: Manifest) -> dict[str, list[str]]:
    """Return the labels of each group, both in the order of the manifest; empty without groups."""
    found: dict[str, list[str]] = {group: [] for group in manifest.groups}
    if manifest.groups:
        for group, label in zip(manifest.groups, manifest.labels, strict=True):
            found[group].append(label)
    return found


def words(found: Named | Localization) -> str:
    """Return the label, the group where there is one, and how sure each is."""
    if isinstance(found, MultilabelClassification) and found.labels:
        return ", ".join(f"{each.label} {each.score:.4f}" for each in found.labels)
    named = f"{found.label or 'unsure'} {found.score:.4f}"
    if isinstance(found, GroupedClassification):
        return f"{named}, {found.group or 'unsure'} {found.group_score:.4f}"
    return named


def _columns(manifest: Manifest) -> tuple[str, ...]:
    if manifest.label_thresholds:
        return ("label", "score", "labels")
    return ("label", "score", "group", "group_score") if manifest.groups else ("label", "score")


def _rows(found: Named) -> list[tuple[Any, ...]]:
    # None where a score is below the threshold: an empty cell.
    if isinstance(found, GroupedClassification):
        return [(found.label, found.score, found.group, found.group_score)]
    if isinstance(found, MultilabelClassification):
        return [(found.label, found.score, "; ".join(each.label for each in found.labels))]
    return [(found.label, found.score)]


def _threshold(manifest: Manifest) -> str:
    dropped = "labels of a lower score are left out"
    return f"{dropped}; the group is null where its own score is lower" if manifest.groups else dropped


def _facts(manifest: Manifest) -> list[tuple[str, str]]:
    if manifest.label_thresholds:
        return [("Labels told", "all that count, for they do not exclude each other")]
    facts = [("Labels told", f"the {TOP_K} best unless `top_k` asks for other than {TOP_K}")]
    if manifest.groups:
        counts = ", ".join(f"{group} ({len(labels)})" for group, labels in grouped(manifest).items())
        how = "the one whose labels' scores have the largest sum, which is its score"
        facts.append(("Group told", f"of {counts}: {how}"))
    return facts


CLASSIFY = Face(
    path="/classify",
    summary="Name what is in each image: the most probable labels with their scores, and their group.",
    options=ClassifyOptions,
    response=ClassifyResponse,
    examples={
        "labels": {
            "summary": "The best label, and the best few.",
            "answer": {
                "label": "cat",
                "score": 0.91,
                "top": [{"label": "cat", "score": 0.91}, {"label": "dog", "score": 0.09}],
            },
        },
        "several": {
            "summary": "By a model whose labels do not exclude each other: all that count.",
            "answer": {
                "label": "beach",
                "score": 0.97,
                "labels": [{"label": "beach", "score": 0.97}, {"label": "dog", "score": 0.64}],
                "top": [{"label": "beach", "score": 0.97}, {"label": "dog", "score": 0.64}],
            },
        },
    },
)

CLASSIFICATION = ServedTask(
    name="classification",
    face=CLASSIFY,
    answer=classify,
    columns=_columns,
    rows=_rows,
    words=words,
    threshold=_threshold,
    facts=_facts,
)
