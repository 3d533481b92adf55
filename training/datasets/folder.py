"""A folder of one's own: labelled images in any of the layouts of `layout.py`."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.datasets.classnames import class_names
from training.datasets.dataset import DatasetError, MaskValues, Request, Samples, Source, Splits
from training.datasets.division import divide
from training.datasets.layout import list_folder
from training.datasets.listing import PARTS, Part
from training.datasets.masks import decide
from training.datasets.meaning import Meaning
from training.datasets.survey import Seen, Survey, sides, survey

log = logging.getLogger("training")


def load(folder: Path, request: Request) -> Splits:
    """Read and divide a folder. DatasetError names every file with which something is wrong.

    With `request.skip_broken` those files are left out instead. With `request.fingerprint`, the folder must
    be as it was when that was taken: other files would be divided otherwise, and the test would leak.
    """
    listing = list_folder(folder, request.task, request.labels)
    if request.fingerprint not in ("", listing.fingerprint):
        raise DatasetError(
            f"{folder} is not what it was when the run began: files came, went or changed, so that images "
            f"which were trained on could be tested on. Put it back, or train anew with --fresh."
        )
    log.info("%s: %s, %d images", folder, listing.layout, len(listing.items))
    found = survey(listing, request)
    seen = _usable(found, request.skip_broken)
    parts = divided(seen, request)
    labels, samples, note = _assemble(found, seen, request)
    for text in (*listing.notes, *note):
        log.info("%s: %s", folder, text)
    for text in listing.warnings:
        log.warning("%s: %s", folder, text)
    train, validation, test = (
        samples.take(np.flatnonzero(np.asarray([own == part for own in parts]))) for part in PARTS
    )
    return Splits(train, validation, test, labels, listing.fingerprint)


def _usable(found: Survey, skip_broken: bool) -> tuple[Seen, ...]:
    if found.faults and not skip_broken:
        lines = "\n  ".join(str(fault) for fault in found.faults)
        raise DatasetError(
            f"{found.listing.folder} has faults: {len(found.faults)}. Mend them, or leave these files out "
            f"with --skip-broken:\n  {lines}"
        )
    for fault in found.faults:
        log.warning("left out: %s", fault)
    seen = found.sound()
    if not seen:
        raise DatasetError(f"{found.listing.folder} has no image left to train on.")
    return seen


def divided(seen: Sequence[Seen], request: Request) -> list[Part]:
    """Give each image its part; DatasetError where there are too few."""
    labels = [one.item.label for one in seen]
    if request.task == "classification" and len(set(labels)) < 2:
        raise DatasetError(f"All images are {labels[0]!r}: to tell classes apart there must be two at least.")
    return divide(labels, sides(seen, request.group_by), [one.item.part for one in seen])


def _assemble(
    found: Survey, seen: Sequence[Seen], request: Request
) -> tuple[tuple[str, ...], Samples, tuple[str, ...]]:
    images = np.stack([one.tensor for one in seen])
    paths = tuple(one.item.path for one in seen)
    if request.task == "segmentation":
        meaning = mask_meaning(found, seen, request.masks)
        masks = np.stack(
            [meaning.index(one.mask, one.values) for one in seen if one.mask is not None and one.values]
        )
        objects = None
        if meaning.numbered:
            objects = np.stack([one.mask for one in seen if one.mask is not None]).astype(np.uint16)
        samples = Samples(images, masks=masks, paths=paths, instances=objects)
        return meaning.labels, samples, (meaning.note,)
    labels = tuple(sorted({one.item.label for one in seen}))
    classes = np.asarray([labels.index(one.item.label) for one in seen], np.int32)
    notes: tuple[str, ...] = ()
    boxes = None
    if request.task == "localization":
        boxes = np.stack([_fractions(one) for one in seen])
        if len(labels) == 1:
            notes = (f"all boxes are {labels[0]!r}: its score is always 1",)
    return labels, Samples(images, classes, boxes, paths=paths), notes


def mask_meaning(found: Survey, seen: Sequence[Seen], stated: MaskValues) -> Meaning:
    """Decide what the values of the masks of `seen` mean, with the class names that the folder gives."""
    listing = found.listing
    values = [one.values for one in seen if one.values is not None]
    if listing.names:
        return decide(values, "classes", listing.names)
    return decide(values, stated, class_names(listing), found.colours)


def _fractions(one: Seen) -> NDArray[np.float32]:
    scale = np.asarray([one.width, one.height] * 2)
    return np.asarray(np.clip(np.asarray(one.item.box) / scale, 0, 1), np.float32)


FOLDER = Source(
    name="folder",
    title="A folder of one's own",
    tasks=("classification", "localization", "segmentation"),
    licence="private",
    homepage="",
    split_rule="as the folder is divided; else 70 % training, 15 % validation, 15 % test, by class and group",
    load=load,
)
