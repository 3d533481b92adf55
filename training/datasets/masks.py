"""What the numbers in a folder of masks mean: two classes, several classes, or separate objects."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.datasets.dataset import DatasetError, MaskValues

MAX_CLASSES = 128
"""What the service can serve."""
VOID = 255
"""The value that Pascal VOC gives to pixels that are nothing for certain."""


@dataclass(frozen=True)
class Values:
    """The different values of one mask file, in rising order, and the file's mode (Pillow's name)."""

    present: tuple[int, ...]
    mode: str


@dataclass(frozen=True)
class Meaning:
    """Class names, and the step from values uint16 `[..., H, W]` to class indices uint8."""

    labels: tuple[str, ...]
    note: str
    index: Callable[[NDArray[np.uint16]], NDArray[np.uint8]]


def decide(masks: Sequence[Values], stated: MaskValues, names: Sequence[str]) -> Meaning:
    """Decide what the values mean; `names` are the classes' where the folder says them.

    Raises DatasetError where it could be either classes or objects, or where the names do not fit.
    """
    kind = stated or _recognise(masks)
    if kind != "classes":
        note = "masks are 0 and one other value" if kind == "binary" else "masks number separate objects"
        labels = tuple(names) or ("background", "object")
        if len(labels) != 2:
            raise DatasetError(f"The masks have two classes, the folder names {len(labels)}: {labels}.")
        return Meaning(labels, f"{note}: everything above 0 is {labels[1]}", _above_zero)
    top = max((value for mask in masks for value in mask.present if value != VOID), default=0)
    if not 1 <= top < MAX_CLASSES:
        raise DatasetError(
            f"Masks with classes need values 0 to at most {MAX_CLASSES - 1}, and more than one; the highest "
            f"is {top}. If the values number objects, say --masks instances."
        )
    labels = tuple(names) or ("background", *(f"class {value}" for value in range(1, top + 1)))
    if len(labels) <= top:
        raise DatasetError(f"The masks have values up to {top}, but the folder names {len(labels)} classes.")
    void = any(VOID in mask.present for mask in masks)
    note = f"masks hold {len(labels)} classes" + (f"; {VOID} counts as {labels[0]}" if void else "")
    return Meaning(labels, note, _void_is_background)


def _recognise(masks: Sequence[Values]) -> MaskValues:
    present = {value for mask in masks for value in mask.present}
    # A mask of one object alone, or of nothing, says as much as any other.
    if len(present - {0}) == 1 and present & {1, 255}:
        return "binary"
    if all(mask.mode == "P" for mask in masks):
        return "classes"
    if any(mask.mode.startswith("I") for mask in masks) or max(present - {VOID}, default=0) >= MAX_CLASSES:
        return "instances"
    # Numbered objects are 1, 2, 3 ... without a gap in every file, up to a number that differs.
    gapless = all(max(mask.present) == len(set(mask.present) - {0}) for mask in masks)
    if gapless and len({max(mask.present) for mask in masks}) > 1:
        raise DatasetError(
            "The masks' values could be classes or numbered objects: say --masks classes or instances."
        )
    return "classes"


def _above_zero(values: NDArray[np.uint16]) -> NDArray[np.uint8]:
    return np.asarray(values > 0, np.uint8)


def _void_is_background(values: NDArray[np.uint16]) -> NDArray[np.uint8]:
    return np.asarray(np.where(values == VOID, 0, values), np.uint8)
