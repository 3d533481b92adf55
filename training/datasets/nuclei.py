"""Nuclei: Caicedo et al., "Nucleus segmentation across imaging experiments" (Nature Methods 2019)."""

from pathlib import Path

import numpy as np

from training.datasets.dataset import DatasetError, Request, Samples, Source, Splits, hold_out_per_class
from training.datasets.reading import read_images, read_masks

HELD_OUT_FRACTION = 0.12


def _load(folder: Path, request: Request) -> Splits:
    images = sorted((folder / "images").glob("*.png"))
    if not images:
        raise DatasetError(
            f"{folder / 'images'} has no PNG files. The corrected stage1_train of the Data Science Bowl 2018 "
            f"(BBBC038) has no archive with a published checksum, so it is not downloaded: put its "
            f"photos in images/ID.png and the instance masks in masks/ID.png."
        )
    masks = [folder / "masks" / path.name for path in images]
    instances = read_masks("nuclei-objects", masks, request, lambda _, numbers: numbers, np.uint16)
    samples = Samples(
        read_images(images, request),
        masks=(instances > 0).astype(np.uint8),
        instances=instances,
        paths=tuple(images),
    )
    # The kinds of microscopy differ much; brightness and colour tell them apart well enough
    # to give each its share of every part.
    means = samples.images.reshape(len(images), -1).mean(axis=1)
    kinds = np.digitize(means, np.quantile(means, (0.2, 0.4, 0.6, 0.8))).astype(np.int32)
    rest, test = hold_out_per_class(kinds, HELD_OUT_FRACTION, seed=0)
    kept, held = hold_out_per_class(kinds[rest], HELD_OUT_FRACTION, seed=1)
    return Splits(
        samples.take(rest[kept]), samples.take(rest[held]), samples.take(test), ("background", "nucleus")
    )


NUCLEI = Source(
    name="nuclei",
    title="Nuclei of the Data Science Bowl 2018 (BBBC038)",
    tasks=("segmentation",),
    licence="CC0",
    homepage="https://bbbc.broadinstitute.org/BBBC038",
    split_rule="12 % of the images for test and 12 % of the rest for validation, by brightness",
    load=_load,
)
