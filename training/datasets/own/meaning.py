"""What the values of masks are, and what they mean once that is decided; masks in colours decide it so."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.datasets.dataset import DatasetError
from training.datasets.own.colours import Colours

MAX_CLASSES = 128
"""What the service can serve."""
FEW = 16
"""Up to so many different values in all files, greys of classes look the same as numbers of objects."""
COLOURS, DRAWN = "colours", "drawn"
"""The modes of masks whose values are numbers of colours, and of those that were drawn from outlines."""


@dataclass(frozen=True)
class Values:
    """What one mask file holds.

    `present` are its different values, in rising order; `mode` and `format` are Pillow's names; `blurred`
    says that it looks like black and white with a border smoothed, or with the noise of a JPEG.
    """

    path: Path
    present: tuple[int, ...]
    mode: str
    format: str
    blurred: bool

    @property
    def objects(self) -> frozenset[int]:
        """The values that are not 0."""
        return frozenset(self.present) - {0}

    @property
    def full(self) -> int:
        """White: 255, or 65535 of 16 bits."""
        return 65535 if max(self.present) > 255 else 255

    @property
    def graded(self) -> bool:
        """Whether it has white, and greys that are not merely some noise above black."""
        between = {value for value in self.objects if self.full // 4 <= value < self.full}
        return bool(between) and self.mode != "P" and max(self.present) >= 0.98 * self.full


@dataclass(frozen=True)
class Meaning:
    """Class names, and the step from one file's values uint16 `[...]` to class indices uint8."""

    labels: tuple[str, ...]
    note: str
    index: Callable[[NDArray[np.uint16], Values], NDArray[np.uint8]]
    numbered: bool = False
    """Whether the values above 0 number separate objects."""
    void: int = 0
    """The value that is no object, though it is above 0."""

    def objects(self, values: NDArray[np.uint16]) -> NDArray[np.uint16]:
        """Return which object each pixel is of, 0 where of none."""
        return np.asarray(np.where(values == self.void, 0, values), np.uint16)


def are_colours(masks: Sequence[Values], colours: Colours) -> bool:
    """Tell whether the values number colours; of such masks, some may be all black or grey."""
    if any(mask.mode == COLOURS for mask in masks):
        return True
    return colours.legend is not None and all(mask.mode in ("RGB", "RGBA") for mask in masks)


def coloured(masks: Sequence[Values], found: set[int], colours: Colours) -> Meaning:
    """Return the classes of masks in colours; DatasetError where they are too many, or not in the legend."""
    labels, classes = colours.classes(found)
    if len(labels) > MAX_CLASSES:
        raise DatasetError(f"The masks have {len(labels)} colours: {MAX_CLASSES} classes are the most.")
    unnamed = found - set(classes)
    if unnamed:
        raise DatasetError(f"The masks have greys that the legend does not name: {listed(unnamed)}.")
    table = np.zeros(max(classes) + 1, np.uint8)
    table[list(classes)] = list(classes.values())
    where = f"named in {colours.legend.path.name}" if colours.legend else "named by their colours"
    return Meaning(labels, f"masks hold {len(labels)} classes, a colour for each, {where}", _Table(table))


@dataclass(frozen=True)
class _Table:
    """Looks the class of a number up."""

    classes: NDArray[np.uint8]

    def __call__(self, values: NDArray[np.uint16], mask: Values) -> NDArray[np.uint8]:
        return np.asarray(self.classes[values], np.uint8)


def listed(values: Iterable[int]) -> str:
    """Return numbers in words, of many only the first and the last."""
    words = [str(value) for value in sorted(values)]
    return ", ".join(words if len(words) <= FEW else [*words[: FEW // 2], "...", *words[-FEW // 4 :]])
