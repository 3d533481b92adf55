"""Images whose labels or boxes stand in files: Pascal VOC, COCO and CSV."""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from training.datasets import annotations
from training.datasets.annotations import Annotation
from training.datasets.coco import read_coco
from training.datasets.draft import TITLES, Draft
from training.datasets.listing import Part, Stated, part_of
from training.datasets.matching import Images
from training.datasets.tables import read_csv
from training.datasets.tree import Tree

_READERS: dict[str, Callable[[Path, annotations.Report], list[Annotation]]] = {
    "voc": annotations.read_voc,
    "coco": read_coco,
    "csv boxes": read_csv,
    "csv labels": read_csv,
}


def list_annotated(draft: Draft, layout: str) -> None:
    """List the images that the label files of a layout name."""
    tree = draft.tree
    # Labels may be for images in a class folder called mask; what has no label there may be a mask.
    images = Images(tree.photos, stems=layout == "voc")
    found: dict[Path, list[Annotation]] = defaultdict(list)
    files = tree.of_layout(layout)
    for file in files:
        stated = _READERS[layout](tree.folder / file, draft.report)
        for annotation, match in zip(stated, _matches(draft, images, file, stated), strict=True):
            if isinstance(match, str):
                draft.report(tree.folder / file, f"{annotation.where}: {match}", "label without image")
            else:
                found[match].append(annotation)
    parts = _parts(draft, files)
    for path, several in found.items():
        _add(draft, path, several, parts)
    many = sum(len(several) > 1 for several in found.values() if several[0].box)
    if many:
        draft.notes.append(f"{many} images have several boxes: the largest of each is taken")
    unlabelled = [path for path in tree.images if path not in found]
    draft.unlabelled(unlabelled, f"no {TITLES[layout]} names it")


def _matches(draft: Draft, images: Images, file: Path, stated: Sequence[Annotation]) -> Sequence[Path | str]:
    """Return for each annotation of a label file its image, or what is wrong."""
    if file.suffix.lower() == ".xml":
        # A VOC file belongs to the image of its own name; programs put all kinds of paths inside.
        return [images.beside(file, file.stem)] * len(stated)
    matches, note = images.stated(file, [annotation.image for annotation in stated])
    draft.notes += [note] * bool(note)
    return matches


def _parts(draft: Draft, files: Sequence[Path]) -> dict[Path, Part]:
    """Return the part of each label file or image that its folder or its name says, where that divides them.

    A VOC file has the name of its image, which says nothing about parts.
    """
    own = {path: part_of(path.parent) for path in draft.tree.photos}
    stated = {}
    for file in files:
        words = [] if file.suffix.lower() == ".xml" else re.split(r"[^A-Za-z0-9]+", file.stem)
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
    for other in several:
        if other.label != one.label and other.box == one.box:
            text = (
                f"is {one.label} by {draft.name(one.origin)}, {one.where}, but {other.label} by "
                f"{draft.name(other.origin)}, {other.where}: keep one of them"
            )
            draft.report(draft.tree.folder / path, text, "contradiction")
            break
    part = _part(draft, path, several, parts)
    stated = tuple(
        Stated(other.box, f"{draft.name(other.origin)}, {other.where}", other.size)
        for other in several
        if other.box is not None
    )
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
