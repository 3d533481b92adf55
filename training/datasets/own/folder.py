"""A folder of one's own: labelled images in any of the layouts of `layout.py`."""

import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.datasets import framing
from training.datasets.dataset import NEAR, DatasetError, Doubt, MaskValues, Request, Samples, Source, Splits
from training.datasets.division import divide
from training.datasets.own import doubts, keeping, objects, sets
from training.datasets.own.classnames import class_names
from training.datasets.own.layout import list_folder
from training.datasets.own.listing import PARTS, Item, Part
from training.datasets.own.masks import decide
from training.datasets.own.meaning import Meaning
from training.datasets.own.survey import Canvas, Seen, Survey, canvas, sides, survey
from training.datasets.own.tree import OBJECT_FOLDERS, state_of
from training.datasets.windows import Pictured, read_windows
from training.learnable import LEARNABLE

log = logging.getLogger("training")


def load(folder: Path, request: Request) -> Splits:
    """Read and divide a folder. DatasetError names every file with which something is wrong.

    With `request.skip_broken` those files are left out instead. With `request.fingerprint`, the folder must
    be as it was when that was taken: other files would be divided otherwise, and the test would leak.
    """
    state = state_of(folder)
    name = keeping.digest(folder, state, request)
    if request.resize == "tile":
        return _in_tiles(folder, request, name)
    found = keeping.recall(name, folder) or _remembered.get(name)
    if found is None:
        found = _read(folder, request, name)
    if request.fingerprint not in ("", found.fingerprint):
        raise _changed(folder)
    for level, text in found.told:
        log.log(level, "%s: %s", folder, text)
    return found.splits()


_remembered: dict[str, keeping.Reading] = {}
"""The last folder that could not be kept on disk, so that it is not decoded for each command's every step."""


def _changed(folder: Path) -> DatasetError:
    return DatasetError(
        f"{folder} is not what it was when the run began: files came, went or changed, so that images "
        f"which were trained on could be tested on. Put it back, or train anew with --fresh."
    )


def _in_tiles(folder: Path, request: Request, name: str) -> Splits:
    """Read a folder's images at their own scale: in windows, which alone are kept on disk, under `name`."""
    listing = list_folder(folder, request.task, request.labels)
    if request.fingerprint not in ("", listing.fingerprint):
        raise _changed(folder)
    found = survey(listing, replace(request, resize="stretch"))
    seen = _usable(found, request.skip_broken)
    meaning = mask_meaning(found, seen, request.masks)
    for text in (f"{listing.layout}, {len(listing.items)} images", *listing.notes, meaning.note):
        log.info("%s: %s", folder, text)
    for text in (*(f"left out: {fault}" for fault in found.faults), *listing.warnings):
        log.warning("%s: %s", folder, text)
    known = [_pictured(found, one, meaning) for one in seen]
    parts = divided(seen, request)
    train, validation, test = (
        read_windows(
            [one for one, own in zip(known, parts, strict=True) if own == part],
            request,
            name,
            tiles=part != "train",
        )
        for part in PARTS
    )
    return Splits(train, validation, test, meaning.labels, listing.fingerprint)


def _pictured(found: Survey, one: Seen, meaning: Meaning) -> Pictured:
    values = one.values
    assert values is not None

    def numbers() -> NDArray[np.uint16]:
        return np.asarray(found.mask_values(one), np.uint16)

    objects = (lambda: meaning.objects(numbers())) if meaning.numbered else None
    return Pictured(one.item.path, one.item.path, lambda: meaning.index(numbers(), values), objects)


def _read(folder: Path, request: Request, name: str) -> keeping.Reading:
    """Read a folder's files, each once, and keep what came of it."""
    listing = list_folder(folder, request.task, request.labels)
    if request.fingerprint.removeprefix(NEAR) not in ("", listing.fingerprint):
        # Before minutes are spent on it.
        raise _changed(folder)
    log.info("%s: %d images to be read", folder, len(listing.items))
    onto = canvas(listing, request)
    found = survey(listing, request, onto)
    seen = _usable(found, request.skip_broken)
    parts = divided(seen, request, found.near)
    order = sorted(range(len(seen)), key=lambda row: PARTS.index(parts[row]))
    made, arrays, note = _assemble(found, [seen[row] for row in order], request, onto)
    told = [(logging.INFO, f"{listing.layout}, {len(listing.items)} images")]
    told += [(logging.WARNING, f"left out: {fault}") for fault in found.faults]
    told += [(logging.INFO, text) for text in (*listing.notes, *note)]
    told += [(logging.WARNING, text) for text in listing.warnings]
    doubtful = doubts.doubts(found, seen, parts) if request.near else ()
    told += [(logging.WARNING, text) for text in _counted(doubtful)]
    counts = (parts.count("train"), parts.count("validation"), parts.count("test"))
    mark = NEAR if request.near else ""
    result = replace(
        made, counts=counts, fingerprint=mark + listing.fingerprint, told=tuple(told), doubts=doubtful
    )
    if keeping.digest(folder, state_of(folder), request) != name:
        raise DatasetError(f"{folder} changed while it was read: run the command again.")
    result = keeping.keep(name, folder, result, arrays)
    _remembered.clear()
    if not isinstance(result.samples.images, np.memmap):
        _remembered[name] = result
    return result


def _usable(found: Survey, skip_broken: bool) -> tuple[Seen, ...]:
    if found.faults and not skip_broken:
        lines = "\n  ".join(str(fault) for fault in found.faults)
        raise DatasetError(
            f"{found.listing.folder} has faults: {len(found.faults)}. Mend them, or leave these files out "
            f"with --skip-broken:\n  {lines}"
        )
    seen = found.sound()
    if not seen:
        raise DatasetError(f"{found.listing.folder} has no image left to train on.")
    return seen


def _counted(doubtful: Sequence[Doubt]) -> list[str]:
    kinds = Counter(doubt.kind for doubt in doubtful)
    words = ", ".join(f"{kind} {count}" for kind, count in kinds.items())
    return [f"doubtful: {words}; `inspect` tells which"] if kinds else []


def divided(seen: Sequence[Seen], request: Request, near: Mapping[int, int] | None = None) -> list[Part]:
    """Give each image its part; DatasetError where there are too few.

    Near-duplicates go into one part, unless so many are alike that no division would be left.
    """
    labels = [one.item.label for one in seen]
    if request.truth in ("objects", "labels"):
        labels = objects.strata(labels)
    if request.truth == "label" and len(set(labels)) < 2:
        raise DatasetError(
            f"All images are {labels[0]!r}: to tell classes apart there must be two at least.{_inner(seen)}"
        )
    given = [one.item.part for one in seen]
    if near:
        try:
            return divide(labels, sides(seen, request.group_by, near), given)
        except DatasetError:
            parts = divide(labels, sides(seen, request.group_by), given)
            log.warning("Too many images are near-duplicates to be kept in one part: only copies are.")
            return parts
    return divide(labels, sides(seen, request.group_by), given)


def _inner(seen: Sequence[Seen]) -> str:
    """Return what to say where all classes lie in one folder, as an archive leaves them."""
    places = {one.item.path.parent for one in seen}
    common = Path(os.path.commonpath(places))
    names = sorted({place.relative_to(common).parts[:1] for place in places})
    if len(names) < 2 or () in names or seen[0].item.label not in common.parts:
        return ""
    return f" If {names[0][0]}/ and {names[1][0]}/ are classes, give the folder that they are in: {common}"


def _assemble(
    found: Survey, seen: Sequence[Seen], request: Request, onto: Canvas
) -> tuple[keeping.Reading, dict[str, keeping.Rows], tuple[str, ...]]:
    """Return what is known of the images in their order, the arrays to be made of them, and what to tell."""
    shape = (len(seen), request.height, request.width, request.channels)
    arrays = {"images": keeping.Rows(shape, np.uint8, lambda row: onto.images[seen[row].row])}
    contents = framing.contents([(one.width, one.height) for one in seen], request)
    samples = Samples(np.empty(0, np.uint8), paths=tuple(one.item.path for one in seen), contents=contents)
    notes: tuple[str, ...] = ()
    if request.truth == "labels":
        labels = sets.names(seen)
        arrays["label_sets"] = sets.rows(seen, labels)
        return keeping.Reading(labels, samples, (0, 0, 0), "", ()), arrays, notes
    if request.truth == "objects":
        labels, many, notes = _objects(found, seen, request)
        arrays["objects"] = keeping.Rows(many.shape, np.float32, lambda row: many[row])
        return keeping.Reading(labels, samples, (0, 0, 0), "", ()), arrays, notes
    if request.truth == "mask":
        meaning = mask_meaning(found, sorted(seen, key=lambda one: one.row), request.masks)
        arrays |= _mask_rows(meaning, seen, request, onto)
        return keeping.Reading(meaning.labels, samples, (0, 0, 0), "", ()), arrays, (meaning.note,)
    labels = tuple(sorted({one.item.label for one in seen}))
    classes = np.asarray([labels.index(one.item.label) for one in seen], np.int32)
    boxes = None
    if request.truth == "box":
        boxes = np.stack([_fractions(one, request) for one in seen])
        if len(labels) == 1:
            notes = (f"all boxes are {labels[0]!r}: its score is always 1",)
    samples = replace(samples, labels=classes, boxes=boxes)
    made = keeping.Reading(labels, samples, (0, 0, 0), "", (), _groups(seen, labels))
    return made, arrays, notes


def _mask_rows(
    meaning: Meaning, seen: Sequence[Seen], request: Request, onto: Canvas
) -> dict[str, keeping.Rows]:
    """Return what makes the masks, and the numbers of objects in them where they have some."""
    shape = (len(seen), request.height, request.width)

    def unpadded(one: Seen, framed: NDArray[Any]) -> NDArray[Any]:
        # What the value 0 means is the folder's own affair; beside the image there is nothing.
        return framing.blank(framed, (one.width, one.height), request)

    rows = {
        "masks": keeping.Rows(
            shape, np.uint8, lambda row: unpadded(seen[row], _indices(meaning, seen[row], onto))
        )
    }
    if meaning.numbered:
        rows["instances"] = keeping.Rows(
            shape, np.uint16, lambda row: unpadded(seen[row], meaning.objects(_values(seen[row], onto)))
        )
    return rows


def _objects(
    found: Survey, seen: Sequence[Seen], request: Request
) -> tuple[tuple[str, ...], NDArray[np.float32], tuple[str, ...]]:
    """Return the labels, the objects `[N, M, 5]` and what to tell of them."""
    if not any(one.item.mask for one in seen):
        labels = objects.labels_of(seen)
        return labels, objects.stated(seen, labels, request), ()
    meaning = mask_meaning(found, sorted(seen, key=lambda one: one.row), request.masks)
    return *objects.numbered(found, seen, meaning, request), (meaning.note,)


def _groups(seen: Sequence[Seen], labels: Sequence[str]) -> tuple[str, ...]:
    """Return the group of each label; none where there are none, or where only one is left."""
    known = {one.item.label: one.item.group for one in seen}
    return tuple(known[label] for label in labels) if len(set(known.values())) > 1 else ()


def _values(one: Seen, onto: Canvas) -> NDArray[np.uint16]:
    assert onto.masks is not None
    return np.asarray(onto.masks[one.row], np.uint16)


def _indices(meaning: Meaning, one: Seen, onto: Canvas) -> NDArray[np.uint8]:
    assert one.values is not None
    return meaning.index(_values(one, onto), one.values)


def mask_meaning(found: Survey, seen: Sequence[Seen], stated: MaskValues) -> Meaning:
    """Decide what the values of the masks of `seen` mean, with the class names that the folder gives."""
    listing = found.listing
    values = [one.values for one in seen if one.values is not None]
    if listing.names:
        return decide(values, "classes", listing.names)
    names = class_names(listing)
    if not stated and not names and all(_numbers_objects(one.item) for one in seen):
        stated = "instances"
    return decide(values, stated, names, found.colours)


def _numbers_objects(item: Item) -> bool:
    """Return whether a mask lies where the well-known sets have masks that number objects."""
    return isinstance(item.mask, Path) and item.mask.parent.name.lower() in OBJECT_FOLDERS


def _fractions(one: Seen, request: Request) -> NDArray[np.float32]:
    assert one.item.box is not None
    x_min, y_min, x_max, y_max = one.item.box
    wide, high = one.width, one.height
    return framing.box_into((x_min / wide, y_min / high, x_max / wide, y_max / high), (wide, high), request)


FOLDER = Source(
    name="folder",
    title="A folder of one's own",
    tasks=tuple(LEARNABLE),
    licence="private",
    homepage="",
    split_rule="as the folder is divided; else 70 % training, 15 % validation, 15 % test, by class and group",
    load=load,
    tiles=True,
)
