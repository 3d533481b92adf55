"""German traffic signs: Stallkamp et al., "The German Traffic Sign Recognition Benchmark" (IJCNN 2011)."""

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.datasets.archives import download, unpack
from training.datasets.dataset import DatasetError, Request, Samples, Source, Splits, hold_out_per_class
from training.datasets.reading import read_images

URL = "https://sid.erda.dk/public/archives/daaeac0d7ce1152aea9b61d9f1e19370/"
HELD_OUT_FRACTION = 0.2
VALIDATION_FRACTION = 0.15

LABELS = (
    "speed limit 20",
    "speed limit 30",
    "speed limit 50",
    "speed limit 60",
    "speed limit 70",
    "speed limit 80",
    "end of speed limit 80",
    "speed limit 100",
    "speed limit 120",
    "no passing",
    "no passing for lorries",
    "right of way at next crossing",
    "priority road",
    "give way",
    "stop",
    "no vehicles",
    "no lorries",
    "no entry",
    "danger",
    "bend left",
    "bend right",
    "double bend",
    "bumpy road",
    "slippery road",
    "road narrows on the right",
    "road works",
    "traffic signals",
    "pedestrians",
    "children",
    "bicycles",
    "ice or snow",
    "wild animals",
    "end of all limits",
    "turn right ahead",
    "turn left ahead",
    "ahead only",
    "straight or right",
    "straight or left",
    "keep right",
    "keep left",
    "roundabout",
    "end of no passing",
    "end of no passing for lorries",
)


def _load(folder: Path, request: Request) -> Splits:
    root = _images_root(folder)
    paths: list[Path] = []
    labels: list[int] = []
    for label in range(len(LABELS)):
        for path in _listed(root / f"{label:05d}", label):
            paths.append(path)
            labels.append(label)
    classes = np.asarray(labels, np.int32)
    # The frames of one track are near copies of one sign: a track stays whole.
    tracks = [f"{path.parent.name}/{path.name[:5]}" for path in paths]
    rest, test = hold_out_per_class(classes, HELD_OUT_FRACTION, 0, tracks)
    kept, held = hold_out_per_class(classes[rest], VALIDATION_FRACTION, 1, [tracks[row] for row in rest])

    def samples(rows: NDArray[np.intp]) -> Samples:
        files = [paths[row] for row in rows]
        return Samples(read_images(files, request), classes[rows], paths=tuple(files))

    return Splits(samples(rest[kept]), samples(rest[held]), samples(test), LABELS)


def _images_root(folder: Path) -> Path:
    roots = (folder / "Final_Training" / "Images", folder / "GTSRB" / "Training")
    for root in roots:
        if root.is_dir():
            return root
    name = "GTSRB-Training_fixed.zip"
    archive = download(name, URL + name, "513f3c79a4c5141765e10e952eaa2478", folder, "md5")
    return unpack(archive, folder, str(roots[1].relative_to(folder)))


def _listed(folder: Path, label: int) -> list[Path]:
    index = folder / f"GT-{label:05d}.csv"
    if not index.is_file():
        raise DatasetError(f"{index} is missing: it lists the images of class {label}.")
    with index.open(newline="") as file:
        names = [row["Filename"] for row in csv.DictReader(file, delimiter=";")]
    if not names:
        raise DatasetError(f"{index} lists no images; expected a 'Filename' column separated by ';'.")
    return [folder / Path(name).name for name in names]


GTSRB = Source(
    name="gtsrb",
    title="German traffic signs, 43 classes",
    tasks=("classification",),
    licence="INI, Ruhr-Universität Bochum; free with citation",
    homepage="https://benchmark.ini.rub.de/gtsrb_dataset.html",
    split_rule="by track and class: 20 % of the tracks for test, 15 % of the rest for validation",
    load=_load,
)
