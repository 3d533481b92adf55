"""Nuclei: Caicedo et al., "Nucleus segmentation across imaging experiments" (Nature Methods 2019)."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.datasets.dataset import DatasetError, Request, Samples, Source, Splits, hold_out_per_class
from training.datasets.reading import read_images, read_masks

HELD_OUT_FRACTION = 0.12


def _load(folder: Path, request: Request) -> Splits:
    images = sorted((folder / "images").glob("*.png"))
    if not images:
        raise DatasetError(
            f"{folder / 'images'} has no PNG files. The corrected stage1_train of the Data Science Bowl 2018 "
            f"(BBBC038) has no archive with a published checksum, so it is not downloaded: put its "
            f"photos in images/ID.png and the instance masks in masks/ID.png. It is at {NUCLEI.homepage}."
        )
    masks = [folder / "masks" / path.name for path in images]
    instances = read_masks("nuclei-objects", masks, request, lambda _, numbers: numbers, np.uint16)
    samples = Samples(
        read_images(images, request),
        masks=(instances > 0).astype(np.uint8),
        instances=instances,
        paths=tuple(images),
    )
    kinds = _kinds(images, request)
    rest, test = hold_out_per_class(kinds, HELD_OUT_FRACTION, seed=0)
    kept, held = hold_out_per_class(kinds[rest], HELD_OUT_FRACTION, seed=1)
    return Splits(
        samples.take(rest[kept]), samples.take(rest[held]), samples.take(test), ("background", "nucleus")
    )


def _kinds(images: list[Path], request: Request) -> NDArray[np.int32]:
    """Tell five kinds apart by brightness: microscopy has kinds, and each gets its share of every part.

    At one size, whatever size is asked for: no run is trained on what one of another size is tested on.
    """
    pixels = read_images(images, replace(request, height=128, width=128, channels=3))
    means = pixels.reshape(len(images), -1).mean(axis=1)
    return np.asarray(np.digitize(means, np.quantile(means, (0.2, 0.4, 0.6, 0.8))), np.int32)


NUCLEI = Source(
    name="nuclei",
    title="Nuclei of the Data Science Bowl 2018 (BBBC038)",
    tasks=("segmentation",),
    licence="CC0",
    homepage="https://bbbc.broadinstitute.org/BBBC038",
    split_rule="12 % of the images for test and 12 % of the rest for validation, by brightness",
    load=_load,
)
