"""Photos that are doubtful, drawn: what `inspect` and the report of a run show of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.datasets import DatasetError, Splits
from training.datasets.dataset import Doubt
from training.datasets.division import join
from training.datasets.reading import file_digest, read_photo
from training.evaluation import suspects
from training.evaluation.suspects import FeaturesError, Suspect
from training.schema import Recipe
from training.tasks.pictures import SIDE, Picture, caption, enlarge, tile

COLUMNS, MOST = 5, 40
_OF_ONE = 4
"""Of a group of near-duplicates, no more than so many are drawn."""


@dataclass(frozen=True)
class Shown:
    """A photo and what is said of it."""

    picture: Picture
    name: str
    words: str


def shown(folder: Path, doubts: Sequence[Doubt]) -> Iterator[Shown]:
    """Draw the photos that doubts name, as many as can be read, at most `MOST`."""
    left = MOST
    for doubt in doubts:
        for name in doubt.files[:_OF_ONE]:
            if left == 0:
                return
            try:
                photo = read_photo(folder / name, 3, SIDE)
            except DatasetError:
                continue
            left -= 1
            aspect = photo.width / photo.height
            yield Shown(enlarge(np.asarray(photo.image), aspect=aspect), name, f"{doubt.kind}: {doubt.text}")


def as_doubts(errors: Sequence[Suspect]) -> list[Doubt]:
    """Return likely label errors as doubts of a kind of their own."""
    return [Doubt("label?", (one.file,), one.words) for one in errors]


def of_run(recipe: Recipe, splits: Splits, *, label_errors: bool) -> list[Doubt]:
    """Tell what is doubtful in the folder of one's own that a recipe learns from.

    With `label_errors` also which class labels are likely wrong, where that takes seconds.
    """
    parts = (splits.train, splits.validation, splits.test)
    folder = Path(recipe.data)
    paths = [path for part in parts for path in part.paths or ()]
    if not (label_errors and recipe.request.truth == "label" and recipe.data):
        return list(splits.doubts)
    if len(paths) > suspects.QUICK:
        text = f"of {len(paths)} photos, `inspect --doubts` looks for wrong labels"
        return [Doubt("label?", (), text), *splits.doubts]
    files = [path.relative_to(folder).as_posix() for path in paths]
    labels = [splits.labels[label] for part in parts if part.labels is not None for label in part.labels]
    try:
        keys = [[file_digest(path), file] for path, file in zip(paths, files, strict=True)]
        together = join([*keys, *(doubt.files for doubt in splits.doubts)])[: len(files)]
        errors = suspects.find(folder, files, labels, together)
    except (DatasetError, FeaturesError, OSError) as error:
        return [Doubt("label?", (), f"wrong labels were not looked for: {error}"), *splits.doubts]
    return [*as_doubts(errors), *splits.doubts]


def sheet(folder: Path, doubts: Sequence[Doubt]) -> Picture | None:
    """Lay them out on one sheet, each with its name and what is said of it; None where there is none."""
    tiles = [_tile(one) for one in shown(folder, doubts)]
    return tile(tiles, COLUMNS) if tiles else None


def _tile(one: Shown) -> Picture:
    square = np.full((SIDE, SIDE, 3), 255, np.uint8)
    height, width = one.picture.shape[:2]
    square[:height, :width] = one.picture
    return np.concatenate([square, caption(f"{one.name[-25:]}\n{one.words[:26]}", SIDE)])
