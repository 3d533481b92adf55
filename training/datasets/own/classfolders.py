"""Images whose class is the folder that they lie in."""

from collections.abc import Sequence
from pathlib import Path

from training.datasets.own import pairs
from training.datasets.own.draft import Draft
from training.datasets.own.labelled import csv_labels
from training.datasets.own.listing import Part, part_of
from training.datasets.own.tree import IMAGE_FOLDERS, Tree, below


def class_place(tree: Tree, path: Path) -> tuple[str, Part | None] | None:
    """Return an image's class and part by its folders; None where it has no class folder."""
    names = path.parts[:-1]
    part = None
    if names and tree.divided:
        part, names = part_of(names[:1]), names[1:]
    if tree.wrapped and names[0].lower() in IMAGE_FOLDERS and not part_of(names[1:2]):
        names = names[1:]
    if not names or names[0].lower() in IMAGE_FOLDERS or names[0].lower() == "annotations":
        return None
    return names[0], part


def has_class_folders(tree: Tree, found: set[str]) -> bool:
    """Return whether there are class folders, beside the layouts that were found already."""
    classes = {path: place[0] for path in tree.photos if (place := class_place(tree, path))}
    # Images/ below a folder is that of a class only where no other layout could have it there.
    photos, _ = pairs.folders_of(tree.paired)
    own = {name for path, name in classes.items() if not below(path, IMAGE_FOLDERS)} - photos
    if not found and len(set(classes.values())) > 1:
        return True
    if not found:
        return bool(own)
    # Beside label files or masks, one folder alone is where the images are.
    if "csv labels" not in found or not own:
        return len(own) > 1
    labels = csv_labels(tree)
    return not labels or bool(labels & own)


def list_class_folders(draft: Draft) -> None:
    """List the images in class folders, with the parts that stand above or right below the classes."""
    tree = draft.tree
    places = {path: class_place(tree, path) for path in tree.photos}
    draft.unlabelled((path for path, place in places.items() if place is None), "put it into a class folder")
    inner = _inner_parts(draft, [path for path, place in places.items() if place])
    for path, place in places.items():
        if place is not None:
            draft.add(path, label=place[0], part=inner.get(path, place[1]))
    masks = len(tree.images) + len(tree.masks) - len(tree.photos)
    if masks:
        draft.notes.append(f"{masks} masks are left out: they are for --task segment")
    for empty in _without_images(tree):
        draft.warn(f"{empty.as_posix()}/ is empty: there is nothing to learn of this class in it")


def _without_images(tree: Tree) -> list[Path]:
    """Return the folders that stand where classes do, and hold nothing."""
    depth = 2 if tree.divided else 1
    places = {Path(*path.parts[:depth]) for path in tree.empty if len(path.parts) >= depth}
    holding = {Path(*path.parts[:depth]) for path in (*tree.images, *tree.masks)}
    return sorted(places - holding)


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
