"""Figures -> the geometry of charts, in a square or strip of known size; templates draw them as SVG."""

from collections.abc import Sequence
from dataclasses import dataclass

from service.pages.records import Bin, Overlaps

SIDE = 200
"""Of a square chart, in its own units."""


@dataclass(frozen=True)
class Point:
    """A place in a chart with the words for it."""

    x: float
    y: float
    size: float
    words: str


@dataclass(frozen=True)
class Cell:
    """A field of a confusion matrix: its column and row, its share of the row, in words too."""

    column: int
    row: int
    share: float
    words: str


@dataclass(frozen=True)
class Mistake:
    """What is taken for what, how often, and which share of all that it is."""

    truth: str
    answer: str
    count: int
    share: float


@dataclass(frozen=True)
class Line:
    """One curve: its name, and its points as SVG writes them."""

    name: str
    points: str


@dataclass(frozen=True)
class Curves:
    """Curves over epochs that share an axis, from `low` to `high`."""

    title: str
    lines: tuple[Line, ...]
    low: float
    high: float
    epochs: int


def reliability(bins: Sequence[Bin]) -> list[Point]:
    """Return a point per bin: to the right how sure, upwards how often right; larger with more answers."""
    most = max((each.count for each in bins), default=0) or 1
    return [
        Point(
            SIDE * each.confidence,
            SIDE * (1 - each.accuracy),
            3 + 5 * (each.count / most) ** 0.5,
            f"{each.count:,} answers of score {each.confidence:.2f}: {100 * each.accuracy:.0f} % right",
        )
        for each in bins
        if each.count
    ]


def histogram(overlaps: Overlaps) -> list[Point]:
    """Return a bar per step: its left edge, its height, its width."""
    step, most, total = SIDE / len(overlaps.counts), max(overlaps.counts) or 1, sum(overlaps.counts) or 1
    ranges = [index / len(overlaps.counts) for index in range(len(overlaps.counts) + 1)]
    return [
        Point(
            index * step,
            SIDE * count / most,
            step,
            f"IoU {ranges[index]:.2f} to {ranges[index + 1]:.2f}: {100 * count / total:.1f} %",
        )
        for index, count in enumerate(overlaps.counts)
        if count
    ]


def cells(confusion: Sequence[Sequence[float]], labels: Sequence[str]) -> list[Cell]:
    """Return the fields that are not empty; none where the matrix is not of these labels."""
    found = []
    for row, counts in enumerate(confusion if _fits(confusion, labels) else ()):
        total = sum(counts) or 1
        found += [
            Cell(column, row, count / total, _told(labels[row], labels[column], count, total))
            for column, count in enumerate(counts)
            if count / total >= 0.001
        ]
    return found


def _told(truth: str, answer: str, count: float, total: float) -> str:
    return f"{truth} answered as {answer}: {count:,.0f}, {100 * count / total:.1f} %"


def mistakes(confusion: Sequence[Sequence[float]], labels: Sequence[str], most: int = 8) -> list[Mistake]:
    """Return what is taken for something else most often, by its share."""
    if not _fits(confusion, labels):
        return []
    found = [
        Mistake(labels[row], labels[column], int(count), count / (sum(counts) or 1))
        for row, counts in enumerate(confusion)
        for column, count in enumerate(counts)
        if row != column and count
    ]
    return sorted(found, key=lambda each: (-each.share, -each.count))[:most]


def _fits(confusion: Sequence[Sequence[float]], labels: Sequence[str]) -> bool:
    return bool(confusion) and all(len(row) == len(confusion) == len(labels) for row in confusion)


def precision_recall(told: dict[str, tuple[float, ...]], most: int = 6) -> list[Line]:
    """Return a curve for each label: recall to the right, precision upwards; none of too many."""
    if len(told) > most:
        return []
    return [
        Line(
            label,
            " ".join(
                f"{SIDE * at / (len(values) - 1):.1f},{SIDE * (1 - y):.1f}" for at, y in enumerate(values)
            ),
        )
        for label, values in told.items()
        if len(values) > 1
    ]


def curves(history: dict[str, list[float]]) -> list[Curves]:
    """Return a chart for each figure that was followed on validation images, the loss last."""
    followed = [name[4:] for name in history if name.startswith("val_")]
    followed.sort(key=lambda name: "loss" in name)
    charts = []
    for figure in followed[:4]:
        named = [(figure, "training"), (f"val_{figure}", "validation")]
        pairs = [(words, history[name]) for name, words in named if len(history.get(name, ())) > 1]
        if pairs:
            charts.append(_curves(figure, pairs))
    return charts


def _curves(figure: str, pairs: list[tuple[str, list[float]]]) -> Curves:
    every = [value for _, values in pairs for value in values]
    low, high = min(every), max(every)
    span = (high - low) or 1.0
    lines = []
    for words, values in pairs:
        step = 2 * SIDE / (len(values) - 1)
        places = (
            f"{index * step:.1f},{SIDE * (high - value) / span:.1f}" for index, value in enumerate(values)
        )
        lines.append(Line(words, " ".join(places)))
    return Curves(figure, tuple(lines), low, high, len(pairs[0][1]))
