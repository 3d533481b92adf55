"""What a manifest tells about a model, for programs, terminals and browsers."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from service.images import fitting
from service.manifest import Familiarity, Layer, Manifest
from service.tasks.classification import grouped
from service.tasks.registry import TASKS
from service.versions.repository import Live


def overview(live: Live) -> dict[str, Any]:
    """Return one entry of the list of live models."""
    manifest, engine = live.predictor.manifest, live.predictor.engine
    asked = TASKS[manifest.task].face.options.model_fields
    return {
        "name": manifest.name,
        "version": manifest.version,
        "task": manifest.task,
        "description": manifest.description,
        "architecture": manifest.architecture,
        "engine": engine.name,
        "precision": engine.precision,
        "plan": engine.plan,
        "tried": {way: round(1000 * seconds, 4) for way, seconds in engine.timings.items()},
        "input": manifest.input.model_dump(),
        "threshold": manifest.threshold,
        "label_thresholds": list(manifest.label_thresholds),
        "temperature": manifest.temperature,
        "top_k": asked["top_k"].default if "top_k" in asked else None,
        "tolerance": manifest.tolerance.model_dump(exclude_none=True),
        "answering": dict(answering(live)),
        "labels": list(manifest.labels),
        "groups": list(manifest.groups),
        "totals": manifest.totals.model_dump(),
        "evaluation": manifest.evaluation.model_dump(),
        "familiarity": manifest.familiarity and manifest.familiarity.model_dump(),
        "data": manifest.data.model_dump(),
        "golden": {each.output: each.difference for each in live.deviations},
    }


def detail(live: Live) -> dict[str, Any]:
    """Return everything about one model: the overview with the layer table."""
    manifest = live.predictor.manifest
    return {
        **overview(live),
        "outputs": [output.model_dump() for output in manifest.outputs],
        "layers": [layer.model_dump() for layer in manifest.layers],
        "recipe": manifest.recipe,
        "created": manifest.created.isoformat(),
        "packages": manifest.packages,
    }


_COLOUR = {
    "grey": "grey, ITU-R 601 luma",
    "rgb": "sRGB; what has a colour profile is converted",
}


def answering(live: Live) -> list[tuple[str, str]]:
    """Return what decides an answer besides the weights, each with its value, in the order of the work."""
    manifest, engine = live.predictor.manifest, live.predictor.engine
    spec, task = manifest.input, TASKS[manifest.task]
    together = [("Tiles", task.tiles.told)] if task.tiles and spec.resize == "tile" else []
    rows = [
        ("Size", fitting.words(spec)),
        *together,
        ("Colour", _COLOUR[spec.colour]),
        ("Normalisation", spec.normalisation),
        ("Engine", f"{engine.name} in {engine.precision}, {engine.plan}"),
        *([("Plan", _plan(engine.timings))] if engine.timings else []),
        ("Temperature", _temperature(manifest)),
        ("Threshold", f"{_least(manifest)} unless `threshold` asks for another: {task.threshold(manifest)}"),
        *task.facts(manifest),
        *([("Familiarity", _familiarity(manifest.familiarity))] if manifest.familiarity else []),
    ]
    for each in live.deviations:
        found = f"{each.difference:.2g} from training's answers at most, {each.allowed:g} is allowed"
        rows.append((f"Golden {each.output}", found))
    return rows


def _plan(timings: Mapping[str, float]) -> str:
    tried = ", ".join(f"{way} {1000 * seconds:.3g} ms" for way, seconds in timings.items())
    return f"the fastest of what was tried when it was loaded, per image: {tried}"


def _least(manifest: Manifest) -> str:
    if not manifest.label_thresholds:
        return f"{manifest.threshold:g}"
    own = zip(manifest.labels, manifest.label_thresholds, strict=True)
    return f"each label's own ({', '.join(f'{label} {least:g}' for label, least in own)})"


def _temperature(manifest: Manifest) -> str:
    if manifest.temperature is None:
        return "not stated by its manifest"
    if manifest.temperature == 1:
        return "1: scores are the network's own"
    return f"{manifest.temperature:.4f}: what the logits are divided by, fitted on validation images"


def _labels(manifest: Manifest) -> str:
    """Return all labels, by their groups where they have some."""
    if not manifest.groups:
        return ", ".join(manifest.labels)
    return "; ".join(f"{group}: {', '.join(labels)}" for group, labels in grouped(manifest).items())


def _familiarity(told: Familiarity) -> str:
    low, high = told.interval
    return (
        f"the share of {told.calibrated_on:,} validation images that look at least as unusual: as far from "
        f"{told.trained_on:,} training images by {told.features:,} means over {', '.join(told.layers)}; "
        f"below {told.level:g} it is unlike what the model knows, which is a false alarm for "
        f"{100 * told.false_alarms:.1f} % of {told.count:,} {told.split} images ({100 * low:.1f} to "
        f"{100 * high:.1f} %). It has no parameters: what it computes with are statistics"
    )


_COLUMNS = ("Layer (type)", "Output shape", "Param #", "How it comes about")


def overview_text(lives: list[Live]) -> str:
    """Lay the list of models out for a terminal."""
    rows = [("Model", "Task", "Parameters", "Held-out figure")]
    for live in lives:
        manifest = live.predictor.manifest
        rows.append(
            (
                f"{manifest.name}/{manifest.version}",
                manifest.task,
                f"{manifest.totals.parameters:,}",
                headline(manifest),
            )
        )
    return _aligned(rows) + "\n"


def headline(manifest: Manifest) -> str:
    """Return the figure that stands for the model, as in `accuracy 0.9950 on 10,000 test images`."""
    evaluation = manifest.evaluation
    figure = evaluation.figures.get(evaluation.headline)
    name = evaluation.headline.replace("_", " ")
    if figure is None:
        return f"{name} was not measured"
    words = f"{name} {figure:.4f} on {evaluation.count:,} {evaluation.split} images"
    baseline = evaluation.baselines.get(evaluation.headline)
    return f"{words}; {baseline.answer} gives {baseline.value:.4f}" if baseline else words


def figures(manifest: Manifest) -> list[tuple[str, str, str]]:
    """Return every figure: its name, its value, and what a constant answer gets, where it was measured."""
    evaluation = manifest.evaluation
    rows = []
    for name, value in evaluation.figures.items():
        baseline = evaluation.baselines.get(name)
        beside = f"{baseline.value:.4f} by {baseline.answer}" if baseline else ""
        rows.append((name.replace("_", " "), f"{value:.4f}", beside))
    return rows


def text(live: Live) -> str:
    """Lay the layer table out for a terminal, as Keras does, and say how numbers and answers come about."""
    manifest = live.predictor.manifest
    rows = [_COLUMNS, *(_cells(layer) for layer in manifest.layers)]
    totals = manifest.totals
    return "\n".join(
        [
            f'Model: "{manifest.name}" version {manifest.version} ({manifest.task}, {manifest.architecture})',
            _aligned(rows),
            f"Total params: {totals.parameters:,}",
            f"Trainable params: {totals.trainable:,}",
            f"Non-trainable params: {totals.non_trainable:,}",
            f"Multiply-adds per image: {totals.multiply_adds:,}",
            f"Held out: {headline(manifest)}",
            *(f"Note: {remark}" for remark in manifest.evaluation.remarks),
            _aligned([("Figure", "Held out", "A constant answer"), *figures(manifest)]),
            _aligned([("What decides an answer", ""), *answering(live)]),
            "",
        ]
    )


def _cells(layer: Layer) -> tuple[str, ...]:
    shape = ", ".join(str(side) for side in layer.output_shape)
    how = "; ".join(filter(None, (layer.parameters_explained, layer.output_explained)))
    return f"{layer.name} ({layer.type})", f"({shape})", f"{layer.parameters:,}", how


def _aligned(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    lines.insert(1, "=" * max(map(len, lines)))
    lines.append(lines[1])
    return "\n".join(lines)


STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem;
       color: #222; background: #fff }
table { border-collapse: collapse; width: 100%; margin: 1rem 0 }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #ddd; vertical-align: top }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
tr.frozen td { color: #777 } code { font-size: .92em } .scroll { overflow-x: auto }
@media (prefers-color-scheme: dark) { body { background: #16181d; color: #ddd } th, td { border-color: #333 }
  a { color: #8ab4f8 } tr.frozen td { color: #888 } }
"""


def _page(title: str, body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>{body}</body></html>"
    )


def overview_html(lives: list[Live], root: str = "") -> str:
    """Lay the list of models out for a browser, which sees the service below the path `root`."""
    rows = []
    for live in lives:
        manifest, engine = live.predictor.manifest, live.predictor.engine
        name = escape(manifest.name)
        rows.append(
            f'<tr><td><a href="{root}/summary?model={name}">{name}</a> {manifest.version}</td>'
            f"<td>{manifest.task}</td><td>{escape(manifest.description)}</td>"
            f'<td class="n">{manifest.totals.parameters:,}</td><td>{escape(headline(manifest))}</td>'
            f"<td>{engine.name}, {engine.precision}</td></tr>"
        )
    head = '<tr><th>Model<th>Task<th>What<th class="n">Parameters<th>Held-out figure<th>Engine</tr>'
    return _page("Models", f"<h1>Models</h1><div class=scroll><table>{head}{''.join(rows)}</table></div>")


def html(live: Live, root: str = "") -> str:
    """Lay one model out for a browser: what it is, its layer table with explanations, its totals.

    The browser sees the service below the path `root`.
    """
    manifest, engine = live.predictor.manifest, live.predictor.engine
    spec, totals = manifest.input, manifest.totals
    facts = (
        f"<p>{escape(manifest.description)} <b>{escape(headline(manifest))}</b>.</p>"
        f"<p>Takes {spec.height}x{spec.width} {spec.colour} images ({escape(spec.normalisation)}); runs on "
        f"{engine.name} in {engine.precision}, {escape(engine.plan)}. "
        f"Trained on {escape(manifest.data.title)}, licence "
        f"{escape(manifest.data.licence)}; {escape(manifest.data.split_rule)}.</p>"
        f"<p>Labels: {escape(_labels(manifest))}.</p>"
        f"<p><b>{totals.parameters:,}</b> parameters, {totals.trainable:,} of them trainable, "
        f"{totals.non_trainable:,} not; {totals.multiply_adds:,} multiply-adds per image.</p>"
    )
    facts += "".join(f"<p><b>Note:</b> {escape(remark)}</p>" for remark in manifest.evaluation.remarks)
    facts += _html_table(("Figure", "Held out", "A constant answer"), figures(manifest))
    facts += _html_table(("What decides an answer", ""), answering(live))
    head = (
        '<tr><th>Layer<th>Output<th class="n">Parameters<th>How it comes about'
        '<th class="n">Sees<th class="n">Multiply-adds</tr>'
    )
    rows = "".join(_html_row(layer) for layer in manifest.layers)
    title = f"{manifest.name} {manifest.version}"
    return _page(
        title,
        f'<p><a href="{root}/summary">All models</a></p><h1>{escape(title)}</h1>{facts}'
        f"<div class=scroll><table>{head}{rows}</table></div>",
    )


def _html_table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = "".join(f"<th>{escape(cell)}" for cell in heading)
    lines = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<div class=scroll><table><tr>{cells}</tr>{lines}</table></div>"


def _html_row(layer: Layer) -> str:
    shape = " x ".join(str(side) for side in layer.output_shape)
    formulas = "".join(
        f"<code>{escape(formula)}</code><br>"
        for formula in (layer.parameters_explained, layer.output_explained)
        if formula
    )
    sees = f"{layer.receptive_field} px" if layer.receptive_field else "all"
    frozen = ' class="frozen"' if layer.parameters and not layer.trainable_parameters else ""
    return (
        f"<tr{frozen}><td>{escape(layer.name)}<br><small>{escape(layer.type)}</small></td><td>{shape}</td>"
        f'<td class="n">{layer.parameters:,}</td><td>{formulas}{escape(layer.note)}</td>'
        f'<td class="n">{sees}</td><td class="n">{layer.multiply_adds:,}</td></tr>'
    )
