"""CIFAR-10 and CIFAR-100: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images" (2009).

Read either from folders of PNG files, `train/CLASS/*.png` and `test/CLASS/*.png`, or from the official
archives in their binary form. About 3 % of the test images of CIFAR-10, and 10 % of those of CIFAR-100, have
a near copy among the training images (Barz, Denzler, "Do We Train on Test Data?", Journal of Imaging 2020).
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.datasets.archives import download, unpack
from training.datasets.dataset import DatasetError, Request, Samples, Source, Splits, hold_out_per_class
from training.datasets.reading import fit_images, read_images

URL = "https://www.cs.toronto.edu/~kriz/"
VALIDATION_FRACTION = 0.1
PIXELS = 3 * 32 * 32

SUPERCLASSES: dict[str, tuple[str, ...]] = {
    "aquatic mammals": ("beaver", "dolphin", "otter", "seal", "whale"),
    "fish": ("aquarium fish", "flatfish", "ray", "shark", "trout"),
    "flowers": ("orchid", "poppy", "rose", "sunflower", "tulip"),
    "food containers": ("bottle", "bowl", "can", "cup", "plate"),
    "fruit and vegetables": ("apple", "mushroom", "orange", "pear", "sweet pepper"),
    "household electrical devices": ("clock", "keyboard", "lamp", "telephone", "television"),
    "household furniture": ("bed", "chair", "couch", "table", "wardrobe"),
    "insects": ("bee", "beetle", "butterfly", "caterpillar", "cockroach"),
    "large carnivores": ("bear", "leopard", "lion", "tiger", "wolf"),
    "large man-made outdoor things": ("bridge", "castle", "house", "road", "skyscraper"),
    "large natural outdoor scenes": ("cloud", "forest", "mountain", "plain", "sea"),
    "large omnivores and herbivores": ("camel", "cattle", "chimpanzee", "elephant", "kangaroo"),
    "medium-sized mammals": ("fox", "porcupine", "possum", "raccoon", "skunk"),
    "non-insect invertebrates": ("crab", "lobster", "snail", "spider", "worm"),
    "people": ("baby", "boy", "girl", "man", "woman"),
    "reptiles": ("crocodile", "dinosaur", "lizard", "snake", "turtle"),
    "small mammals": ("hamster", "mouse", "rabbit", "shrew", "squirrel"),
    "trees": ("maple tree", "oak tree", "palm tree", "pine tree", "willow tree"),
    "vehicles 1": ("bicycle", "bus", "motorcycle", "pickup truck", "train"),
    "vehicles 2": ("lawn mower", "rocket", "streetcar", "tank", "tractor"),
}
"""The 20 coarse classes of CIFAR-100 and the five fine ones in each, as on the data set's page."""

FINE = tuple(sorted(name for names in SUPERCLASSES.values() for name in names))
COARSE = tuple(SUPERCLASSES)
_COARSE_OF_FINE = np.asarray(
    [next(index for index, names in enumerate(SUPERCLASSES.values()) if name in names) for name in FINE],
    np.int32,
)


@dataclass(frozen=True)
class _Kind:
    """One of the two sets: its classes, and its archive with the files therein."""

    labels: tuple[str, ...]
    archive: str
    md5: str
    folder: str
    train: tuple[str, ...]
    test: str
    label_bytes: int
    """The class is in the last of so many bytes before each image."""


_TEN = _Kind(
    ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    "cifar-10-binary.tar.gz",
    "c32a1d4ab5d03f1284b67883e8d87530",
    "cifar-10-batches-bin",
    tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
    "test_batch.bin",
    1,
)
_HUNDRED = _Kind(
    FINE,
    "cifar-100-binary.tar.gz",
    "03b5dce01913d631647c71ecec9e9cb8",
    "cifar-100-binary",
    ("train.bin",),
    "test.bin",
    2,
)


def _load(kind: _Kind, folder: Path, request: Request) -> Splits:
    names, index = _target(kind, request)
    read = _from_folders if (folder / "train").is_dir() else _from_archive
    train, validation, test = (
        Samples(images, index[classes], paths=paths) for images, classes, paths in read(kind, folder, request)
    )
    return Splits(train, validation, test, names)


def _target(kind: _Kind, request: Request) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    """Return the labels that are asked for, and of each of the set's own classes the index among them."""
    if request.target == "coarse" and kind is _HUNDRED:
        return COARSE, _COARSE_OF_FINE
    if (request.target in {"", "fine"} and kind is _HUNDRED) or not request.target:
        return kind.labels, np.arange(len(kind.labels), dtype=np.int32)
    there = "the targets 'fine' and 'coarse'" if kind is _HUNDRED else "one target, ''"
    raise DatasetError(f"{kind.archive.removesuffix('-binary.tar.gz')} has {there}, not {request.target!r}.")


_Part = tuple[NDArray[np.uint8], NDArray[np.int32], tuple[Path, ...] | None]


def _from_folders(kind: _Kind, folder: Path, request: Request) -> list[_Part]:
    train, test = (_listed(kind, folder / part) for part in ("train", "test"))
    classes = np.asarray([label for _, label in train], np.int32)
    kept, held = hold_out_per_class(classes, VALIDATION_FRACTION, seed=0)

    def read(entries: list[tuple[Path, int]]) -> _Part:
        paths = tuple(path for path, _ in entries)
        return read_images(paths, request), np.asarray([label for _, label in entries], np.int32), paths

    return [read([train[row] for row in kept]), read([train[row] for row in held]), read(test)]


def _listed(kind: _Kind, folder: Path) -> list[tuple[Path, int]]:
    entries = []
    for label, name in enumerate(kind.labels):
        paths = sorted((folder / name.replace(" ", "_")).glob("*.png"))
        if not paths:
            raise DatasetError(f"{folder / name.replace(' ', '_')} has no PNG files of the class {name!r}.")
        entries += [(path, label) for path in paths]
    return entries


def _from_archive(kind: _Kind, folder: Path, request: Request) -> list[_Part]:
    if not (folder / kind.folder).is_dir():
        unpack(download(kind.archive, URL + kind.archive, kind.md5, folder, "md5"), folder, kind.folder)
    images, classes = _records(kind, [folder / kind.folder / name for name in kind.train])
    kept, held = hold_out_per_class(classes, VALIDATION_FRACTION, seed=0)
    parts = [(images[kept], classes[kept]), (images[held], classes[held])]
    parts.append(_records(kind, [folder / kind.folder / kind.test]))
    return [(fit_images(pixels, request), labels, None) for pixels, labels in parts]


def _records(kind: _Kind, paths: list[Path]) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Read records of a label and 32x32 red, green, then blue values to `[N, 32, 32, 3]` and `[N]`."""
    size = kind.label_bytes + PIXELS
    rows = []
    for path in paths:
        try:
            values = np.fromfile(path, np.uint8)
        except FileNotFoundError:
            raise DatasetError(f"{path} is missing: {kind.archive} holds it.") from None
        if not len(values) or len(values) % size:
            raise DatasetError(f"{path} is damaged: its size is not a multiple of {size} bytes.")
        rows.append(values.reshape(-1, size))
    records = np.concatenate(rows)
    classes = records[:, kind.label_bytes - 1].astype(np.int32)
    if classes.max() >= len(kind.labels):
        raise DatasetError(f"{paths[0].parent} is damaged: it has a class {classes.max()}.")
    images = records[:, kind.label_bytes :].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), classes


CIFAR_10 = Source(
    name="cifar-10",
    title="CIFAR-10: small photos in ten classes",
    tasks=("classification",),
    licence="none stated; cite Krizhevsky 2009",
    homepage="https://www.cs.toronto.edu/~kriz/cifar.html",
    split_rule="official test set; 5,000 training images, the same share of each class, for validation",
    load=partial(_load, _TEN),
)

CIFAR_100 = Source(
    name="cifar-100",
    title="CIFAR-100: small photos in 100 fine or 20 coarse classes",
    tasks=("classification",),
    licence="none stated; cite Krizhevsky 2009",
    homepage="https://www.cs.toronto.edu/~kriz/cifar.html",
    split_rule="official test set; 5,000 training images, the same share of each class, for validation",
    load=partial(_load, _HUNDRED),
)
