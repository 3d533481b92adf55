"""Which labels of a folder are meant, where it has several: a kind, a file, or a folder of them."""

from dataclasses import replace
from pathlib import Path

from training.datasets.dataset import DatasetError
from training.datasets.labels.labelformats import FORMATS, IGNORED
from training.datasets.own.tree import Tree

KINDS = ("folders", "groups", "masks", *sorted({one.option for one in FORMATS.values()}))
"""What --labels takes beside a file or folder."""


def kind_of(layout: str) -> str:
    """Return the kind of a layout, as --labels takes it."""
    form = FORMATS.get(layout.removesuffix(" outlines"))
    return form.option if form else layout


def select(tree: Tree, labels: str) -> tuple[Tree, set[str]]:
    """Return a tree with only the wanted labels, and the layouts that are wanted; none if all may be.

    DatasetError where `labels` is neither a kind nor a file or folder with labels.
    """
    if not labels:
        return tree, set()
    if labels in KINDS:
        layouts = {labels} & {"folders", "groups", "masks"}
        for name, form in FORMATS.items():
            layouts |= {name, f"{name} outlines"} if form.option == labels else set()
        return tree, layouts
    place = _below(tree, labels)
    files = [path for path in tree.formats if path.is_relative_to(place)]
    masks = tuple(path for path in (*tree.masks, *tree.images) if path.is_relative_to(place))
    found = {tree.formats[path] for path in files} & set(FORMATS)
    if found:
        # What names the classes stays, wherever it lies.
        spared = [path for path in tree.labels if path in files or tree.formats.get(path, IGNORED) == IGNORED]
        return replace(tree, labels=tuple(spared)), found | {f"{name} outlines" for name in found}
    if masks and len(masks) < len(tree.images) + len(tree.masks):
        images = tuple(path for path in tree.images if path not in masks)
        paired = {mask: photo for mask, photo in tree.paired.items() if mask in masks}
        return replace(tree, images=images, masks=masks, paired=paired), {"masks"}
    raise DatasetError(f"--labels {labels} holds no labels that are read: give a kind ({', '.join(KINDS)}).")


def _below(tree: Tree, labels: str) -> Path:
    """Return a stated file or folder by its path below the folder."""
    for path in (tree.folder / labels, Path(labels)):
        if path.exists() and path.resolve().is_relative_to(tree.folder.resolve()):
            return path.resolve().relative_to(tree.folder.resolve())
    raise DatasetError(
        f"--labels {labels} is neither a kind of labels ({', '.join(KINDS)}) nor a file or folder in "
        f"{tree.folder}."
    )
