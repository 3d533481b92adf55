"""Groups of labels, such as cat and dog of breeds: what scores of labels say of them, and how well.

A group's score is the sum of its labels' scores, as the service has it. `groups` are always those of the
labels, one for each, in the order of the labels.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.tasks import baselines, measures
from training.tasks.baselines import Baselines
from training.tasks.intervals import Interval
from training.tasks.measures import Figures

Groups = tuple[str, ...]


def names(groups: Groups) -> Groups:
    """Return each group once, in the order in which they come."""
    return tuple(dict.fromkeys(groups))


def members(labels: Sequence[str], groups: Groups) -> dict[str, list[str]]:
    """Return the labels of each group; nothing where there are no groups."""
    found: dict[str, list[str]] = {group: [] for group in groups}
    for label, group in zip(labels, groups, strict=bool(groups)):
        found[group].append(label)
    return found


def indices(groups: Groups) -> NDArray[np.intp]:
    """Return for each label the place of its group among `names`, `[K]`."""
    known = names(groups)
    return np.asarray([known.index(group) for group in groups], np.intp)


def scores(rows: NDArray[Any], groups: Groups) -> NDArray[np.float64]:
    """Return the groups' scores `[N, G]` of the labels' `[N, K]`; both sum to 1."""
    member = np.eye(len(names(groups)))[indices(groups)]
    found: NDArray[np.float64] = rows.astype(np.float64) @ member
    return found


def measure(
    rows: NDArray[Any], true: NDArray[Any], groups: Groups
) -> tuple[Figures, dict[str, Interval], dict[str, Figures]]:
    """Measure the labels' scores `[N, K]` by their groups, against true labels `[N]`.

    Returns the figure `group_accuracy`, its interval, and figures per group.
    """
    figures, intervals, per_group, _ = measures.measure_scores(
        scores(rows, groups), indices(groups)[true], names(groups)
    )
    return (
        {"group_accuracy": figures["accuracy"]},
        {"group_accuracy": intervals["accuracy"]},
        per_group,
    )


def constant_answers(train: NDArray[Any], test: NDArray[Any], groups: Groups) -> Baselines:
    """Return the figures of always saying the group that is commonest among training's labels `[N]`."""
    of_label = indices(groups)
    found = baselines.of_labels(of_label[train], of_label[test], names(groups))
    return {"group_accuracy": found["accuracy"]}


def columns(
    rows: NDArray[Any], true: NDArray[Any], groups: Groups
) -> dict[str, Sequence[Any] | NDArray[Any]]:
    """Return true and answered group of each sample, and the score."""
    found, known = scores(rows, groups), names(groups)
    best = found.argmax(axis=1)
    return {
        "group": [known[index] for index in indices(groups)[true]],
        "group answer": [known[index] for index in best],
        "group score": found[np.arange(len(best)), best],
    }


def words(row: NDArray[Any], groups: Groups) -> str:
    """Return the group that one image's scores `[K]` say, with its score."""
    (found,) = scores(row[None], groups)
    return f"{names(groups)[int(found.argmax())]} {found.max():.2f}"
