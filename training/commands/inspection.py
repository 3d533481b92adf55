"""What lies in a folder of one's own, before training: figures, faults, and a picture of samples."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from training.commands import doubtful, objects, samples
from training.commands.objects import Range
from training.datasets import DatasetError, MaskValues, Request, Task
from training.datasets.dataset import Doubt
from training.datasets.own.doubts import doubts as doubts_of
from training.datasets.own.folder import divided, mask_meaning
from training.datasets.own.layout import list_folder, task_of
from training.datasets.own.listing import PARTS, Part
from training.datasets.own.meaning import Meaning
from training.datasets.own.survey import Seen, Survey, survey
from training.evaluation.suspects import Suspect
from training.learnable import LEARNABLE
from training.reports.doubtful import as_doubts

SIDE = 64
"""Pixels of the tensors made on the way; what is told does not depend on it."""


@dataclass(frozen=True)
class Inspection:
    """All that is told of a folder. `obstacle` is what stands in the way of training beside the faults."""

    folder: str
    task: Task
    layout: str
    images: int
    classes: dict[str, dict[str, int]]
    """For each class the images that show it, by part."""
    groups: dict[str, list[str]]
    """The classes of each group; empty where classes have none."""
    imbalance: float
    """Images of the largest class for each one of the smallest."""
    width: Range
    height: Range
    aspect: Range
    modes: dict[str, int]
    formats: dict[str, int]
    objects: dict[str, Range]
    """Of many in an image, by the names in `objects.KINDS`; empty where none or one is learnt of each."""
    turned: int
    """Images that an EXIF orientation sets upright."""
    copies: list[list[str]]
    doubts: list[Doubt]
    """What is doubtful, but can be learnt from."""
    label_errors: list[Suspect] | None
    """Likely ones, the likeliest first; None where they were not asked for, or there are no classes."""
    doubts_picture: str
    """Where doubtful photos are drawn; empty where they are not."""
    notes: list[str]
    warnings: list[str]
    """What could be learnt from, but is perhaps not meant so."""
    faults: list[dict[str, str]]
    obstacle: str

    @property
    def sound(self) -> bool:
        """Whether `train` would take the folder as it is."""
        return not self.faults and not self.obstacle

    def as_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {**asdict(self), "sound": self.sound}


def inspect(  # noqa: PLR0913 - each is an option of the command
    folder: Path,
    task: Task | None = None,
    *,
    group_by: str = "",
    masks: MaskValues = "",
    labels: str = "",
    picture: Path | None = None,
    label_errors: bool = False,
) -> Inspection:
    """Read every image below `folder` and tell what is there; draw labelled samples into `picture`, a PNG.

    What is doubtful is drawn beside it, as `name-doubts.png`. With `label_errors`, likely wrong labels of
    classes are looked for, which takes TensorFlow and 13 ms a photo. DatasetError where the layout is not
    recognised; everything else that is wrong is among the faults.
    """
    if picture:
        samples.check_place(picture, folder)
    listing = list_folder(folder, task_of(folder, task, labels), labels)
    request = Request(listing.task, SIDE, SIDE, 3, group_by=group_by, masks=masks, labels=labels)
    found = survey(listing, request)
    seen = found.sound()
    parts: list[Part] = ["train" for _ in seen]
    obstacle, meaning = "", None
    try:
        if request.truth == "mask":
            meaning = mask_meaning(found, seen, masks)
        parts = divided(seen, request, found.near) if seen else []
    except DatasetError as error:
        obstacle = str(error)
    if not seen:
        obstacle = "There is no image with a label that can be read."
    suspects = doubtful.label_errors(found, seen, group_by) if label_errors else None
    doubts = list(doubts_of(found, seen, parts))
    drawn = None
    if picture:
        samples.draw(found, parts, meaning, picture)
        drawn = doubtful.draw(folder, [*as_doubts(suspects or []), *doubts], picture)
    told = _tell(found, _classes(seen, parts, meaning), meaning, obstacle)
    return replace(told, doubts=doubts, label_errors=suspects, doubts_picture=str(drawn or ""))


def _tell(
    found: Survey, classes: dict[str, dict[str, int]], meaning: Meaning | None, obstacle: str
) -> Inspection:
    listing, seen = found.listing, found.seen
    totals = [sum(counts.values()) for counts in classes.values()]
    copies = defaultdict(list)
    for one in seen:
        copies[one.key].append(listing.name(one.item.path))
    return Inspection(
        folder=str(listing.folder),
        task=listing.task,
        layout=listing.layout,
        images=len(listing.items),
        classes=classes,
        groups=_groups(found),
        imbalance=round(max(totals) / max(1, min(totals)), 2) if totals else 0.0,
        width=objects.range_of([one.width for one in seen]),
        height=objects.range_of([one.height for one in seen]),
        aspect=objects.range_of([round(one.width / one.height, 3) for one in seen]),
        modes=dict(Counter(one.mode for one in seen).most_common()),
        formats=dict(Counter(one.format for one in seen).most_common()),
        objects=objects.ranges(seen) if LEARNABLE[listing.task].truth == "objects" else {},
        turned=sum(one.turned for one in seen),
        copies=[names for names in copies.values() if len(names) > 1],
        doubts=[],
        label_errors=None,
        doubts_picture="",
        notes=[*listing.notes, *([meaning.note] if meaning else [])],
        warnings=[*listing.warnings],
        faults=[asdict(fault) for fault in found.faults],
        obstacle=obstacle,
    )


def _classes(
    seen: Sequence[Seen], parts: Sequence[str], meaning: Meaning | None
) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for one, part in zip(seen, parts, strict=True):
        for label in _shown(one, meaning):
            counts[label][part] += 1
    return {label: {part: counts[label][part] for part in PARTS} for label in sorted(counts)}


def _groups(found: Survey) -> dict[str, list[str]]:
    known = {one.item.label: one.item.group for one in found.seen if one.item.group}
    return {
        group: sorted(label for label, own in known.items() if own == group)
        for group in sorted(set(known.values()))
    }


def _shown(one: Seen, meaning: Meaning | None) -> list[str]:
    if one.item.labels is not None:
        return list(one.item.labels)
    if one.item.stated and one.item.box is None:
        return sorted({each.label for each in one.item.stated if not each.ignored})
    if one.values is None or meaning is None:
        return [one.item.label] if one.item.label else []
    # Not those of the small copy, in which small objects vanish.
    present = np.asarray(one.values.present, np.uint16)
    return [meaning.labels[index] for index in np.unique(meaning.index(present, one.values))]


def describe(told: Inspection) -> str:
    """Return the inspection in words, a line for each thing and for each fault."""
    lines = [f"{told.folder}: {told.layout}, for {told.task}; {told.images} images"]
    lines += _counted(told.classes) if not told.groups else []
    for group, labels in told.groups.items():
        lines.append(f"  group {group}: {len(labels)} classes")
        lines += _counted({label: told.classes[label] for label in labels if label in told.classes})
    if told.imbalance > 1:
        lines.append(f"  the largest class has {told.imbalance:g} times the images of the smallest")
    for name in ("width", "height", "aspect"):
        lines.append(f"  {name}: {objects.told(getattr(told, name))}")
    lines += [f"  {objects.KINDS[name]}: {objects.told(each)}" for name, each in told.objects.items()]
    for counted in (told.modes, told.formats):
        lines += [f"  {', '.join(f'{count} {name}' for name, count in counted.items())}"] * bool(counted)
    if told.turned:
        lines.append(f"  {told.turned} images are set upright by their EXIF orientation")
    lines += [f"  {note}" for note in told.notes]
    lines += [f"  warning: {warning}" for warning in told.warnings]
    lines += [f"  the same picture: {', '.join(names)}" for names in told.copies]
    lines += [f"  {line}" for line in doubtful.lines(told.doubts, told.label_errors)]
    lines += [f"  doubtful photos are drawn in {told.doubts_picture}"] * bool(told.doubts_picture)
    lines += [f"  {fault['kind']}: {fault['file']}: {fault['text']}" for fault in told.faults]
    if told.obstacle:
        lines.append(f"  {told.obstacle}")
    lines.append(f"  {_verdict(told)}")
    return "\n".join(lines)


def _counted(classes: dict[str, dict[str, int]]) -> list[str]:
    width = max((len(label) for label in classes), default=0)
    return [
        f"  {label:{width}}  {sum(counts.values()):6}  ({', '.join(f'{n} {c}' for n, c in counts.items())})"
        for label, counts in classes.items()
    ]


def _verdict(told: Inspection) -> str:
    if not told.sound:
        faults = [f"{len(told.faults)} faults"] if told.faults else []
        return f"to mend: {' and '.join([*faults, *(['an obstacle'] if told.obstacle else [])])}"
    left = {"warnings": len(told.warnings), "doubts": len(told.doubts) + len(told.label_errors or ())}
    words = ", ".join(f"{name}: {count}" for name, count in left.items() if count)
    return f"it can be trained on; {words}" if words else "nothing is wrong"
