"""Images whose masks are files of their own: which mask belongs to which image."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from training.datasets.own.draft import Draft
from training.datasets.own.legend import is_legend
from training.datasets.own.listing import part_of
from training.datasets.own.pairs import bare, photo_stem, rank
from training.datasets.own.tree import CLASS_MASKS, IMAGE_FOLDERS, MASK_FOLDERS, OBJECT_MASKS, below, place_of


def list_masks(draft: Draft) -> None:
    """List the images with their masks: by how they look, or by the names of files and folders."""
    tree = draft.tree
    draft.legend = next((tree.folder / path for path in tree.labels if is_legend(tree.folder / path)), None)
    images = _by_place(draft, tree.images, IMAGE_FOLDERS)
    wanted = _semantic(draft, tree.masks)
    found = _paired(draft, wanted)
    masks = _by_place(
        draft, [mask for mask in wanted if mask not in tree.paired], MASK_FOLDERS | {"annotations"}
    )
    lost = []
    for place, mask in masks.items():
        photo = images.get(place) or images.get((*place[:-1], bare(place[-1])))
        if photo is None:
            lost.append(mask)
        elif photo in found:
            draft.report(tree.folder / mask, f"has the same name as {found[photo].name}", "same name")
        else:
            found[photo] = mask
    for path in images.values():
        if path in found:
            draft.add(path, mask=tree.folder / found[path], part=part_of(path.parent))
    draft.unlabelled((path for path in images.values() if path not in found), "no mask has its name")
    for path in lost:
        draft.report(tree.folder / path, "there is no image of its name", "label without image")


def _paired(draft: Draft, wanted: Iterable[Path]) -> dict[Path, Path]:
    """Return the masks of photos that were recognised by their looks; of several, that of classes."""
    several: dict[Path, list[Path]] = defaultdict(list)
    for mask in sorted(set(wanted) & set(draft.tree.paired), key=lambda mask: (rank(mask), mask)):
        several[draft.tree.paired[mask]].append(mask)
    left_out = []
    for masks in several.values():
        for other in masks[1:]:
            if rank(other) > rank(masks[0]):
                left_out.append((masks[0], other))
            else:
                draft.report(
                    draft.tree.folder / other,
                    f"is a second mask beside {masks[0].as_posix()}: keep one of them, or take one folder's "
                    f"with --labels FOLDER",
                    "same name",
                )
    if left_out:
        taken, other = left_out[0]
        draft.notes.append(
            f"{len(left_out)} further masks of the same photos are left out: {taken.name} is taken and not "
            f"{other.name}"
        )
    return {photo: masks[0] for photo, masks in several.items()}


def _semantic(draft: Draft, masks: Iterable[Path]) -> list[Path]:
    """Leave out Pascal VOC's masks of objects where those of classes are there for the same images."""
    kinds: dict[str, list[Path]] = defaultdict(list)
    for path in masks:
        kinds[OBJECT_MASKS if below(path, frozenset((OBJECT_MASKS,))) else CLASS_MASKS].append(path)
    if len(kinds) < 2:
        return [path for several in kinds.values() for path in several]
    folder = kinds[OBJECT_MASKS][0].parent.as_posix()
    draft.notes.append(
        f"{folder}/ is left out, as it numbers objects, and {kinds[CLASS_MASKS][0].parent.as_posix()}/ has "
        f"classes; --labels {folder} takes it"
    )
    return kinds[CLASS_MASKS]


def _by_place(draft: Draft, paths: Iterable[Path], dropped: frozenset[str]) -> dict[tuple[str, ...], Path]:
    """Return files by `place_of`; of two that have the same, the second is a fault."""
    found: dict[tuple[str, ...], Path] = {}
    for path in paths:
        place = place_of(path.with_stem(photo_stem(path)), dropped)
        if place in found:
            draft.report(draft.tree.folder / path, f"has the same name as {found[place].name}", "same name")
        else:
            found[place] = path
    return found
