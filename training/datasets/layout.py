"""Recognises how a folder of one's own is laid out, and lists its labelled images.

photos/cat/1.jpg                            class folders; train/ val/ test/ may stand above them
photos/1.jpg photos/1.xml                   Pascal VOC, beside the images or in folders of their own
photos/boxes.json photos/images/1.jpg       COCO
photos/labels.csv photos/images/1.jpg       CSV with a header: a file and a label, a box, or both
photos/images/1.jpg photos/masks/1.png      masks; train/ val/ test/ may stand above or below
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from training.datasets import annotations
from training.datasets.annotations import Annotation
from training.datasets.coco import read_coco
from training.datasets.dataset import DatasetError, Task
from training.datasets.listing import Fault, Item, Listing, Part, Stated, part_of
from training.datasets.matching import Images
from training.datasets.tables import read_csv
from training.datasets.tree import IMAGE_FOLDERS, MASK_FOLDERS, Tree, below, read_tree

CLASS_NAMES = ("classes.txt", "labels.txt")
"""Where a mask's classes may be named, one per line, beginning with value 0."""

_TITLES = {
    "folders": "class folders",
    "masks": "images/ and masks/",
    "voc": "Pascal VOC XML",
    "coco": "COCO JSON",
    "csv boxes": "CSV with boxes",
    "csv labels": "CSV with labels",
}
_LAYOUTS: dict[Task, tuple[tuple[str, ...], ...]] = {
    # A later row counts only where the earlier ones find nothing: a box's label is a class as well.
    "classification": (("folders", "csv labels"), ("voc", "coco", "csv boxes")),
    "localization": (("voc", "coco", "csv boxes"),),
    "segmentation": (("masks",),),
}
_ADVICE = (
    "Expected one folder per class (photos/cat/1.jpg), images with Pascal VOC XML, COCO JSON or a CSV "
    "(file,x_min,y_min,x_max,y_max,label), or images/ with masks/."
)


def list_folder(folder: Path, task: Task | None = None) -> Listing:
    """List the labelled images below `folder`; without a task, the one that the layout is for.

    Raises DatasetError where the layout is not recognised, or fits in more than one way.
    """
    tree = read_tree(folder, _ADVICE)
    layouts = _layouts(tree)
    if task is None:
        task = _only_task(folder, layouts)
    layout = _choose(folder, task, layouts)
    draft = _Draft(tree)
    if layout == "folders":
        _list_class_folders(draft)
    elif layout == "masks":
        _list_masks(draft)
    else:
        _list_annotated(draft, layout)
    return Listing(
        folder,
        task,
        _TITLES[layout],
        tuple(draft.items),
        tuple(draft.notes),
        tuple(sorted(draft.faults, key=lambda fault: fault.file)),
        tree.fingerprint,
    )


@dataclass
class _Draft:
    """A listing in the making."""

    tree: Tree
    items: list[Item] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def report(self, path: Path, text: str, kind: str = "broken label") -> None:
        self.faults.append(Fault(self.name(path), kind, text))

    def name(self, path: Path) -> str:
        return path.relative_to(self.tree.folder).as_posix()

    def add(self, path: Path, **known: object) -> None:
        self.items.append(Item(self.tree.folder / path, **known))  # type: ignore[arg-type]

    def unlabelled(self, paths: Iterable[Path], right: str) -> None:
        for path in paths:
            self.report(self.tree.folder / path, f"has no label: {right}", "image without label")


def _layouts(tree: Tree) -> set[str]:
    found = {layout for layout in ("voc", "coco", "csv boxes", "csv labels") if tree.of_layout(layout)}
    if tree.masks:
        found.add("masks")
    if any(_class_place(tree, path) is not None for path in tree.images):
        found.add("folders")
    return found


def _only_task(folder: Path, layouts: set[str]) -> Task:
    fitting = [task for task, rows in _LAYOUTS.items() if layouts & set(rows[0])]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise DatasetError(f"{folder} holds images without labels. {_ADVICE}")
    raise DatasetError(
        f"{folder} could be for {' or '.join(fitting)} ({_named(layouts)}): say which with --task."
    )


def _choose(folder: Path, task: Task, layouts: set[str]) -> str:
    for row in _LAYOUTS[task]:
        fitting = [layout for layout in row if layout in layouts]
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            raise DatasetError(
                f"{folder} has labels of several kinds for {task} ({_named(fitting)}): keep one of them."
            )
    found = f"it has {_named(layouts)}" if layouts else "it has images only"
    raise DatasetError(f"{folder} has no labels for {task}: {found}. {_ADVICE}")


def _named(layouts: Iterable[str]) -> str:
    return ", ".join(sorted(_TITLES[layout] for layout in layouts))


# ---- class folders


def _class_place(tree: Tree, path: Path) -> tuple[str, Part | None] | None:
    """Return an image's class and part by its folders; None where it has no class folder."""
    names = path.parts[:-1]
    part = None
    if names and tree.divided:
        part, names = part_of(names[:1]), names[1:]
    if not names or below(path, IMAGE_FOLDERS) or names[0].lower() == "annotations":
        return None
    return names[0], part


def _list_class_folders(draft: _Draft) -> None:
    places = {path: _class_place(draft.tree, path) for path in draft.tree.images}
    draft.unlabelled((path for path, place in places.items() if place is None), "put it into a class folder")
    for path, place in places.items():
        if place is not None:
            draft.add(path, label=place[0], part=place[1])


# ---- boxes and labels in files


_READERS: dict[str, Callable[[Path, annotations.Report], list[Annotation]]] = {
    "voc": annotations.read_voc,
    "coco": read_coco,
    "csv boxes": read_csv,
    "csv labels": read_csv,
}


def _list_annotated(draft: _Draft, layout: str) -> None:
    tree = draft.tree
    images = Images(tree.images, stems=layout == "voc")
    found: dict[Path, list[Annotation]] = defaultdict(list)
    for file in tree.of_layout(layout):
        stated = _READERS[layout](tree.folder / file, draft.report)
        for annotation, match in zip(stated, _matches(draft, images, file, stated), strict=True):
            if isinstance(match, str):
                draft.report(tree.folder / file, f"{annotation.where}: {match}", "label without image")
            else:
                found[match].append(annotation)
    for path, several in found.items():
        _add_annotated(draft, path, several)
    many = sum(len(several) > 1 for several in found.values() if several[0].box)
    if many:
        draft.notes.append(f"{many} images have several boxes: the largest of each is taken")
    unlabelled = [path for path in tree.images if path not in found]
    draft.unlabelled(unlabelled, f"no {_TITLES[layout]} names it")


def _matches(draft: _Draft, images: Images, file: Path, stated: Sequence[Annotation]) -> Sequence[Path | str]:
    """Return for each annotation of a label file its image, or what is wrong."""
    if file.suffix.lower() == ".xml":
        # A VOC file belongs to the image of its own name; programs put all kinds of paths inside.
        return [images.beside(file, file.stem)] * len(stated)
    matches, note = images.stated(file, [annotation.image for annotation in stated])
    draft.notes += [note] * bool(note)
    return matches


def _add_annotated(draft: _Draft, path: Path, several: Sequence[Annotation]) -> None:
    one = annotations.largest(several)
    for other in several:
        if other.label != one.label and other.box == one.box:
            text = (
                f"is {one.label} by {draft.name(one.origin)}, {one.where}, but {other.label} by "
                f"{draft.name(other.origin)}, {other.where}: keep one of them"
            )
            draft.report(draft.tree.folder / path, text, "contradiction")
            break
    stated = tuple(
        Stated(other.box, f"{draft.name(other.origin)}, {other.where}", other.size)
        for other in several
        if other.box is not None
    )
    draft.add(path, label=one.label, box=one.box, part=part_of(path.parent), stated=stated)


# ---- masks


def _list_masks(draft: _Draft) -> None:
    images = _by_place(draft, draft.tree.images, IMAGE_FOLDERS)
    masks = _by_place(draft, draft.tree.masks, MASK_FOLDERS | {"annotations"})
    for place, path in images.items():
        if place in masks:
            mask = draft.tree.folder / masks[place]
            draft.add(path, mask=mask, part=part_of(path.parent))
    draft.unlabelled((path for place, path in images.items() if place not in masks), "no mask has its name")
    for place, path in masks.items():
        if place not in images:
            draft.report(draft.tree.folder / path, "there is no image of its name", "label without image")


def _by_place(draft: _Draft, paths: Iterable[Path], dropped: frozenset[str]) -> dict[tuple[str, ...], Path]:
    """Name each file by its folders without `dropped` ones, and its stem: what image and mask share."""
    found: dict[tuple[str, ...], Path] = {}
    for path in paths:
        folders = tuple(part for part in path.parts[:-1] if part.lower() not in dropped)
        place = (*folders, path.stem.removesuffix("_mask"))
        if place in found:
            draft.report(draft.tree.folder / path, f"has the same name as {found[place].name}", "same name")
        else:
            found[place] = path
    return found
