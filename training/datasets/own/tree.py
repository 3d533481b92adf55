"""The files of a folder of one's own, by what they may be: images, masks, label files."""

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from training.datasets.dataset import DatasetError
from training.datasets.labels import labelformats
from training.datasets.own import pairs
from training.datasets.own.listing import IMAGE_SUFFIXES, part_of

IMAGE_FOLDERS = frozenset(("images", "image", "imgs", "img", "jpegimages", "pngimages"))
CLASS_MASKS, OBJECT_MASKS = "segmentationclass", "segmentationobject"
"""Pascal VOC has both for the same photos."""
OBJECT_FOLDERS = frozenset((OBJECT_MASKS, "pedmasks"))
"""Where Pascal VOC and Penn-Fudan have masks that number objects."""
MASK_FOLDERS = frozenset(
    ("masks", "mask", "pedmasks", "trimaps", CLASS_MASKS, "segmentationclassaug", OBJECT_MASKS)
)
_LABEL_SUFFIXES = frozenset((".xml", ".json", ".csv", ".txt", ".yaml", ".yml", ".labels", ".names"))


@dataclass(frozen=True)
class Tree:
    """The files of a folder, by what they may be; paths below the folder."""

    folder: Path
    images: tuple[Path, ...]
    masks: tuple[Path, ...]
    labels: tuple[Path, ...]
    others: tuple[Path, ...] = ()
    """Files that are none of these."""
    unusable: tuple[tuple[Path, str], ...] = ()
    """Files and folders that cannot be used at all, each with the reason."""
    empty: tuple[Path, ...] = ()
    """Folders without any file below them."""
    paired: Mapping[Path, Path] = field(default_factory=dict)
    """The photos of those masks that were recognised by how they look."""

    @cached_property
    def divided(self) -> bool:
        """Whether the outermost folders are train, val and test rather than classes."""
        outer = {path.parts[0] for path in self.images if len(path.parts) > 1}
        parts = {name for name in outer if part_of([name])}
        if len(parts) > 1 and parts != outer:
            raise DatasetError(
                f"The folders {', '.join(sorted(parts))} stand beside {', '.join(sorted(outer - parts))}: "
                f"either all of the outermost folders are parts (train, val, test) with classes below, or "
                f"all are classes."
            )
        return bool(parts) and parts == outer

    @cached_property
    def photos(self) -> tuple[Path, ...]:
        """The images where masks are not asked for: a class may be called mask, too.

        Its folder is outermost, but for parts, and has nothing by the name of an image elsewhere.
        """
        places = {place_of(path, IMAGE_FOLDERS) for path in self.images}
        classes: dict[Path, list[Path]] = defaultdict(list)
        for path in self.masks:
            depth = 1 if part_of(path.parts[:1]) else 0
            if path.parts[depth].lower() in MASK_FOLDERS:
                classes[Path(*path.parts[: depth + 1])].append(path)
        own = [
            path
            for paths in classes.values()
            if not any(place_of(path, MASK_FOLDERS) in places for path in paths)
            for path in paths
        ]
        return tuple(sorted((*self.images, *own)))

    @cached_property
    def wrapped(self) -> bool:
        """Whether folders such as images/ hold no photo themselves but those of classes: images/cat/1.jpg."""
        return all(
            below(path, IMAGE_FOLDERS) and path.parent.name.lower() not in IMAGE_FOLDERS
            for path in self.photos
        )

    def of(self, suffix: str) -> list[Path]:
        """Return the label files with a suffix."""
        return [path for path in self.labels if path.suffix.lower() == suffix]

    @cached_property
    def formats(self) -> dict[Path, str]:
        """The format of each label file, as `labelformats.recognise` names it; empty where it is of none."""
        stems = {path.stem for path in (*self.images, *self.masks)}
        return labelformats.recognise(self.folder, self.labels, stems)

    def of_layout(self, layout: str) -> list[Path]:
        """Return the label files of a layout that has some."""
        return [path for path, name in self.formats.items() if name == layout]

    @cached_property
    def fingerprint(self) -> str:
        """As `Listing.fingerprint`."""
        digest = hashlib.sha256()
        for path in (*self.images, *self.masks, *self.labels):
            digest.update(f"{path.as_posix()}\0{(self.folder / path).stat().st_size}\0".encode())
        for path in self.labels:
            digest.update((self.folder / path).read_bytes())
        return digest.hexdigest()


def read_tree(folder: Path, advice: str, *, by_folders: bool = False) -> Tree:
    """List the files below `folder`; DatasetError, with `advice`, where there are no images.

    With `by_folders`, no image is taken for a mask: all folders are what they are called, and classes. Links
    are followed. Hidden files do not count, nor those that a Macintosh adds to archives.
    """
    if not folder.is_dir():
        raise DatasetError(f"There is no folder {shown(folder)}.")
    if not _has_good_name(folder.resolve()):
        raise DatasetError(f"The name {shown(folder.resolve())} is not UTF-8: rename the folder.")
    found: dict[str, list[Path]] = defaultdict(list)
    unusable: list[tuple[Path, str]] = []
    for path, wrong in _walk(folder, ()):
        own = path.relative_to(folder)
        if wrong == _EMPTY:
            found["empty"].append(own)
        elif wrong:
            unusable.append((own, wrong))
        else:
            found[_kind(own)].append(own)
    images, masks, labels, others, empty = (
        tuple(sorted(found[kind])) for kind in ("image", "mask", "label", "other", "empty")
    )
    if not images:
        ignored = f" ({count_by_suffix(others)} are none)" if others else ""
        raise DatasetError(f"{folder} holds no images{ignored}. {advice}")
    if by_folders:
        images, masks = tuple(sorted((*images, *masks))), ()
    paired = {} if by_folders else pairs.find(folder, images)
    return Tree(
        folder,
        tuple(path for path in images if path not in paired),
        tuple(sorted((*masks, *paired))),
        labels,
        others,
        tuple(sorted(unusable)),
        empty,
        paired,
    )


_EMPTY = "is empty"


State = list[tuple[str, int, int]]
"""Path below the folder, size and time of change in ns, of each file; a folder without files has size -1."""


def state_of(folder: Path) -> State:
    """Return what tells whether any file below `folder` came, went or changed, without opening one.

    Empty where there is no such folder. What `read_tree` passes over does not count.
    """
    found: State = []
    _look(os.fspath(folder), "", (), found)
    return sorted(found)


def _look(folder: str, place: str, above: tuple[str, ...], found: State) -> None:
    above = (*above, os.path.realpath(folder))
    try:
        with os.scandir(folder) as entries:
            names = [entry for entry in entries if not _passed_over(entry.name)]
    except OSError:
        names = []
    if not names:
        found.append((place, -1, 0))
    for entry in names:
        name = f"{place}{entry.name}"
        try:
            if not entry.is_dir():
                status = entry.stat()
                found.append((name, status.st_size, status.st_mtime_ns))
            elif os.path.realpath(entry.path) not in above:
                _look(entry.path, f"{name}/", above, found)
        except OSError:
            # A link to nothing, which is told when the folder is listed.
            found.append((name, -2, 0))


def _passed_over(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _walk(folder: Path, above: tuple[Path, ...]) -> Iterator[tuple[Path, str]]:
    """Yield all files below `folder`, or what cannot be used, with the reason."""
    above = (*above, folder.resolve())
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        yield folder, f"cannot be opened: {error.strerror}"
        return
    if not entries and len(above) > 1:
        yield folder, _EMPTY
    for path in entries:
        if _passed_over(path.name):
            continue
        yield from _entry(path, above)


def _entry(path: Path, above: tuple[Path, ...]) -> Iterator[tuple[Path, str]]:
    if not _has_good_name(path):
        yield path, "its name is not UTF-8: rename it"
    elif path.is_dir():
        # A link may lead back to where it stands.
        yield from () if path.resolve() in above else _walk(path, above)
    elif path.is_file():
        yield path, ""
    elif path.is_symlink():
        yield path, "is a link to nothing"


def _kind(path: Path) -> str:
    if path.suffix.lower() in _LABEL_SUFFIXES:
        return "label"
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        return "other"
    return "mask" if below(path, MASK_FOLDERS) else "image"


def _has_good_name(path: Path) -> bool:
    return shown(path) == str(path)


def shown(path: Path | str) -> str:
    """Return a path that can be printed, whatever bytes its name is made of."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def count_by_suffix(paths: tuple[Path, ...]) -> str:
    """Return how many files there are of each suffix, in words."""
    counts = Counter(path.suffix.lower() or "without suffix" for path in paths)
    return ", ".join(f"{count} {suffix}" for suffix, count in sorted(counts.items()))


def below(path: Path, names: frozenset[str]) -> bool:
    """Return whether any folder on the way to `path` has one of these names, in small letters."""
    return any(part.lower() in names for part in path.parts[:-1])


def place_of(path: Path, dropped: frozenset[str]) -> tuple[str, ...]:
    """Name a file by its folders without `dropped` ones, and its stem: what image and mask share."""
    folders = tuple(part for part in path.parts[:-1] if part.lower() not in dropped)
    return (*folders, path.stem)
