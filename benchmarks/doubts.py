"""How well doubtful photos are found: wrong labels among the photos of pets, and near-duplicates.

    python -m benchmarks.doubts --data-dir data

Wrong labels: of all photos of `trainval.txt`, and of six breeds with thirty photos each, some have their
breed changed by chance; how many of the twenty that are named first are such, and how many of such are named
at all. Near-duplicates: each photo is changed in several ways; how many of the changed ones are found, and
how many different photos are taken for near-duplicates. The latter also of digits, which are much alike.
"""

import argparse
import io
import itertools
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from training.datasets import SOURCES, Request
from training.datasets.own.likeness import Look, apart, look, near
from training.evaluation import suspects

BREEDS, PHOTOS = 6, 30


def flipped(truth: NDArray[np.intp], share: float, seed: int) -> tuple[NDArray[np.intp], set[int]]:
    """Change the labels of a share of rows to any other; return all labels and the rows that were changed."""
    chance = np.random.default_rng(seed)
    names = np.unique(truth)
    rows = chance.choice(len(truth), round(share * len(truth)), replace=False)
    labels = truth.copy()
    for row in rows:
        labels[row] = chance.choice(names[names != truth[row]])
    return labels, set(rows.tolist())


def label_errors(values: NDArray[np.float32], truth: NDArray[np.intp], share: float, seed: int) -> str:
    """Return how many of the twenty first, and of all that are named, were changed."""
    truth = np.unique(truth, return_inverse=True)[1]
    labels, wrong = flipped(truth, share, seed)
    began = time.perf_counter()
    scores = suspects.out_of_fold(values, labels, np.arange(len(labels)), truth.max() + 1)
    named = [row for row, _ in suspects.off_diagonal(scores, labels)]
    right = [row in wrong for row in named]
    return (
        f"{len(labels)} photos, {len(wrong)} wrong: of the first 20, {sum(right[: suspects.MOST])} of "
        f"{len(right[: suspects.MOST])}; of all {len(named)} named, {sum(right)}; "
        f"{time.perf_counter() - began:.1f} s"
    )


def pets(folder: Path) -> tuple[list[Path], NDArray[np.intp]]:
    """Return the photos of trainval.txt and their breeds."""
    lines = [line.split() for line in (folder / "annotations" / "trainval.txt").read_text().splitlines()]
    paths = [folder / "images" / f"{name}.jpg" for name, *_ in lines]
    return paths, np.asarray([int(breed) for _, breed, *_ in lines]) - 1


def encoded(image: Image.Image, quality: int) -> Image.Image:
    """Return an image as a JPEG of that quality has it."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return Image.open(stream)


def cut(image: Image.Image, share: float) -> Image.Image:
    """Cut off that share of an image at the left and above."""
    width, height = image.size
    return image.crop((round(width * share), round(height * share), width, height))


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG of quality 30": lambda image: encoded(image, 30),
    "half the size": lambda image: image.reduce(2),
    "20 % brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "30 % more contrast": lambda image: ImageEnhance.Contrast(image).enhance(1.3),
    "cut by 2 % at two sides": lambda image: cut(image, 0.02),
    "cut by 4 % at two sides": lambda image: cut(image, 0.04),
    "cut by 8 % at two sides": lambda image: cut(image, 0.08),
}


def duplicates(images: list[Image.Image]) -> None:
    """Print how many changed photos are found, and how many different ones are taken for such."""
    looks = {number: look(image) for number, image in enumerate(images)}
    began = time.perf_counter()
    wrong = near(looks)
    seconds = time.perf_counter() - began
    words = np.stack([one.bits for one in looks.values()]).view(np.uint64)
    nearest = apart(words, words)[np.triu_indices(len(words), 1)].min()
    print(
        f"{len(looks)} photos: {len(wrong)} are in groups, the nearest {nearest} bits apart; {seconds:.2f} s"
    )
    for name, change in CHANGES.items():
        found = sum(
            bool(near({0: looks[number], 1: look(change(image))})) for number, image in enumerate(images)
        )
        print(f"  {name}: {found / len(images):.3f} found", flush=True)


def digits(data_dir: Path, count: int) -> dict[int, Look]:
    """Look at digits, stretched as a folder of them would be."""
    splits = SOURCES["mnist"].load(data_dir / "mnist", Request("classification", 28, 28, 1))
    rows = splits.train.images[:count, ..., 0]
    return {number: look(Image.fromarray(np.asarray(row))) for number, row in enumerate(rows)}


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--share", type=float, default=0.05)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    paths, breeds = pets(options.data_dir / "oxford-iiit-pet")
    values = np.asarray(suspects.features(paths))
    for seed in range(options.seeds):
        print(f"seed {seed}, {label_errors(values, breeds, options.share, seed)}", flush=True)
        chance = np.random.default_rng(seed)
        chosen = chance.choice(np.unique(breeds), BREEDS, replace=False)
        rows = [chance.permutation(np.flatnonzero(breeds == breed))[:PHOTOS] for breed in chosen]
        some = np.sort(np.concatenate(rows))
        print(f"seed {seed}, {label_errors(values[some], breeds[some], options.share, seed)}", flush=True)
    images = []
    for path in itertools.islice(paths, 0, None, 3):
        with Image.open(path) as image:
            images.append(image.convert("RGB"))
    duplicates(images)
    looks = digits(options.data_dir, 10_000)
    print(f"10,000 digits: {len(near(looks))} are in groups")


if __name__ == "__main__":
    main()
