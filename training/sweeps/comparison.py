"""A sweep's folder to one table of all trials and the curves of the best run per data set."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from training.fit.checkpoints import best_epoch
from training.fit.runs import read_history
from training.reports import report
from training.sweeps.plan import Scalar, Sweep, SweepError
from training.sweeps.sweep import Trial, problem, slug, trials
from training.sweeps.trial import Record, read_record
from training.tasks import heads


@dataclass(frozen=True)
class Row:
    """One trial as the table shows it; what is not known is None."""

    trial: Trial
    record: Record
    epochs: int
    best_epoch: int | None
    validation: float | None
    test: float | None
    figure: str
    """The name of both figures."""

    @property
    def settings(self) -> dict[str, Scalar]:
        """What the sweep varied, besides what has columns of its own."""
        return {key: value for key, value in self.trial.settings.items() if key not in _COLUMNS}


_COLUMNS = {"dataset", "architecture"}


def write(folder: Path) -> list[Path]:
    """Write sweep.md, sweep.html and curves per data set into the sweep's folder; return the files."""
    try:
        sweep = Sweep.model_validate_json((folder / "sweep.json").read_text("utf-8"))
    except FileNotFoundError:
        raise SweepError(f"{folder} is not a sweep: sweep.json is missing.") from None
    rows = [_row(item, folder / item.name) for item in trials(sweep)]
    winners = best(rows)
    names = _file_names(list(winners))
    pictures = {name: _draw(row, folder, names[name]) for name, row in winners.items()}
    environment = Environment(
        loader=PackageLoader("training"),
        autoescape=select_autoescape(["html.jinja"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": _percent, "setting": _setting, "embedded": _embedded}
    view: dict[str, Any] = {
        "sweep": sweep,
        "rows": sorted(rows, key=_rank),
        "winners": winners,
        "pictures": pictures,
        "seconds": sum(row.record.seconds for row in rows),
    }
    pages = []
    for kind in ("md", "html"):
        page = folder / f"sweep.{kind}"
        page.write_text(environment.get_template(f"sweep.{kind}.jinja").render(view), "utf-8")
        pages.append(page)
    return [*pages, *pictures.values()]


def best(rows: list[Row]) -> dict[str, Row]:
    """Return the finished trial of the highest validation figure per problem: the test has no say."""
    winners: dict[str, Row] = {}
    for row in rows:
        if row.record.status != "finished" or row.validation is None:
            continue
        name = problem(row.trial.recipe)
        known = winners.get(name)
        if known is None or row.validation > (known.validation or 0.0):
            winners[name] = row
    return winners


def _row(item: Trial, folder: Path) -> Row:
    history = read_history(folder / "history.csv")
    monitor = heads.monitor(item.recipe, history)
    top = history[best_epoch(history, monitor)] if history else None
    figure = monitor.removeprefix("val_")
    figure = heads.FIGURES.get(figure, figure)
    return Row(
        item,
        read_record(folder) or Record(),
        epochs=len({epoch["epoch"] for epoch in history}),
        best_epoch=None if top is None else int(top["epoch"]) + 1,
        validation=None if top is None else top[monitor],
        test=_test_figure(folder / "evaluation.json", figure),
        figure=figure,
    )


def _test_figure(path: Path, figure: str) -> float | None:
    return json.loads(path.read_text("utf-8"))["figures"][figure] if path.is_file() else None


def _rank(row: Row) -> tuple[str, float]:
    return problem(row.trial.recipe), -(row.validation if row.validation is not None else -1.0)


def _file_names(problems: list[str]) -> dict[str, str]:
    """Return a name for each one's picture; where two would have the same, numbered."""
    names = {name: slug(name) for name in problems}
    taken = list(names.values())
    return {
        name: short if taken.count(short) == 1 else f"{number}-{short}"
        for number, (name, short) in enumerate(names.items(), start=1)
    }


def _draw(row: Row, folder: Path, name: str) -> Path:
    picture = folder / f"curves-{name}.png"
    history = folder / row.trial.name / "history.csv"
    report.draw_curves(history, heads.monitor(row.trial.recipe, read_history(history)), picture)
    return picture


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f} %"


def _setting(settings: dict[str, Scalar]) -> str:
    return ", ".join(f"{key.removeprefix('training.')} {value}" for key, value in settings.items()) or "-"


def _embedded(picture: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode()
