"""Recognises how a folder of one's own is laid out, and lists its labelled images.

photos/cat/1.jpg                            class folders; train/ val/ test/ may stand above them
photos/1.jpg photos/1.xml                   Pascal VOC, beside the images or in folders of their own
photos/boxes.json photos/images/1.jpg       COCO
photos/labels.csv photos/images/1.jpg       CSV with a header: a file and a label, a box, or both
photos/images/1.jpg photos/masks/1.png      masks; train/ val/ test/ may stand above or below
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from textwrap import shorten

from training.datasets.coco import is_coco
from training.datasets.dataset import DatasetError, Task
from training.datasets.draft import TITLES, Draft
from training.datasets.labelled import csv_labels, list_annotated
from training.datasets.listing import Listing, Part, part_of
from training.datasets.tables import column_names, csv_kind
from training.datasets.tree import (
    IMAGE_FOLDERS,
    MASK_FOLDERS,
    Tree,
    below,
    count_by_suffix,
    place_of,
    read_tree,
)

CLASS_NAMES = ("classes.txt", "labels.txt")
"""Where a mask's classes may be named, one per line, beginning with value 0."""

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
    strange = _not_understood(tree)
    advice = " ".join([_ADVICE, *(f"Note: {line}." for line in strange)])
    if task is None:
        task = _only_task(folder, layouts, advice)
    layout = _choose(folder, task, layouts, advice)
    draft = Draft(tree)
    draft.notes.extend(strange)
    for path, wrong in tree.unusable:
        draft.report(folder / path, wrong, "unusable")
    if tree.others:
        draft.notes.append(f"neither images nor labels, and ignored: {count_by_suffix(tree.others)}")
    if layout == "folders":
        _list_class_folders(draft)
    elif layout == "masks":
        _list_masks(draft)
    else:
        list_annotated(draft, layout)
    return Listing(
        folder,
        task,
        TITLES[layout],
        tuple(draft.items),
        tuple(draft.notes),
        tuple(sorted(draft.faults, key=lambda fault: fault.file)),
        tree.fingerprint,
    )


def _layouts(tree: Tree) -> set[str]:
    found = {layout for layout in ("voc", "coco", "csv boxes", "csv labels") if tree.of_layout(layout)}
    if tree.masks:
        found.add("masks")
    if _has_class_folders(tree, found):
        found.add("folders")
    return found


def _not_understood(tree: Tree) -> list[str]:
    """Return what no layout can make labels of, though it looks like labels."""
    lines = []
    for path in tree.of(".csv"):
        if not csv_kind(tree.folder / path):
            header = ", ".join(column_names(tree.folder / path))
            lines.append(
                f"{path} is not understood, its first line being: {shorten(header, 80)}; "
                f"a file and a label, or a box, must be among the columns"
            )
    lines += [
        f"{path} is not understood: COCO has lists of images and annotations"
        for path in tree.of(".json")
        if not is_coco(tree.folder / path)
    ]
    stems = {path.stem for path in tree.images}
    named = sum(path.stem in stems for path in tree.of(".txt"))
    if named:
        lines.append(
            f"{named} .txt files with the names of images are not read: turn YOLO's into COCO or VOC"
        )
    return lines


def _only_task(folder: Path, layouts: set[str], advice: str) -> Task:
    fitting = [task for task, rows in _LAYOUTS.items() if layouts & set(rows[0])]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise DatasetError(f"{folder} holds images without labels. {advice}")
    raise DatasetError(
        f"{folder} could be for {' or '.join(fitting)} ({_named(layouts)}): say which with --task."
    )


def _choose(folder: Path, task: Task, layouts: set[str], advice: str) -> str:
    for row in _LAYOUTS[task]:
        fitting = [layout for layout in row if layout in layouts]
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            raise DatasetError(
                f"{folder} has labels of several kinds for {task} ({_named(fitting)}): keep one of them."
            )
    found = f"it has {_named(layouts)}" if layouts else "it has images only"
    raise DatasetError(f"{folder} has no labels for {task}: {found}. {advice}")


def _named(layouts: Iterable[str]) -> str:
    return ", ".join(sorted(TITLES[layout] for layout in layouts))


# ---- class folders


def _class_place(tree: Tree, path: Path) -> tuple[str, Part | None] | None:
    """Return an image's class and part by its folders; None where it has no class folder."""
    names = path.parts[:-1]
    part = None
    if names and tree.divided:
        part, names = part_of(names[:1]), names[1:]
    if not names or names[0].lower() in IMAGE_FOLDERS or names[0].lower() == "annotations":
        return None
    return names[0], part


def _has_class_folders(tree: Tree, found: set[str]) -> bool:
    """Return whether there are class folders, beside the layouts that were found already."""
    classes = {path: place[0] for path in tree.images if (place := _class_place(tree, path))}
    # Images/ below a folder is that of a class only where no other layout could have it there.
    own = {name for path, name in classes.items() if not below(path, IMAGE_FOLDERS)}
    if not found and len(set(classes.values())) > 1:
        return True
    if "csv labels" not in found or not own:
        return bool(own)
    labels = csv_labels(tree)
    return not labels or bool(labels & own)


def _list_class_folders(draft: Draft) -> None:
    tree = draft.tree
    places = {path: _class_place(tree, path) for path in tree.photos}
    draft.unlabelled((path for path, place in places.items() if place is None), "put it into a class folder")
    inner = _inner_parts(draft, [path for path, place in places.items() if place])
    for path, place in places.items():
        if place is not None:
            draft.add(path, label=place[0], part=inner.get(path, place[1]))
    masks = len(tree.images) + len(tree.masks) - len(tree.photos)
    if masks:
        draft.notes.append(f"{masks} masks are left out: they are for --task segment")


def _inner_parts(draft: Draft, paths: Sequence[Path]) -> dict[Path, Part]:
    """Return the parts that stand right below the classes, if all images of all classes are in some."""
    depth = 2 if draft.tree.divided else 1
    inner = {path: part_of(path.parts[:-1][depth : depth + 1]) for path in paths}
    parts = set(inner.values())
    if depth == 1 and None not in parts and len(parts) > 1:
        return {path: part for path, part in inner.items() if part}
    # A class may have a train in it; what is called a test or validation is hardly meant to be trained on.
    if parts - {None, "train"}:
        odd = next(path for path, part in inner.items() if part not in (None, "train"))
        draft.notes.append(
            f"{odd.parent.as_posix()}/ does not count as a part: put train/, val/ and test/ above the "
            f"classes, or below all of them"
        )
    return {}


# ---- masks


def _list_masks(draft: Draft) -> None:
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


def _by_place(draft: Draft, paths: Iterable[Path], dropped: frozenset[str]) -> dict[tuple[str, ...], Path]:
    """Return files by `place_of`; of two that have the same, the second is a fault."""
    found: dict[tuple[str, ...], Path] = {}
    for path in paths:
        place = place_of(path, dropped)
        if place in found:
            draft.report(draft.tree.folder / path, f"has the same name as {found[place].name}", "same name")
        else:
            found[place] = path
    return found
