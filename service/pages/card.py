"""One live version -> what its page tells, all of it from the manifest and what lies beside it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service import summary
from service.manifest import Layer, Manifest
from service.pages import architecture, charts
from service.pages.records import Beside, Record
from service.tasks.classification import grouped
from service.tasks.registry import TASKS
from service.versions import states
from service.versions.repository import Live, Slot

_ORDER = ("f1", "ap", "iou", "dice", "accuracy", "recall")
"""By which figure of a label it counts as weak: the first that there is."""
_WEAKEST = 10
_DRAWN = 128
"""Labels of which a confusion matrix is drawn at most."""


@dataclass(frozen=True)
class Figure:
    """A figure with what holds its true value 95 times in 100, and what a constant answer gets."""

    name: str
    value: float
    interval: tuple[float, float] | None
    baseline: float | None
    answer: str


@dataclass(frozen=True)
class Row:
    """A layer, and how long its bars are beside the largest, in 0..1."""

    layer: Layer
    parameters: float
    multiply_adds: float


@dataclass(frozen=True)
class Version:
    """A version: what it is at present, and why, and under which labels it answers."""

    number: int
    state: states.State
    reason: str
    labels: tuple[str, ...]


def card(live: Live, beside: Beside) -> dict[str, Any]:
    """Return what a model's page is filled with, as far as it stays as long as the version is live."""
    manifest, record = live.predictor.manifest, beside.record
    weakest, by = weak(manifest.evaluation.per_class)
    confused = manifest.labels if manifest.task != "detection" else (*manifest.labels, "nothing")
    return {
        "manifest": manifest,
        "face": TASKS[manifest.task].face.path,
        "headline": summary.headline(manifest),
        "purpose": purpose(manifest),
        "limits": limits(manifest),
        "answering": summary.answering(live),
        "groups": grouped(manifest),
        "figures": figures(manifest, record),
        "weakest": weakest,
        "weakest_by": by,
        "confused": confused,
        "cells": charts.cells(record.confusion, confused) if len(confused) <= _DRAWN else [],
        "mistakes": charts.mistakes(record.confusion, confused),
        "calibration": record.calibration,
        "reliability": charts.reliability(record.calibration.after.bins) if record.calibration else [],
        "before": charts.reliability(record.calibration.before.bins) if record.calibration else [],
        "overlaps": charts.histogram(record.overlaps) if record.overlaps else [],
        "precision_recall": charts.precision_recall(record.precision_recall),
        "curves": charts.curves(beside.history),
        "recipe": flat(manifest.recipe),
        "rows": rows(manifest.layers),
        "fields": fields(manifest.layers),
        "drawing": architecture.draw(manifest.layers),
    }


def purpose(manifest: Manifest) -> str:
    """Say what the model answers."""
    count = len(manifest.labels)
    labels = f"{count} labels" if count > 1 else f"the label {manifest.labels[0]}"
    if manifest.task == "classification":
        if manifest.label_thresholds:
            return f"Tells which of {labels} an image shows: none, one or several."
        return f"Tells which one of {labels} an image shows."
    if manifest.task == "localization":
        return f"Tells which one of {labels} an image shows, and the box around it."
    if manifest.task == "detection":
        return f"Finds every object of {labels} in an image, each with its box and score."
    return f"Tells of every pixel which one of {labels} it belongs to, and on request each separate object."


def limits(manifest: Manifest) -> list[str]:
    """Say what it is not for, as far as the manifest knows."""
    told = []
    if manifest.task in ("classification", "localization") and not manifest.label_thresholds:
        told.append("Images of anything else: it answers with one of its labels all the same.")
    if manifest.task == "localization":
        told.append("Images with several objects: it gives one box.")
    if manifest.familiarity:
        told.append(
            f"Images unlike those that it was trained on, which it tells: their familiarity is below "
            f"{manifest.familiarity.level:g}."
        )
    else:
        told.append("Images unlike those that it was trained on: it does not tell which they are.")
    if manifest.input.resize == "crop":
        told.append("What lies outside the middle of an image: it is cut off before the model looks.")
    if manifest.input.channels == 1:
        told.append("What differs in colour alone: it sees grey.")
    worse = [
        name
        for name, each in manifest.evaluation.baselines.items()
        if manifest.evaluation.figures.get(name, math.inf) <= each.value
    ]
    told += [f"A {name.replace('_', ' ')} that matters: a constant answer is as good." for name in worse]
    return told


def figures(manifest: Manifest, record: Record) -> list[Figure]:
    """Return every figure, the headline first."""
    evaluation = manifest.evaluation
    found = []
    for name, value in sorted(evaluation.figures.items(), key=lambda each: each[0] != evaluation.headline):
        baseline = evaluation.baselines.get(name)
        beside = (baseline.value, baseline.answer) if baseline else (None, "")
        found.append(Figure(name, value, record.intervals.get(name), *beside))
    return found


def weak(per_class: Mapping[str, Mapping[str, float]]) -> tuple[list[tuple[str, float, int | None]], str]:
    """Return the labels with the lowest figure, with it and on how many it was measured, and its name."""
    by = next((name for name in _ORDER if any(name in each for each in per_class.values())), "")
    known = [
        (label, each[by], int(count) if math.isfinite(count := each.get("count", math.nan)) else None)
        for label, each in per_class.items()
        if math.isfinite(each.get(by, math.nan))
    ]
    return sorted(known, key=lambda each: each[1])[:_WEAKEST], by


def versions(slot: Slot, *, reasons: bool) -> list[Version]:
    """Return every version that is known, the newest first; on the loop, which alone changes them."""
    labels: dict[int, list[str]] = {}
    for label, number in slot.policy.labels.items():
        labels.setdefault(number, []).append(label)
    return [
        Version(number, told.state, told.reason if reasons else "", tuple(sorted(labels.get(number, ()))))
        for number, told in reversed(states.of(slot).items())
    ]


def flat(recipe: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    """Return a recipe's settings, those that are set, with the names of their parts before theirs."""
    found: list[tuple[str, str]] = []
    for name, value in recipe.items():
        if isinstance(value, Mapping):
            found += flat(value, f"{before}{name}: ")
        # Not by `in`, to which 0 and False are the same.
        elif value is not None and value is not False and value not in ("", [], {}):
            words = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            found.append((f"{before}{name}".replace("_", " "), words))
    return found


def rows(layers: Sequence[Layer]) -> list[Row]:
    """Return every layer with the lengths of its bars."""
    parameters = max((layer.parameters for layer in layers), default=0) or 1
    adds = max((layer.multiply_adds for layer in layers), default=0) or 1
    return [Row(each, each.parameters / parameters, each.multiply_adds / adds) for each in layers]


def fields(layers: Sequence[Layer]) -> list[tuple[str, int]]:
    """Return the layers where the receptive field grows, each with its side in input pixels."""
    found: list[tuple[str, int]] = []
    for layer in layers:
        if layer.receptive_field and (not found or layer.receptive_field > found[-1][1]):
            found.append((layer.name, layer.receptive_field))
    return found
