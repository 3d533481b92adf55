"""Oxford-IIIT Pet: Parkhi et al., "Cats and Dogs" (CVPR 2012). Breed, species, head box and trimap.

The target `breed` has 37 labels, each with its species as its group.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.datasets import framing
from training.datasets.archives import download, unpack
from training.datasets.dataset import (
    DatasetError,
    Request,
    Samples,
    Source,
    Splits,
    hold_out_per_class,
)
from training.datasets.labels.annotations import read_voc
from training.datasets.reading import read_contents, read_images, read_masks

URL = "https://www.robots.ox.ac.uk/~vgg/data/pets/data/"
SPECIES = ("cat", "dog")
MASK_LABELS = ("background", "pet", "border")
_TRIMAP_TO_LABEL = np.asarray([0, 1, 0, 2], np.uint8)
"""The trimaps say 1 pet, 2 background, 3 border."""
VALIDATION_FRACTION = 0.1


@dataclass(frozen=True)
class _Entry:
    """One line of a list file."""

    name: str
    breed: int
    species: int


def _load(folder: Path, request: Request) -> Splits:
    _fetch(folder)
    entries = {part: _entries(folder, part) for part in ("trainval", "test")}
    labels, groups = _labels(entries["trainval"], request)
    by_breed = request.task == "classification" and request.target == "breed"
    breeds = np.asarray([entry.breed for entry in entries["trainval"]], np.int32)
    kept, held = hold_out_per_class(breeds, VALIDATION_FRACTION, seed=0)
    train, validation = ([entries["trainval"][row] for row in rows] for rows in (kept, held))
    test = entries["test"]
    if request.task == "localization":
        # After the division, which is so the same for all tasks: what one is tested on, the network that it
        # starts from was not trained on.
        train, validation, test = (_boxed(folder, part) for part in (train, validation, test))
    # Split first, read then: rows that are picked from a mapped array would be copied into memory.
    return Splits(
        _samples(folder, train, request, by_breed),
        _samples(folder, validation, request, by_breed),
        _samples(folder, test, request, by_breed),
        labels,
        groups=groups,
    )


def _fetch(folder: Path) -> None:
    archives = (
        ("images", "images.tar.gz", "5c4f3ee8e5d25df40f4fd59a7f44e54c"),
        ("annotations", "annotations.tar.gz", "95a8c909bbe2e81eed6a22bccdf3f68f"),
    )
    for part, archive, md5 in archives:
        if not (folder / part).is_dir():
            unpack(download(archive, URL + archive, md5, folder, "md5"), folder, part)


def _boxed(folder: Path, entries: list[_Entry]) -> list[_Entry]:
    """Return those with a head box: a few photos have none; the official lists contain them all the same."""
    xmls = folder / "annotations" / "xmls"
    return [entry for entry in entries if (xmls / f"{entry.name}.xml").is_file()]


def _entries(folder: Path, part: str) -> list[_Entry]:
    path = folder / "annotations" / f"{part}.txt"
    if not path.is_file():
        raise DatasetError(f"{path} is missing: it lists the photos of the {part} part.")
    entries = []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            name, breed, species, _ = line.split()
            entries.append(_Entry(name, int(breed) - 1, int(species) - 1))
        except ValueError:
            raise DatasetError(
                f"{path}, line {number}: expected 'name breed species id', got {line[:80]!r}."
            ) from None
    return entries


def _labels(entries: list[_Entry], request: Request) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the labels, and the group of each where they have groups."""
    if request.target == "breed" and request.task != "classification":
        raise DatasetError(
            f"Oxford-IIIT Pet gives breeds for classification, with their species as groups, and not for "
            f"{request.task}: leave out the target."
        )
    if request.target == "breed":
        return _breeds(entries)
    if request.task == "segmentation":
        return MASK_LABELS, ()
    if request.target in ("", "species"):
        return SPECIES, ()
    raise DatasetError(f"Oxford-IIIT Pet has the targets 'species' and 'breed', not {request.target!r}.")


def _breeds(entries: list[_Entry]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the breeds as people write them, in the order of the list's numbers, and the species of each."""
    known = {entry.breed: entry for entry in entries}
    ordered = [known[number] for number in sorted(known)]
    names = (entry.name.rpartition("_")[0].replace("_", " ").title() for entry in ordered)
    species = tuple(SPECIES[entry.species] for entry in ordered)
    # Of a part of the set that has cats alone, it would say nothing.
    return tuple(names), species if len(set(species)) > 1 else ()


def _samples(folder: Path, entries: list[_Entry], request: Request, by_breed: bool) -> Samples:
    names = [entry.name for entry in entries]
    paths = tuple(folder / "images" / f"{name}.jpg" for name in names)
    images = read_images(paths, request)
    labels = [entry.breed if by_breed else entry.species for entry in entries]
    boxes = masks = contents = None
    if request.task == "localization":
        xmls = folder / "annotations" / "xmls"
        boxes = np.asarray([_head_box(xmls / f"{name}.xml", request) for name in names])
    if request.task == "segmentation":
        trimaps = [folder / "annotations" / "trimaps" / f"{name}.png" for name in names]
        masks = read_masks("trimap", trimaps, request, _trimap)
        contents = read_contents(trimaps, request)
    return Samples(images, np.asarray(labels, np.int32), boxes, masks, paths, contents=contents)


def _head_box(path: Path, request: Request) -> NDArray[np.float32]:
    found = read_voc(path, _refuse)
    if len(found) != 1 or found[0].box is None or min(found[0].size or (0,)) < 1:
        raise DatasetError(f"{path} is not a Pascal VOC annotation with one box and the photo's size.")
    assert found[0].size is not None
    (x_min, y_min, x_max, y_max), (wide, high) = found[0].box, found[0].size
    return framing.box_into((x_min / wide, y_min / high, x_max / wide, y_max / high), (wide, high), request)


def _refuse(path: Path, reason: str) -> None:
    raise DatasetError(f"{path} {reason}.")


def _trimap(path: Path, values: NDArray[np.uint16]) -> NDArray[np.uint8]:
    if values.min() < 1 or values.max() > 3:
        raise DatasetError(f"{path} is not a trimap: its values must be 1, 2 or 3.")
    return np.asarray(_TRIMAP_TO_LABEL[values], np.uint8)


PETS = Source(
    name="oxford-iiit-pet",
    title="Oxford-IIIT Pet: 37 breeds of cats and dogs",
    tasks=("classification", "localization", "segmentation"),
    licence="CC BY-SA 4.0; the photos belong to their owners",
    homepage="https://www.robots.ox.ac.uk/~vgg/data/pets/",
    split_rule="test.txt for test; a tenth of each breed of trainval.txt for validation",
    load=_load,
)
