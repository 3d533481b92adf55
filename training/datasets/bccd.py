"""BCCD: blood cells under the microscope, red and white ones and platelets, many boxes in each photo.

Some photos lack the boxes of some red cells, and some boxes have no extent: these are passed over.
"""

from pathlib import Path

from training.datasets import framing
from training.datasets.dataset import DatasetError, Request, Samples, Source, Splits
from training.datasets.labels.annotations import Annotation, read_voc
from training.datasets.objects import Object, padded
from training.datasets.reading import read_images

LABELS = ("Platelets", "RBC", "WBC")
_PARTS = ("train", "val", "test")


def _load(folder: Path, request: Request) -> Splits:
    lists = [folder / "ImageSets" / "Main" / f"{part}.txt" for part in _PARTS]
    missing = [path for path in lists if not path.is_file()]
    if missing:
        raise DatasetError(
            f"{missing[0]} is missing. The set has no archive with a published checksum, so it is not "
            f"downloaded: put its folders JPEGImages, Annotations and ImageSets there. It is at "
            f"{BCCD.homepage}."
        )
    train, validation, test = (_samples(folder, path, request) for path in lists)
    return Splits(train, validation, test, LABELS)


def _samples(folder: Path, listed: Path, request: Request) -> Samples:
    names = listed.read_text("utf-8").split()
    paths = [folder / "JPEGImages" / f"{name}.jpg" for name in names]
    known = [_objects(folder / "Annotations" / f"{name}.xml") for name in names]
    contents = framing.contents([size for size, _ in known], request)
    images, objects = read_images(paths, request), padded(known, request)
    return Samples(images, objects=objects, paths=tuple(paths), contents=contents)


def _objects(path: Path) -> tuple[tuple[int, int], list[Object]]:
    faults: list[str] = []
    stated = read_voc(path, lambda _, text: faults.append(text))
    size = next((one.size for one in stated if one.size), None)
    if faults or size is None:
        raise DatasetError(f"{path} is not as its authors left it: {'; '.join(faults) or 'no object'}.")
    return size, [found for one in stated if (found := _object(one, size))]


def _object(one: Annotation, size: tuple[int, int]) -> Object | None:
    if one.box is None or min(one.box[2] - one.box[0], one.box[3] - one.box[1]) < 1:
        return None
    x_min, y_min, x_max, y_max = (side / size[place % 2] for place, side in enumerate(one.box))
    return (x_min, y_min, x_max, y_max), LABELS.index(one.label)


BCCD = Source(
    name="bccd",
    title="Blood cells (BCCD)",
    tasks=("detection",),
    licence="MIT",
    homepage="https://github.com/Shenggan/BCCD_Dataset",
    split_rule="the lists train.txt, val.txt and test.txt of its authors: 205, 87 and 72 photos",
    load=_load,
)
