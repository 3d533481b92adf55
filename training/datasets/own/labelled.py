"""Images whose labels, boxes or outlines stand in files, of any of the formats of `labelformats.py`."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from training.datasets.labels import annotations
from training.datasets.labels.annotations import Annotation
from training.datasets.labels.labelformats import FORMATS, Format
from training.datasets.labels.shapes import Drawn
from training.datasets.labels.tables import read_csv
from training.datasets.own.draft import TITLES, Draft
from training.datasets.own.listing import Box, Part, Stated, part_of
from training.datasets.own.matching import Images
from training.datasets.own.tree import Tree
from training.learnable import LEARNABLE, Task, Truth


def list_annotated(draft: Draft, layout: str, task: Task) -> None:
    """List the images that the label files of a layout name."""
    tree, form = draft.tree, FORMATS[layout]
    files = tree.of_layout(layout)
    found = _read(draft, form, files)
    unlabelled = [path for path in tree.images if path not in found]
    if layout == "yolo" and found:
        # An image without a file is one without objects, by the rules of those who made the format.
        found |= {
            path: [annotations.nothing(tree.folder / path, "no file", path.stem)] for path in unlabelled
        }
        unlabelled = []
    draft.unlabelled(unlabelled, f"no {TITLES[layout]} names it")
    _warn(draft, found)
    _look_at_classes(draft, {name for file in files for name in form.classes(tree.folder / file)}, found)
    _ADD[LEARNABLE[task].truth](draft, found, _parts(draft, files, by_name=form.by_name))


def _read(draft: Draft, form: Format, files: Sequence[Path]) -> dict[Path, list[Annotation]]:
    """Return what the label files state of each image; what is of none is a fault."""
    tree = draft.tree
    # Labels may be for images in a class folder called mask; what has no label there may be a mask.
    images = Images(tree.photos, stems=form.by_name)
    found: dict[Path, list[Annotation]] = defaultdict(list)
    read = form.open(tree.folder, tree.labels)
    for file in files:
        stated = read(tree.folder / file, draft.report)
        matches = _matches(draft, images, file, stated, by_name=form.by_name)
        for annotation, match in zip(stated, matches, strict=True):
            if isinstance(match, str):
                draft.report(tree.folder / file, f"{annotation.where}: {match}", "label without image")
            else:
                found[match].append(annotation)
    return found


def _look_at_classes(draft: Draft, named: set[str], found: Mapping[Path, Sequence[Annotation]]) -> None:
    """See whether images are of several classes; `named` are all that label files name, where they do."""
    draft.several = any(_is_several(stated, or_none=bool(named)) for stated in found.values())
    unseen = named - {one.label for stated in found.values() for one in stated}
    if unseen:
        draft.notes.append(
            f"no image is of these classes, and they are not learnt: {', '.join(sorted(unseen))}"
        )


def _is_several(stated: Sequence[Annotation], *, or_none: bool) -> bool:
    """Tell whether an image is of several classes at once: by one statement, or by its boxes; or of none.

    Two statements that differ are a contradiction, of which one is wrong.
    """
    if all(one.nothing for one in stated):
        return or_none
    said: dict[tuple[Path, str] | None, set[str]] = defaultdict(set)
    for one in stated:
        said[None if one.box else (one.origin, one.where)].add(one.label)
    return any(len(labels) > 1 for labels in said.values())


def _add_labels(
    draft: Draft, found: Mapping[Path, Sequence[Annotation]], parts: Mapping[Path, Part], *, boxed: bool
) -> None:
    stated = {
        path: [replace(one, box=None) if one.crowd else one for one in several if not one.nothing]
        for path, several in found.items()
    }
    empty = [path for path, several in stated.items() if not several]
    if empty:
        draft.warn(f"{len(empty)} images have no object in their label files, and are left out")
    # A crowd has no box; and where there are boxes, what has none is no object to be found.
    kept = {
        path: [one for one in several if one.box] or several for path, several in stated.items() if several
    }
    kept = {path: several for path, several in kept.items() if several[0].box or not boxed}
    for path, several in kept.items():
        _add(draft, path, several, parts)
    boxes = sum(len(several) for several in kept.values() if several[0].box)
    many = sum(len(several) > 1 for several in kept.values() if several[0].box)
    if many:
        draft.warn(
            f"{boxes - len(kept):,} of {boxes:,} boxes are dropped: {many:,} images have several, and of "
            f"each only the largest is learnt"
        )
    mixed = sum(len({one.label for one in several}) > 1 for several in kept.values() if several[0].box)
    if mixed and not boxed:
        draft.warn(f"{mixed:,} images show several classes: each counts as that of its largest box")


def _add_sets(draft: Draft, found: Mapping[Path, Sequence[Annotation]], parts: Mapping[Path, Part]) -> None:
    """Add all labels of each image, whether they stand for themselves or at boxes; it may have none."""
    sets = {path: {one.label for one in stated if not one.nothing} for path, stated in found.items()}
    common = Counter(label for own in sets.values() for label in own)
    for path, own in sets.items():
        boxes = tuple(_stated(draft, one) for one in found[path] if one.box)
        part = _part(draft, path, found[path], parts)
        label = _rarest(own, common)
        draft.add(path, label=label, labels=tuple(sorted(own)), part=part, stated=boxes)
    empty = sum(not own for own in sets.values())
    draft.notes += [f"{empty:,} images are of none of the labels"] * bool(empty)


def _rarest(labels: set[str], common: Counter[str]) -> str:
    """Return the label by which an image is put into a part, so that each part has some of all."""
    return min(labels, key=lambda one: (common[one], one), default="")


def _add_objects(
    draft: Draft, found: Mapping[Path, Sequence[Annotation]], parts: Mapping[Path, Part]
) -> None:
    """Add all boxes of each image; one without any shows what is no object."""
    stated = {path: [one for one in several if one.box] for path, several in found.items()}
    boxes = {path: _distinct(draft, path, several) for path, several in stated.items()}
    twice = sum(map(len, stated.values())) - sum(map(len, boxes.values()))
    if twice:
        draft.warn(f"{twice:,} boxes are stated twice, and learnt once")
    common = Counter(one.label for several in boxes.values() for one in several if not one.ignored)
    for path, several in boxes.items():
        if not several and not all(one.nothing for one in found[path]):
            if not any(one.crowd for one in found[path]):
                draft.unlabelled([path], "its label has no box")
            continue
        label = _rarest({one.label for one in several if not one.ignored}, common)
        part = _part(draft, path, found[path], parts)
        draft.add(path, label=label, part=part, stated=tuple(_stated(draft, one) for one in several))
    empty = sum(not several for several in boxes.values())
    hard = sum(one.ignored for several in boxes.values() for one in several)
    draft.notes += [f"{common.total():,} objects: " + ", ".join(f"{n:,} {one}" for one, n in common.items())]
    draft.notes += [f"{empty:,} images have no object, and show what is none"] * bool(empty)
    draft.notes += [f"{hard:,} boxes are crowds or difficult: neither learnt nor counted"] * bool(hard)


def _distinct(draft: Draft, path: Path, several: Sequence[Annotation]) -> list[Annotation]:
    """Return the annotations without those that state the same again; one box with two labels is a fault."""
    first: dict[Box | None, Annotation] = {}
    for other in several:
        one = first.setdefault(other.box, other)
        if one.label != other.label:
            text = (
                f"is {one.label} by {draft.name(one.origin)}, {one.where}, but {other.label} by "
                f"{draft.name(other.origin)}, {other.where}: keep one of them"
                f"{'' if one.box else ', or learn both with --task multilabel'}"
            )
            draft.report(draft.tree.folder / path, text, "contradiction")
            break
    return list(first.values())


def _stated(draft: Draft, one: Annotation) -> Stated:
    assert one.box is not None
    where = f"{draft.name(one.origin)}, {one.where}"
    return Stated(one.box, where, one.size, one.relative, one.label, one.ignored)


def _add_outlines(
    draft: Draft, found: Mapping[Path, Sequence[Annotation]], parts: Mapping[Path, Part]
) -> None:
    outlined = [one for several in found.values() for one in several if one.shape]
    labels = sorted({one.label for one in outlined} - {"background"})
    draft.names = ("background", *labels)
    for path, several in found.items():
        lacking = [one for one in several if not one.shape and not one.nothing]
        if lacking:
            text = f"{draft.name(lacking[0].origin)}, {lacking[0].where}, has no outline"
            draft.report(draft.tree.folder / path, text, "box without outline")
            continue
        objects = tuple(
            (draft.names.index(one.label), one.shape, f"{draft.name(one.origin)}, {one.where}")
            for one in several
            if one.shape
        )
        sizes = {(one.size, f"{draft.name(one.origin)}, {one.where}") for one in several if one.size}
        mask = Drawn(objects, tuple(sorted(sizes)))
        draft.add(path, mask=mask, part=_part(draft, path, several, parts))


_ADD: dict[Truth, Callable[[Draft, Mapping[Path, Sequence[Annotation]], Mapping[Path, Part]], None]] = {
    "label": partial(_add_labels, boxed=False),
    "labels": _add_sets,
    "box": partial(_add_labels, boxed=True),
    "objects": _add_objects,
    "mask": _add_outlines,
}
"""What makes items of what label files state, by what is learnt."""


def _warn(draft: Draft, found: Mapping[Path, Sequence[Annotation]]) -> None:
    """Warn of images that several files, or several people, have labelled."""
    sources: Counter[tuple[str, ...]] = Counter()
    for several in found.values():
        who = {one.source or draft.name(one.origin) for one in several if not one.nothing}
        if len(who) > 1:
            sources[tuple(sorted(who))] += 1
    if sources:
        names = ", ".join(sorted({name for who in sources for name in who})[:4])
        draft.warn(
            f"{sum(sources.values()):,} images are labelled several times ({names}): the same object may be "
            f"there twice; take the labels of one with --labels FILE"
        )


def _matches(
    draft: Draft, images: Images, file: Path, stated: Sequence[Annotation], *, by_name: bool
) -> Sequence[Path | str]:
    """Return for each annotation of a label file its image, or what is wrong."""
    if by_name:
        # A VOC or YOLO file belongs to the image of its own name; programs put all kinds of paths inside.
        return [images.beside(file, file.stem)] * len(stated)
    matches, note = images.stated(file, [annotation.image for annotation in stated])
    draft.notes += [note] * bool(note)
    return matches


def _parts(draft: Draft, files: Sequence[Path], *, by_name: bool) -> dict[Path, Part]:
    """Return the part of each label file or image that its folder or its name says, where that divides them.

    A file that has the name of its image says nothing about parts by it.
    """
    own = {path: part_of(path.parent) for path in draft.tree.photos}
    stated = {}
    for file in files:
        words = [] if by_name else re.split(r"[^A-Za-z0-9]+", file.stem)
        stated[file] = part_of(file.parent) or part_of(words)
    if len(set(stated.values())) < 2:
        stated = {}
    elif len(set(own.values())) < 2:
        # All images lie in train/, or in no part, and so only their label files divide them.
        own = {}
        examples = {part or "no part": file.as_posix() for file, part in reversed(stated.items())}
        said = ", ".join(f"{file} is {part}" for part, file in sorted(examples.items()))
        draft.notes.append(f"the label files divide the images: {said}")
    return {path: part for path, part in (own | stated).items() if part}


def _add(draft: Draft, path: Path, several: Sequence[Annotation], parts: Mapping[Path, Part]) -> None:
    one = annotations.largest(several)
    _distinct(draft, path, several)
    part = _part(draft, path, several, parts)
    stated = tuple(_stated(draft, other) for other in several if other.box is not None)
    draft.add(path, label=one.label, box=one.box, part=part, stated=stated)


def _part(draft: Draft, path: Path, several: Sequence[Annotation], parts: Mapping[Path, Part]) -> Part | None:
    """Return the part of an image by its own folder and by its label files; that they differ is a fault."""
    sources = {parts[path]: "its folder"} if path in parts else {}
    for annotation in several:
        file = annotation.origin.relative_to(draft.tree.folder)
        if file in parts:
            sources.setdefault(parts[file], draft.name(annotation.origin))
    if len(sources) > 1:
        places = " and ".join(f"in {part} by {source}" for part, source in sources.items())
        draft.report(draft.tree.folder / path, f"is {places}: keep it in one", "leak")
    return next(iter(sources), None)


def csv_labels(tree: Tree) -> set[str]:
    """Return the labels that CSV files give to images of the folder."""
    known = {path.name for path in tree.images}
    return {
        row.label
        for file in tree.of_layout("csv labels")
        for row in read_csv(tree.folder / file, lambda *_: None)
        if row.image.replace("\\", "/").rpartition("/")[2] in known
    }
