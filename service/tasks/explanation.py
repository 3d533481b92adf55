"""Explanation: a label's score while each part of the image is covered -> a map of what it depends on."""

import numpy as np
from numpy.typing import NDArray

from service.errors import ParameterError
from service.images import fitting, pictures
from service.images.codec import Photo
from service.manifest import Manifest, Task
from service.options import ExplainOptions
from service.responses import Explanation
from service.schemas import Box
from service.tasks.task import Row, unit
from service.wording import nearest, quoted

TASKS_EXPLAINED: tuple[Task, ...] = ("classification", "localization")
"""Those whose answer is one score of a label. A mask already shows what each pixel is taken for, and of many
objects no single score is what the image as a whole led to."""

LITTLE = 0.2
"""Log-odds below which no single part has much to do with the score: from 0.5 they lead to 0.45."""

LOST, LEAST = "lost", "least"
"""What covering adds to a row: of each cell of the grid the log-odds that are lost, `[rows, columns]`; the
least score that it has led to, `[]`."""

_CERTAIN = 1e-6


def weights(score: np.float32, scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return by how much the log-odds of a score are above those of others.

    Robnik-Sikonja, Kononenko, "Explaining Classifications For Individual Instances", TKDE 20, 2008, call it
    weight of evidence. Of the scores themselves, sure ones hardly change, whatever is covered.
    """
    return np.asarray(_log_odds(score) - _log_odds(scores), np.float32)


def _log_odds(scores: NDArray[np.float32] | np.float32) -> NDArray[np.float64]:
    sure = np.clip(np.asarray(scores, np.float64), _CERTAIN, 1 - _CERTAIN)
    return np.asarray(np.log(sure / (1 - sure)))


def check(options: ExplainOptions, manifest: Manifest) -> None:
    """Refuse a target that is no label, before an image is read: ParameterError."""
    name, labels = options.target, manifest.labels
    if name is None or name in labels:
        return
    meant = nearest(name, labels)
    hint = f" Did you mean {meant}?" if meant else ""
    known = ", ".join(labels[:20]) + (", ..." if len(labels) > 20 else "")
    raise ParameterError(f"target: {quoted(name)} is no label of this model.{hint} There are: {known}.")


def target(row: Row, manifest: Manifest, options: ExplainOptions) -> int:
    """Return the index of the label that is explained."""
    if options.target is not None:
        return manifest.labels.index(options.target)
    return int(row["scores"].argmax())


def explain(photo: Photo, row: Row, manifest: Manifest, options: ExplainOptions) -> Explanation:
    """Tell what the label's score depends on, in the posted image by the model's resize rule."""
    index = target(row, manifest, options)
    label, wide, high = manifest.labels[index], photo.width, photo.height
    seen = fitting.placed((wide, high), manifest.input).seen
    score, least = unit(row["scores"][index]), unit(float(row[LEAST]))
    parts = (seen.x_min / wide, seen.y_min / high, seen.x_max / wide, seen.y_max / high)
    return Explanation(
        label=label,
        score=score,
        least_score=least,
        map=tuple(tuple(round(value, 4) for value in each) for each in row[LOST].tolist()),
        box=Box(*map(float, seen)),
        box_normalized=Box(*map(unit, parts)),
        width=wide,
        height=high,
        meaning=meaning(label, score, least, float(row[LOST].max())),
    )


def meaning(label: str, score: float, least: float, most: float) -> str:
    """Say what a map is, and what its largest number says."""
    told = (
        f"How much less likely {label} is while that part of the image is covered by its mean colour. Of all "
        f"parts, covering one lowers the score from {score:.4f} to {least:.4f} at most."
    )
    if most < LITTLE:
        return f"{told} That is little: no single part decides, and what the map shows may be chance."
    return f"{told} It tells what the score depends on, not whether the answer is right."


def draw(photo: Photo, row: Row, manifest: Manifest, _: ExplainOptions) -> bytes:
    """Lay the map over the photo, brightest where most matters, dark where nothing or against the label."""
    seen = fitting.placed((photo.width, photo.height), manifest.input).seen
    # A very large photo is drawn on at a fraction of its size.
    wide, high = photo.image.size
    across, down = wide / photo.width, high / photo.height
    left, right = round(seen.x_min * across), round(seen.x_max * across)
    top, bottom = round(seen.y_min * down), round(seen.y_max * down)
    lost = row[LOST].clip(0)
    heat = np.asarray(lost / max(float(lost.max()), LITTLE), np.float32)
    return pictures.overlay_heat(photo, heat, (left, top, max(right, left + 1), max(bottom, top + 1)))
