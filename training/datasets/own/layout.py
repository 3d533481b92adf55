"""Recognises how a folder of one's own is laid out, and lists its labelled images.

photos/cat/1.jpg                            class folders; train/ val/ test/ may stand above them
photos/cat/bengal/1.jpg                     nested class folders, the outermost of which are groups
photos/1.jpg photos/1.xml                   label files of any of the formats of `labelformats.py`, beside the
photos/labels/1.txt photos/images/1.jpg     images or in folders of their own
photos/images/1.jpg photos/masks/1.png      masks; train/ val/ test/ may stand above or below
"""

import time
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path

from training.datasets.dataset import DatasetError, Question, Reading
from training.datasets.labels.labelformats import FORMATS
from training.datasets.own import lists, pairs
from training.datasets.own.classfolders import has_class_folders, is_nested, list_class_folders
from training.datasets.own.draft import TITLES, Draft
from training.datasets.own.labelled import list_annotated
from training.datasets.own.listing import Listing
from training.datasets.own.masklist import list_masks
from training.datasets.own.selection import kind_of, select
from training.datasets.own.strange import not_understood
from training.datasets.own.tree import Tree, count_by_suffix, read_tree, state_of
from training.learnable import LEARNABLE, Task

_BOXES = tuple(name for name, one in FORMATS.items() if one.boxes)
_LABELS = tuple(name for name, one in FORMATS.items() if not one.boxes)
_KINDS = {"labels": _LABELS, "boxes": _BOXES, "outlines": tuple(f"{name} outlines" for name in _BOXES)}
"""What stands for all formats of label files that have these, in `Learnable.layouts`."""
_LAYOUTS: dict[Task, tuple[tuple[str, ...], ...]] = {
    task: tuple(tuple(name for kind in row for name in _KINDS.get(kind, (kind,))) for row in one.layouts)
    for task, one in LEARNABLE.items()
}
_FOLDERS = frozenset(("folders", "groups"))
"""The layouts of class folders."""
_ADVICE = (
    "Expected one folder per class (photos/cat/1.jpg), images with Pascal VOC XML, COCO JSON, YOLO .txt "
    "files, LabelMe or Label Studio JSON or a CSV (file,x_min,y_min,x_max,y_max,label), or images/ with "
    "masks/."
)


def list_folder(folder: Path, task: Task | None = None, labels: str = "") -> Listing:
    """List the labelled images below `folder`; without a task, the one that the layout is for.

    `labels` is the layout to take where there are several, by its kind (`selection.KINDS`), or the label
    file, or the folder of label files or masks. Raises DatasetError where the layout is not recognised, and
    Question where it can be read in more than one way.
    """
    state = state_of(folder)
    newest = max((changed for _, _, changed in state), default=0)
    if time.time_ns() - newest < _SETTLED:
        return _list_folder(folder, task, labels)
    return _listed(folder, task, labels, tuple(state))


def task_of(folder: Path, task: Task | None = None, labels: str = "") -> Task:
    """Return the task that a folder is for; all labels are learnt where images are of several classes, or of
    none, though one of each was asked for. Raises as `list_folder` does.
    """
    listing = list_folder(folder, task, labels)
    return "multilabel" if listing.task == "classification" and listing.several else listing.task


_SETTLED = 2 * 10**9
"""Nanoseconds after which a file that changes again has another time of change, whatever the file system."""


@lru_cache(maxsize=4)
def _listed(folder: Path, task: Task | None, labels: str, state: tuple[tuple[str, int, int], ...]) -> Listing:
    """List a folder in a state that was not listed before; a command asks for it several times."""
    return _list_folder(folder, task, labels)


def _list_folder(folder: Path, task: Task | None, labels: str) -> Listing:
    whole = read_tree(folder, _ADVICE, by_folders=labels in _FOLDERS)
    tree, wanted = select(whole, labels)
    layouts = _layouts(tree, wanted)
    strange = not_understood(tree)
    advice = " ".join([_ADVICE, *(f"Note: {one.text}." for one in strange)])
    if task is None:
        task = _only_task(tree, layouts, advice, several=lambda: _has_several(folder, labels))
    layout = _choose(tree, task, layouts, advice).removesuffix(" outlines")
    draft = Draft(tree)
    for one in strange:
        if layout in _FOLDERS and one.names_photos:
            draft.warn(f"the folders are taken for classes, but {one.text}")
        else:
            draft.notes.append(one.text)
    for path, wrong in tree.unusable:
        draft.report(folder / path, wrong, "unusable")
    if tree.others:
        draft.notes.append(f"neither images nor labels, and ignored: {count_by_suffix(tree.others)}")
    _list(draft, layout, task, stated=bool(wanted))
    lists.divide(draft, task)
    return Listing(
        folder,
        task,
        TITLES[layout],
        tuple(draft.items),
        tuple(draft.notes),
        tuple(sorted(draft.faults, key=lambda fault: fault.file)),
        whole.fingerprint,
        tuple(draft.warnings),
        draft.names,
        draft.legend,
        draft.several,
    )


def _list(draft: Draft, layout: str, task: Task, *, stated: bool) -> None:
    if layout in _FOLDERS:
        list_class_folders(draft, nested=layout == "groups", stated=stated)
    elif layout == "masks":
        list_masks(draft)
    else:
        list_annotated(draft, layout, task)


def _layouts(tree: Tree, wanted: set[str]) -> set[str]:
    """Return the layouts that a tree has, of those that are wanted where some are."""
    found = set(tree.formats.values()) & set(FORMATS)
    for name in sorted(found):
        if any(FORMATS[name].outlines(tree.folder / path) for path in tree.of_layout(name)):
            found.add(f"{name} outlines")
    if tree.masks:
        found.add("masks")
    if has_class_folders(tree, found):
        found |= wanted & _FOLDERS or {"groups" if is_nested(tree) else "folders"}
    return found & wanted if wanted else found


def _has_several(folder: Path, labels: str) -> bool:
    """Tell whether boxes are of all objects: an image has several, or none, where one is learnt of each."""
    try:
        items = list_folder(folder, "detection", labels).items
    except DatasetError:
        return False  # what is wrong is told when it is listed for one
    return any(len(item.stated) != 1 for item in items)


def _only_task(tree: Tree, layouts: set[str], advice: str, several: Callable[[], bool]) -> Task:
    fitting = [task for task in _LAYOUTS if _fitting(task, layouts, first=LEARNABLE[task].truth != "mask")]
    if "localization" in fitting:
        fitting.remove("localization" if several() else "detection")
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise DatasetError(f"{tree.folder} holds images without labels. {advice}")
    raise Question(
        f"{tree.folder} could be for {' or '.join(fitting)} ({_named(layouts)})",
        [
            Reading(f"{_named(_fitting(task, layouts))} for {task}", f"--task {LEARNABLE[task].option}", task)
            for task in fitting
        ],
    )


def _fitting(task: Task, layouts: set[str], *, first: bool = False) -> list[str]:
    """Return the layouts that fit a task best; with `first`, only those that are made for it."""
    rows = _LAYOUTS[task][:1] if first else _LAYOUTS[task]
    return next((found for row in rows if (found := [name for name in row if name in layouts])), [])


def _choose(tree: Tree, task: Task, layouts: set[str], advice: str) -> str:
    fitting = _fitting(task, layouts)
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        readings = [
            Reading(_title(name), f"--labels {(kind := kind_of(name))}", task, kind) for name in fitting
        ]
        raise Question(
            f"{tree.folder} has labels of several kinds for {task} ({_named(fitting)}), "
            f"such as {_examples(tree, fitting)}",
            readings,
        )
    if task == "classification" and "masks" in layouts:
        raise Question(
            f"{tree.folder} holds photos with masks ({_masks_shown(tree)}), and no labels for classification",
            [
                Reading("the masks are to be learnt", "--task segment", "segmentation", "masks"),
                Reading("each folder is a class", "--task classify --labels folders", task, "folders"),
            ],
        )
    found = f"it has {_named(layouts)}" if layouts else "it has images only"
    raise DatasetError(f"{tree.folder} has no labels for {task}: {found}. {advice}")


def _masks_shown(tree: Tree) -> str:
    return pairs.shown(tree.paired) or f"as {tree.masks[0].as_posix()}"


def _examples(tree: Tree, layouts: Iterable[str]) -> str:
    files = [next(iter(tree.of_layout(name.removesuffix(" outlines"))), None) for name in layouts]
    return ", ".join(path.as_posix() for path in files if path) or "folders"


def _named(layouts: Iterable[str]) -> str:
    return ", ".join(sorted({_title(name) for name in layouts}))


def _title(layout: str) -> str:
    return TITLES[layout.removesuffix(" outlines")]
