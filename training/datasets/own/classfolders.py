"""Images whose class is the folder that they lie in; its group, if any, is the one around (`nesting.py`)."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from training.datasets.own import nesting, pairs
from training.datasets.own.draft import Draft
from training.datasets.own.labelled import csv_labels
from training.datasets.own.listing import part_of
from training.datasets.own.nesting import Place
from training.datasets.own.tree import IMAGE_FOLDERS, Tree, below, count_by_suffix


def class_place(tree: Tree, path: Path) -> Place | None:
    """Return an image's class folders and part; None where it has no class folder."""
    names = path.parts[:-1]
    part = None
    if names and tree.divided:
        part, names = part_of(names[:1]), names[1:]
    if tree.wrapped and names[0].lower() in IMAGE_FOLDERS and not part_of(names[1:2]):
        names = names[1:]
    if not names or names[0].lower() in IMAGE_FOLDERS or names[0].lower() == "annotations":
        return None
    inner = tuple(name for name in names[1:] if name.lower() not in IMAGE_FOLDERS)
    return Place((names[0], *inner), part)


def has_class_folders(tree: Tree, found: set[str]) -> bool:
    """Return whether there are class folders, beside the layouts that were found already."""
    classes = {path: place.names[0] for path in tree.photos if (place := class_place(tree, path))}
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


def is_nested(tree: Tree) -> bool:
    """Whether the class folders are plainly nested; what is in doubt is asked when they are listed."""
    return nesting.is_nested(_placed(tree))


def list_class_folders(draft: Draft, *, nested: bool, stated: bool) -> None:
    """List the images in class folders, with the parts that stand above or below the classes.

    Of nested folders the outermost are groups. Where the user has not `stated` whether they are nested, and
    either could be meant, Question; DatasetError where what was stated cannot be.
    """
    tree = draft.tree
    places = _placed(tree)
    draft.unlabelled((path for path in tree.photos if path not in places), "put it into a class folder")
    if not stated:
        nesting.ask(tree.folder, places)
    if nested:
        _add_groups(draft, places)
    else:
        for path, place in places.items():
            draft.add(path, label=place.names[0], part=place.part)
    _note(draft, places)
    for folder, others in sorted(_without_images(tree, 2 if nested else 1).items()):
        what = f"holds {count_by_suffix(tuple(others))}, but no image" if others else "is empty"
        draft.warn(f"{folder.as_posix()}/ {what}: there is nothing to learn of this class in it")


def _placed(tree: Tree) -> dict[Path, Place]:
    """Return the images in class folders; parts right below all classes are taken out of their names."""
    found = {path: place for path in tree.photos if (place := class_place(tree, path))}
    return found if tree.divided else nesting.parted(found)


def _add_groups(draft: Draft, places: Mapping[Path, Place]) -> None:
    nesting.check(draft.tree.folder, places)
    draft.unlabelled(
        (path for path, place in places.items() if len(place.names) < 2),
        "it lies right in the folder of a group, so put it into that of a class within",
    )
    labels = set()
    for path, place in places.items():
        if len(place.names) > 1:
            group, label = place.names[:2]
            labels.add((group, label))
            draft.add(path, label=label, group=group, part=place.part)
    draft.notes.append(
        f"{len(labels)} classes in {len({group for group, _ in labels})} groups, the outermost folders; "
        f"--labels folders takes these for the classes"
    )


def _note(draft: Draft, places: Mapping[Path, Place]) -> None:
    """Tell of images that are left out, and of folders that look like parts and are none."""
    # A class may have a train in it; what is called a test or validation is hardly meant to be trained on.
    odd = [path for path, place in places.items() if part_of(place.names[1:2]) not in (None, "train")]
    if odd:
        draft.notes.append(
            f"{odd[0].parent.as_posix()}/ does not count as a part: put train/, val/ and test/ above the "
            f"classes, or below all of them"
        )
    masks = len(draft.tree.images) + len(draft.tree.masks) - len(draft.tree.photos)
    if masks:
        draft.notes.append(f"{masks} masks are left out: they are for --task segment")


def _without_images(tree: Tree, levels: int) -> dict[Path, list[Path]]:
    """Return the folders that stand where classes do, with two levels their groups too, and hold no image,
    each with what it holds else.
    """
    first = 2 if tree.divided else 1
    found: dict[Path, list[Path]] = {}
    for depth in range(first, first + levels):
        holding = _outer((*tree.images, *tree.masks, *tree.labels), depth)
        for folder in _outer((path / "nothing" for path in tree.empty), depth) - holding:
            found.setdefault(folder, [])
        for path in tree.others:
            if len(path.parts) > depth and (folder := Path(*path.parts[:depth])) not in holding:
                found.setdefault(folder, []).append(path)
    return found


def _outer(files: Iterable[Path], depth: int) -> set[Path]:
    """Return the folders of that depth in which files lie, at any depth."""
    return {Path(*path.parts[:depth]) for path in files if len(path.parts) > depth}
