"""The files of a folder of one's own, by what they may be: images, masks, label files."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from training.datasets.coco import is_coco
from training.datasets.dataset import DatasetError
from training.datasets.listing import IMAGE_SUFFIXES, part_of
from training.datasets.tables import csv_kind

IMAGE_FOLDERS = frozenset(("images", "image", "imgs", "jpegimages"))
MASK_FOLDERS = frozenset(("masks", "mask", "segmentationclass", "trimaps"))
_LABEL_SUFFIXES = frozenset((".xml", ".json", ".csv", ".txt"))


@dataclass(frozen=True)
class Tree:
    """The files of a folder, by what they may be; paths below the folder."""

    folder: Path
    images: tuple[Path, ...]
    masks: tuple[Path, ...]
    labels: tuple[Path, ...]

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

    def of(self, suffix: str) -> list[Path]:
        """Return the label files with a suffix."""
        return [path for path in self.labels if path.suffix.lower() == suffix]

    def of_layout(self, layout: str) -> list[Path]:
        """Return the label files of a layout that has some."""
        if layout == "voc":
            return self.of(".xml")
        if layout == "coco":
            return [path for path in self.of(".json") if is_coco(self.folder / path)]
        kind = layout.removeprefix("csv ")
        return [path for path in self.of(".csv") if csv_kind(self.folder / path) == kind]

    @cached_property
    def fingerprint(self) -> str:
        """As `Listing.fingerprint`."""
        digest = hashlib.sha256()
        for path in (*self.images, *self.masks, *self.labels):
            digest.update(f"{path.as_posix()}\0{(self.folder / path).stat().st_size}\0".encode())
        for path in self.labels:
            digest.update((self.folder / path).read_bytes())
        return digest.hexdigest()


def read_tree(folder: Path, advice: str) -> Tree:
    """List the files below `folder`; DatasetError, with `advice`, where there are no images.

    Hidden files do not count, nor those that a Macintosh adds to archives.
    """
    if not folder.is_dir():
        raise DatasetError(f"There is no folder {folder}.")
    images: list[Path] = []
    masks: list[Path] = []
    labels: list[Path] = []
    for path in sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file()):
        if any(part.startswith(".") or part == "__MACOSX" for part in path.parts):
            continue
        if path.suffix.lower() in _LABEL_SUFFIXES:
            labels.append(path)
        elif path.suffix.lower() in IMAGE_SUFFIXES:
            (masks if below(path, MASK_FOLDERS) else images).append(path)
    if not images:
        raise DatasetError(f"{folder} holds no images. {advice}")
    return Tree(folder, tuple(images), tuple(masks), tuple(labels))


def below(path: Path, names: frozenset[str]) -> bool:
    """Return whether any folder on the way to `path` has one of these names, in small letters."""
    return any(part.lower() in names for part in path.parts[:-1])
