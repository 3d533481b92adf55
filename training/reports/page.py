"""A run as one HTML file: figures, samples, curves, data, recipe, layers. It loads nothing from anywhere."""

import base64
import io
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jinja2
import keras
import numpy as np
from PIL import Image

from training.datasets import SOURCES, DatasetError, Samples, Splits
from training.datasets.reading import read_photo
from training.evaluation import evaluate, stitching
from training.evaluation.calibration import FEWEST
from training.evaluation.evaluate import Evaluation
from training.fit.runs import Run, RunError, read_history
from training.inputs.normalisation import normalise
from training.reports import doubtful, look, report, summary
from training.tasks import grouping, heads
from training.tasks.drawing import draw_sample, take
from training.tasks.pictures import COLOURS, SIDE, Picture, enlarge, tile
from training.tasks.registry import TASKS

CONFUSIONS = 10
"""So many of the most frequent confusions are told in words."""

EXPLAINED = 4
"""So many of the worst samples are shown with their Grad-CAM."""


_PARTS = {
    "figures": "",
    "confusion": "confusion",
    "calibration": "reliability",
    "samples": "",
    "curves": "curves",
    "data": "",
    "doubts": "doubts",
    "recipe": "",
    "layers": "",
}
"""The page's parts in their order, and the chart, or what else, without which there is none."""


@dataclass(frozen=True)
class Shot:
    """A picture with what it shows, inlined as a data URI."""

    source: str
    text: str


def write(run: Run, data_dir: Path, *, label_errors: bool = True) -> Path:
    """Write the run's report.html and return its path; RunError where the run is not evaluated.

    With `label_errors`, likely wrong labels of one's own photos are shown, which takes up to 13 seconds.
    """
    evaluation = evaluate.read(run)
    if evaluation is None or "ranking" not in evaluation.details:
        raise RunError(f"{run.folder} has no full evaluation yet: run `evaluate` on it first.")
    splits = run.recipe.load(data_dir)
    model = evaluate.calibrated(run)
    rows = summary.explain(model)
    history = read_history(run.folder / "history.csv")
    charts = _charts(run, evaluation)
    doubts = doubtful.of_run(run.recipe, splits, label_errors=label_errors)
    there = {*charts, *(["doubts"] if doubts else [])}
    text = _template().render(
        run=run,
        recipe=_flat(run.recipe.model_dump()),
        source=SOURCES[run.recipe.dataset],
        licence=run.recipe.licence or SOURCES[run.recipe.dataset].licence,
        counts=_counts(splits),
        history=history,
        monitor=heads.monitor(run.recipe, history),
        evaluation=evaluation,
        details=evaluation.details,
        confusions=_confusions(evaluation.details.get("confusion", []), _compared(run, evaluation)),
        members=grouping.members(run.labels, run.groups),
        colours=_colours(run) if TASKS[run.recipe.task].per_pixel else {},
        charts=charts,
        parts=[part for part, needed in _PARTS.items() if needed in there or not needed],
        doubts=[str(doubt) for doubt in doubts],
        doubtful=[
            Shot(_png(one.picture), f"{one.name}: {one.words}")
            for one in doubtful.shown(Path(run.recipe.data), doubts)
        ],
        samples=_samples(run, model, splits.test, evaluation),
        layers=[asdict(row) for row in rows],
        total=sum(row.parameters for row in rows),
        trainable=sum(row.trainable_parameters for row in rows),
    )
    path = run.folder / "report.html"
    path.write_text(text, "utf-8")
    return path


def _template() -> jinja2.Template:
    loader = jinja2.PackageLoader("training", "templates")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["words"] = lambda name: str(name).removeprefix("val_").replace("_", " ")
    return environment.get_template("report.html")


def _flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Join nested tables: `training.epochs` and so on."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        inner = _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        flat |= inner
    return flat


def _counts(splits: Splits) -> list[tuple[str, list[int]]]:
    """Count images per split, and per label, and group of labels, where an image has one."""
    parts = (splits.train, splits.validation, splits.test)
    counts = [("all images", [len(part) for part in parts])]
    if all(part.labels is not None and part.masks is None for part in parts):
        for index, label in enumerate(splits.labels):
            counts.append((label, [int(np.sum(part.labels == index)) for part in parts]))
    if all(part.label_sets is not None for part in parts):
        totals = [np.zeros(0) if part.label_sets is None else part.label_sets.sum(axis=0) for part in parts]
        counts += [(label, [int(own[index]) for own in totals]) for index, label in enumerate(splits.labels)]
    for index, label in enumerate(splits.labels):
        if all(part.objects is not None for part in parts):
            known = (0 if part.objects is None else np.sum(part.objects[..., 4] == index) for part in parts)
            counts.append((f"objects: {label}", [int(each) for each in known]))
    if not splits.groups:
        return counts
    every, of_label = counts[0], list(zip(splits.groups, counts[1:], strict=True))
    found = [every]
    for group in grouping.names(splits.groups):
        members = [each for name, each in of_label if name == group]
        found.append((f"group {group}", np.sum([own for _, own in members], axis=0).tolist()))
        found += members
    return found


NO_OBJECT = "no object"
"""What is missed was answered so, and what is invented is truly so."""


def _compared(run: Run, evaluation: Evaluation) -> tuple[str, ...]:
    """Return what the rows and columns of the confusion matrix stand for."""
    more = len(evaluation.details.get("confusion", [])) > len(run.labels)
    return (*run.labels, NO_OBJECT) if more else run.labels


def _confusions(table: list[list[int]], labels: tuple[str, ...]) -> list[tuple[str, str, int, float]]:
    """Return the commonest: true label, answered label, how often, and which share of the true label's."""
    if not table:
        return []
    confusion = np.asarray(table)
    wrong = confusion.copy()
    np.fill_diagonal(wrong, 0)
    found = []
    for cell in np.argsort(-wrong.ravel(), kind="stable")[:CONFUSIONS]:
        row, column = divmod(int(cell), len(labels))
        if count := int(wrong[row, column]):
            found.append((labels[row], labels[column], count, count / int(confusion[row].sum())))
    return found


def _colours(run: Run) -> dict[str, str]:
    """Return the colour of each label that masks show, as CSS has it."""
    return {
        label: "#{:02x}{:02x}{:02x}".format(*COLOURS[index])
        for index, label in enumerate(run.labels)
        if index
    }


def _charts(run: Run, evaluation: Evaluation) -> dict[str, Shot]:
    details, history = evaluation.details, run.folder / "history.csv"
    draw: dict[str, tuple[Callable[[Path], None], str]] = {}
    # Of one epoch there is no curve, of one label no confusion, and a few answers fall into bins by chance.
    if len(read_history(history)) > 1:
        draw["curves"] = (
            lambda path: report.draw_curves(history, heads.monitor(run.recipe, read_history(history)), path),
            "Loss and figures per epoch, training and validation",
        )
    if "confusion" in details:
        draw["confusion"] = (
            lambda path: report.draw_confusion(details["confusion"], _compared(run, evaluation), path),
            "Confusion matrix: rows are the truth, columns the answers",
        )
    if "calibration" in details and evaluation.count >= FEWEST:
        draw["reliability"] = (
            lambda path: report.draw_reliability(details["calibration"], path),
            "How often answers of a score are right, before and after calibration",
        )
    if "precision_recall" in details:
        draw["precision_recall"] = (
            lambda path: report.draw_precision_recall(details["precision_recall"], path),
            "Of what is answered, how much is right, by how much of what is there is found",
        )
    if "overlaps" in details:
        draw["overlaps"] = (
            lambda path: report.draw_overlaps(details["overlaps"]["counts"], path),
            "How far the answered boxes overlap the true ones",
        )
    charts = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (make, text) in draw.items():
            make(Path(folder) / "chart.png")
            charts[name] = Shot(_uri((Path(folder) / "chart.png").read_bytes()), text)
    return charts


def _samples(run: Run, model: keras.Model, test: Samples, evaluation: Evaluation) -> dict[str, list[Shot]]:
    """Draw the best and the worst samples, what the network looked at in the worst, and feature maps."""
    task, ranking = TASKS[run.recipe.task], evaluation.details["ranking"]
    shots: dict[str, list[Shot]] = {}
    for kind in ("best", "worst"):
        chosen = test.take(np.asarray(stitching.tiles_of(test, ranking[kind])))
        outputs = evaluate.answer(model, run, chosen.images)
        # What is letterboxed or cropped has the photo's aspect as the network sees it.
        stretched = run.recipe.input.resize == "stretch"
        aspects = [_aspect(chosen, row) if stretched else None for row in range(len(chosen))]
        shots[kind] = [
            Shot(
                _png(picture),
                ", ".join(
                    [
                        f"{kind} {number + 1}{_file(chosen, number)}",
                        *task.words(take(outputs, number), chosen.take(np.asarray([number])), run.labels),
                        *([grouping.words(outputs["scores"][number], run.groups)] if run.groups else []),
                    ]
                ),
            )
            for number, picture in enumerate(
                draw_sample(task, chosen, outputs, row, run.labels, aspect)
                for row, aspect in enumerate(aspects)
            )
        ]
    shots["looked"], shots["maps"] = [], []
    known = look.layers_with_maps(model)
    if len(known) < 2:  # a network of dense layers looks at all pixels at once
        return shots
    tensors = normalise(chosen.images[:EXPLAINED], run.recipe.input.normalisation)
    layer = look.deepest(model)
    # Nothing speaks for a label where there is no other.
    explained = EXPLAINED if look.has_gradients() and len(run.labels) > 1 else 0
    for row, image in enumerate(chosen.images[:explained]):
        label = look.answered(task, take(outputs, row), len(run.labels))
        heat = look.grad_cam(model, tensors[row : row + 1], layer, label)[0]
        text = f"{layer}, for {run.labels[label]}"
        shots["looked"].append(Shot(_png(look.warm(enlarge(image, aspect=aspects[row]), heat)), text))
    for name in dict.fromkeys((known[1], known[len(known) // 2], layer)):
        maps = look.feature_maps(model, tensors[:1], name)[0]
        channels = [enlarge(channel[..., None], 72) for channel in look.strongest(maps)]
        shots["maps"].append(Shot(_png(tile(channels, 8)), name))
    return shots


def _aspect(samples: Samples, row: int) -> float | None:
    """Return the width by height of the photo itself, None where there is no file of it (any more)."""
    if samples.paths is None:
        return None
    try:
        photo = read_photo(samples.paths[row], 3, SIDE)
    except DatasetError:
        return None
    return photo.width / photo.height


def _file(samples: Samples, row: int) -> str:
    return f": {samples.paths[row].name}" if samples.paths else ""


def _png(picture: Picture) -> str:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", optimize=True)
    return _uri(buffer.getvalue())


def _uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
