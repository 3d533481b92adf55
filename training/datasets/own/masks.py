"""What the numbers in a folder of masks mean: two classes, several classes, or separate objects."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from training.datasets.dataset import DatasetError, MaskValues
from training.datasets.labels.shapes import Drawn
from training.datasets.own.colours import Colours
from training.datasets.own.meaning import (
    COLOURS,
    DRAWN,
    FEW,
    MAX_CLASSES,
    Meaning,
    Values,
    are_colours,
    coloured,
    listed,
)
from training.datasets.reading import LOSSY, read_values

VOID = 255
"""The value that Pascal VOC gives to pixels that are nothing for certain."""


def read(path: Path, colours: Colours | None = None) -> tuple[NDArray[np.int32], Values]:
    """Read a mask's values as `reading.read_values` does, and what they are; `colours` are its folder's.

    Raises DatasetError where a JPEG has changed them so that nobody can tell what they were.
    """
    values, mode, kind = read_values(path, (colours or Colours(None)).number)
    found = Values(path, _present(values), mode, kind, blurred=False)
    if mode == COLOURS:
        return values, found
    found = replace(found, blurred=_is_blurred(values, found))
    if _lossy(found) and not found.blurred:
        raise DatasetError(
            f"{path} is a {kind}, which has changed its values: only black and white can be told apart "
            f"in it. Save masks as PNG."
        )
    return values, found


def _present(values: NDArray[np.int32]) -> tuple[int, ...]:
    return tuple(np.flatnonzero(np.bincount(values.ravel())).tolist())


def draw(path: Path, mask: Drawn, size: tuple[int, int]) -> tuple[NDArray[np.int32], Values]:
    """Draw the mask of the image at `path`, and say what it holds; `size` is (width, height).

    Raises DatasetError where an outline does not fit the image.
    """
    try:
        values = mask.values(*size)
    except ValueError as error:
        raise DatasetError(f"{path} {error}.") from None
    return values, Values(path, _present(values), DRAWN, DRAWN, blurred=False)


def _is_blurred(values: NDArray[np.int32], mask: Values) -> bool:
    """Tell whether greys are only where black and white meet, a few pixels wide."""
    half, step = mask.full // 2 + 1, mask.full // 16 + 1
    bright = any(half <= value < max(mask.present) for value in mask.present)
    if not _lossy(mask) and not (mask.graded and bright):
        return False
    white = np.count_nonzero(values >= half + half // 2)
    middle = np.count_nonzero(values >= half // 2) - white
    grey = np.asarray((values >= step) & (values < mask.full + 1 - step), np.uint8)
    solid = np.count_nonzero(cv2.erode(grey, np.ones((5, 5), np.uint8)))
    return bool(white > 0 and white >= middle and 100 * solid <= white)


def _lossy(mask: Values) -> bool:
    return mask.format in LOSSY and len(mask.present) > 1 + (VOID in mask.present)


def decide(
    masks: Sequence[Values], stated: MaskValues, names: Sequence[str], colours: Colours | None = None
) -> Meaning:
    """Decide what the values mean; `names` are the classes' where the folder says them.

    Raises DatasetError where they could mean different things, or where the names do not fit.
    """
    found = sorted({value for mask in masks for value in mask.present})
    if len(found) < 2:
        raise DatasetError(f"All masks hold {listed(found) or 'nothing'} alone: they tell nothing apart.")
    if colours and are_colours(masks, colours):
        return coloured(masks, set(found), colours)
    kind = stated or _recognise(masks, names)
    if kind == "classes":
        _refuse_blurred(masks, kind)
        return _classes(masks, found, names)
    labels = tuple(names) or ("background", "object")
    if len(labels) != 2:
        raise DatasetError(f"The masks have two classes, the folder names {len(labels)}: {labels}.")
    if kind == "instances":
        return _objects(masks, found, labels)
    if _mostly(masks, lambda mask: mask.graded or mask.blurred):
        note = (
            f"masks are black and white with greys between: everything from half of white on is {labels[1]}"
        )
        return Meaning(labels, note, _above_half)
    for mask in masks:
        _demand_two_values(mask)
    return Meaning(labels, f"masks are 0 and one other value: everything above 0 is {labels[1]}", _above_zero)


def _objects(masks: Sequence[Values], found: Sequence[int], labels: tuple[str, ...]) -> Meaning:
    _refuse_blurred(masks, "instances")
    note = f"masks number separate objects: everything above 0 is {labels[1]}"
    # The borders in Pascal VOC's masks of objects, whose palette has no more objects than 254.
    if VOID in found and all(mask.mode == "P" for mask in masks):
        return Meaning(labels, f"{note}, but {VOID}", _above_zero_but_void, True, VOID)
    return Meaning(labels, note, _above_zero, True)


def _refuse_blurred(masks: Sequence[Values], kind: str) -> None:
    lossy = [mask for mask in masks if _lossy(mask)]
    if lossy:
        raise DatasetError(
            f"{lossy[0].path} is a {lossy[0].format}, which changes values: it cannot hold {kind}. Save "
            f"masks as PNG."
        )
    if _are_blurred(masks):
        raise DatasetError(
            f"The masks are black and white with a smoothed border: they cannot hold {kind}. Say --masks "
            f"binary, or save them without smoothing."
        )


def _demand_two_values(mask: Values) -> None:
    # Below 128 nothing can be a grey of a scale up to 255, nor above 255: those are numbers of something.
    if len(mask.objects) > 1 and MAX_CLASSES <= max(mask.present) <= 255:
        raise DatasetError(
            f"{mask.path} holds {listed(mask.present)}: a binary mask holds 0 and one other value. If the "
            f"values number objects, say --masks instances."
        )


def _recognise(masks: Sequence[Values], names: Sequence[str]) -> MaskValues:
    used = frozenset[int]().union(*(mask.objects for mask in masks))
    palettes = all(mask.mode in ("P", DRAWN) for mask in masks)
    if _is_binary(masks, used, palettes):
        return "binary"
    if len(names) > 2 or (palettes and not _may_be_numbers(masks, used - {VOID})):
        return "classes"
    if palettes:
        raise _asked()
    if _are_numbers(masks, used):
        return "instances"
    classes = used - {VOID}
    void = any(VOID in mask.present and len(mask.objects) > 1 for mask in masks) and _dense(classes)
    if max(classes) >= MAX_CLASSES or (VOID in used and not void):
        raise DatasetError(
            f"The masks' values ({listed(used | {0})}) could be the smoothed border of one class, greys of "
            f"several classes, or numbers of objects: say --masks binary, --masks classes (with a name for "
            f"each value in classes.txt), or --masks instances."
        )
    # Numbered objects are 1, 2, 3 ... without a gap in every file, up to a number that differs.
    numbers = all(_gapless(mask) for mask in masks) and len({max(mask.present) for mask in masks}) > 1
    if numbers or any(mask.mode.startswith("I") for mask in masks):
        raise _asked()
    return "classes"


def _asked() -> DatasetError:
    return DatasetError(
        "The masks' values could be classes or numbered objects: say --masks classes or instances."
    )


def _may_be_numbers(masks: Sequence[Values], used: frozenset[int]) -> bool:
    """Tell whether the numbers of palettes are 1, 2, 3 ... in every file, up to one that differs."""
    tops = {max(mask.objects - {VOID}, default=0) for mask in masks}
    gapless = all(len(mask.objects - {VOID}) == max(mask.objects - {VOID}, default=0) for mask in masks)
    return gapless and len(tops) > 1 and max(used, default=0) > 2 and masks[0].mode == "P"


def _is_binary(masks: Sequence[Values], used: frozenset[int], palettes: bool) -> bool:
    # A mask of one object alone, or of nothing, says as much as any other.
    if len(used) == 1:
        return bool(used & {1, VOID}) or (max(used) >= MAX_CLASSES and not palettes)
    if used == {1, VOID}:
        return not palettes and all(len(mask.objects) < 2 for mask in masks)
    return _are_blurred(masks)


def _are_blurred(masks: Sequence[Values]) -> bool:
    """Tell whether all masks are black and white, with so many greys between that these are no classes."""
    if not all(mask.blurred or mask.objects <= {1} or mask.objects == {mask.full} for mask in masks):
        return False
    return any(map(_lossy, masks)) or len({value for mask in masks for value in mask.objects}) > FEW


def _are_numbers(masks: Sequence[Values], used: frozenset[int]) -> bool:
    """Tell whether the values can be nothing but numbers of objects."""
    if len(used) <= FEW or _mostly(masks, lambda mask: max(mask.present) == mask.full):
        return False
    if max(used) > VOID:
        return True
    if max(used) >= MAX_CLASSES and max(used - {VOID}) >= MAX_CLASSES:
        return _mostly(masks, lambda mask: _dense(mask.objects))
    differ = len({max(mask.present) for mask in masks}) > 1
    return differ and all(_gapless(mask) and mask.mode.startswith("I") for mask in masks)


def _mostly(masks: Iterable[Values], true: Callable[[Values], bool]) -> bool:
    """Tell whether it is true of half of the masks that hold more than 0 and one other value."""
    telling = [mask for mask in masks if len(mask.objects) > 1]
    return bool(telling) and 2 * sum(map(true, telling)) >= len(telling)


def _gapless(mask: Values) -> bool:
    return max(mask.present) == len(mask.objects)


def _dense(values: frozenset[int]) -> bool:
    """Tell whether at least every second number up to the highest is there."""
    return bool(values) and 2 * len(values) >= max(values)


def _classes(masks: Sequence[Values], found: Sequence[int], names: Sequence[str]) -> Meaning:
    ranks = sorted({0, *found})
    used = frozenset(found) - {0, VOID}
    top = max(used, default=0)
    palettes = all(mask.mode in ("P", DRAWN) for mask in masks)
    void = VOID in found and top > 0 and (palettes or _dense(used) or len(names) > top)
    gaps = top >= MAX_CLASSES or (VOID in found and not void)
    if len(names) == len(ranks) <= MAX_CLASSES and (gaps or (not _dense(used) and not void)):
        note = f"masks hold {len(names)} classes: {listed(ranks)}, in the order of their names"
        return Meaning(tuple(names), note, _Ranks(tuple(ranks)))
    if gaps and len(ranks) <= MAX_CLASSES:
        raise DatasetError(
            f"The masks' values have gaps: {listed(ranks)}. To be classes they need {len(ranks)} names in "
            f"classes.txt, one per line in the order of the values; it has {len(names)}. If they number "
            f"objects, say --masks instances."
        )
    if not 1 <= top < MAX_CLASSES:
        raise DatasetError(
            f"Masks with classes need values 0 to at most {MAX_CLASSES - 1}, and more than one; the highest "
            f"is {top}. If the values number objects, say --masks instances."
        )
    labels = tuple(names) or ("background", *(f"class {value}" for value in range(1, top + 1)))
    if len(labels) <= top:
        raise DatasetError(f"The masks have values up to {top}, but the folder names {len(labels)} classes.")
    note = f"masks hold {len(labels)} classes" + (f"; {VOID} counts as {labels[0]}" if void else "")
    return Meaning(labels, note, _void_is_background)


@dataclass(frozen=True)
class _Ranks:
    """Numbers values with gaps in their rising order."""

    values: tuple[int, ...]

    def __call__(self, values: NDArray[np.uint16], mask: Values) -> NDArray[np.uint8]:
        return np.asarray(np.searchsorted(self.values, values), np.uint8)


def _above_zero(values: NDArray[np.uint16], mask: Values) -> NDArray[np.uint8]:
    return np.asarray(values > 0, np.uint8)


def _above_zero_but_void(values: NDArray[np.uint16], mask: Values) -> NDArray[np.uint8]:
    return np.asarray((values > 0) & (values != VOID), np.uint8)


def _above_half(values: NDArray[np.uint16], mask: Values) -> NDArray[np.uint8]:
    white = 1 if mask.objects <= {1} else mask.full
    return np.asarray(2 * values.astype(np.int32) >= white, np.uint8)


def _void_is_background(values: NDArray[np.uint16], mask: Values) -> NDArray[np.uint8]:
    return np.asarray(np.where(values == VOID, 0, values), np.uint8)
