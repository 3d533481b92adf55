"""Tells photos and their masks, in folders of any name, from classes: by their names and how they look."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby, takewhile
from pathlib import Path

import numpy as np
from PIL import Image

_ENDINGS = (
    *("mask", "masks", "l", "p", "seg", "segmentation", "gt", "label", "labels", "annotation", "matte"),
    *("labelids", "labeltrainids", "color", "instanceids"),
)
_PHOTO_ENDINGS = ("_leftImg8bit", "_sat")
_BEST, _LAST = ("labeltrainids", "labelids"), ("color", "instanceids")
_SAMPLED = 5
"""Pairs of a folder that are looked at; what holds for these holds for the others."""
_FEW_COLOURS, _FLAT, _PLAIN = 256, 0.85, 0.97


def bare(stem: str) -> str:
    """Return a mask's name without what programs put behind the photo's, as in `a_mask` or `a_L`."""
    head, mark, end = stem.replace("-", "_").rpartition("_")
    if mark and end.lower() in _ENDINGS:
        # Cityscapes: name_gtFine_labelIds.
        return stem[: len(head)].removesuffix("_gtFine").removesuffix("_gtCoarse")
    return stem


def rank(mask: Path) -> int:
    """Return which of a photo's masks is for classes: the lower the sooner. Cityscapes has three for each."""
    ending = mask.stem.replace("-", "_").rpartition("_")[2].lower()
    if ending in _BEST:
        return _BEST.index(ending)
    return len(_BEST) + (ending in _LAST)


def photo_stem(path: Path) -> str:
    """Return a photo's name without what well-known sets put behind it."""
    stem = path.stem
    for ending in _PHOTO_ENDINGS:
        stem = stem.removesuffix(ending)
    return stem


def find(folder: Path, images: Sequence[Path]) -> dict[Path, Path]:
    """Return, for each image that is another's mask, that other one.

    Masks have the names of their photos, perhaps with an ending, and lie beside them or in another folder;
    and they look like masks where the photos look like photos. The samples that are looked at must agree.
    """
    within = {path.parent: dict[str, Path]() for path in images}
    for path in images:
        within[path.parent][photo_stem(path)] = path
    found: dict[Path, Path] = {}
    for pairs in (*_beside(within), *_across(within)):
        taken = set(found.values())
        free = {
            mask: photo
            for mask, photo in pairs.items()
            if mask not in found and photo not in found and mask not in taken
        }
        if free and _agree(folder, free):
            found |= free
    return found


def _beside(within: Mapping[Path, Mapping[str, Path]]) -> Iterable[dict[Path, Path]]:
    """Yield, for each folder, masks that lie beside their photos, as a.jpg and a_mask.png do."""
    for stems in within.values():
        yield {
            path: stems[bare(stem)]
            for stem, path in stems.items()
            if bare(stem) != stem and bare(stem) in stems
        }


def _across(within: Mapping[Path, Mapping[str, Path]]) -> Iterable[dict[Path, Path]]:
    """Yield, for each two folders, the files of one that may be masks of the other's; most of them must."""
    holders: dict[str, set[Path]] = defaultdict(set)
    for place, stems in within.items():
        for stem in stems:
            holders[stem].add(place)
    for place, stems in within.items():
        heads = {path: _heads(stem) for stem, path in stems.items()}
        others = {one for names in heads.values() for name in names for one in holders.get(name, ())}
        # Where train/, val/ and test/ all have such names, those of train_labels/ are of train/.
        for other in sorted(others - {place}, key=lambda one: (-_alike(place, one), one)):
            photos = within[other]
            # The likeliest last, for it is the one that stays.
            pairs = {path: photos[name] for path, names in heads.items() for name in names if name in photos}
            if 2 * len(pairs) > len(stems):
                yield pairs


def _heads(stem: str) -> list[str]:
    """Return the names that a mask's photo may have, the likeliest last: whatever ending is left out."""
    ends = [place for place, letter in enumerate(stem) if place and letter in "_-. "]
    return [*(stem[:end] for end in ends), bare(stem), stem]


def _alike(place: Path, other: Path) -> int:
    """Return how many letters two folders' paths have in common from the beginning."""
    letters = zip(place.as_posix(), other.as_posix(), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], letters))


def _agree(folder: Path, pairs: Mapping[Path, Path]) -> bool:
    """Return whether the pairs that are looked at are masks and photos, as far as they can be read."""
    masks = sorted(pairs)
    chosen = masks[:: -(-len(masks) // _SAMPLED)]
    looks = [(_look(folder / mask), _look(folder / pairs[mask])) for mask in chosen]
    seen = [(mask, photo) for mask, photo in looks if mask and photo]
    return bool(seen) and all(_is_mask_of(mask, photo) for mask, photo in seen)


@dataclass(frozen=True)
class _Look:
    """How an image looks: whether it is coloured, and flat as a mask is."""

    size: tuple[int, int]
    coloured: bool
    flat: bool


def _is_mask_of(mask: _Look, photo: _Look) -> bool:
    if not mask.flat:
        return False
    # A drawing is as flat as its mask; but it has colours, and its mask is grey or has a palette.
    return not photo.flat or (photo.coloured and not mask.coloured and mask.size == photo.size)


@lru_cache(maxsize=4096)
def _look_at(path: Path, size: int, changed: int) -> _Look | None:
    try:
        with Image.open(path) as opened:
            opened.draft("RGB", (512, 512))
            exact = opened.format not in ("JPEG", "MPO")
            coloured = opened.mode not in ("1", "L", "LA", "P", "I", "I;16", "I;16B", "F")
            if opened.mode in ("I", "I;16", "I;16B", "F"):
                values = np.asarray(opened, np.int64)
            else:
                values = np.asarray(opened if opened.mode == "P" else opened.convert("RGB"), np.int64)
            stored = opened.size
    except Exception:  # noqa: BLE001 - who reads the file itself will tell what is wrong with it
        return None
    if values.ndim == 3:
        values = (values << np.arange(0, 24, 8)).sum(axis=2)
    return _Look(stored, coloured, _is_flat(values) if exact else _is_plain(values))


def _look(path: Path) -> _Look | None:
    status = path.stat()
    return _look_at(path, status.st_size, status.st_mtime_ns)


def _is_flat(values: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> bool:
    """Return whether neighbours mostly are the same, to the last bit."""
    if len(np.unique(values)) <= 2:
        return True
    same = (values[:, 1:] == values[:, :-1]).mean() if values.shape[1] > 1 else 1.0
    grey_numbers = values.max() > 255 or len(np.unique(values)) <= _FEW_COLOURS
    return bool(grey_numbers and same >= _FLAT)


def _is_plain(values: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> bool:
    """Return whether a picture is of a few colours but for the noise of a lossy format."""
    coarse = sum(((values >> shift) & 0xC0) >> 6 << place for place, shift in ((0, 0), (2, 8), (4, 16)))
    counts = np.sort(np.unique(coarse, return_counts=True)[1])[::-1]
    levels = [((values >> shift) & 0xFF) for shift in (0, 8, 16)]
    extreme = np.logical_and.reduce([(level < 24) | (level > 231) for level in levels]).mean()
    return bool(extreme >= _PLAIN and counts[:2].sum() >= _PLAIN * values.size)


def folders_of(pairs: Mapping[Path, Path]) -> tuple[set[str], set[str]]:
    """Return the outermost folders of photos, and those of masks, where these are others."""
    photos = {path.parts[0] for path in pairs.values() if len(path.parts) > 1}
    masks = {path.parts[0] for path in pairs if len(path.parts) > 1}
    return photos - masks, masks - photos


def shown(pairs: Mapping[Path, Path]) -> str:
    """Return an example of each kind of pair, in words."""
    ordered = sorted(pairs, key=lambda path: (path.parent, path))
    firsts = [next(group) for _, group in groupby(ordered, key=lambda path: path.parent)]
    return ", ".join(
        f"{mask.as_posix()} looks like the mask of {pairs[mask].as_posix()}" for mask in firsts[:2]
    )
