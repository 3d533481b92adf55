"""Nuclei: Caicedo et al., "Nucleus segmentation across imaging experiments" (Nature Methods 2019)."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.datasets.dataset import DatasetError, Request, Samples, Source, Splits, hold_out_per_class
from training.datasets.reading import read_contents, read_images, read_masks, read_values
from training.datasets.windows import Pictured, read_windows

HELD_OUT_FRACTION = 0.12
LABELS = ("background", "nucleus")


def _load(folder: Path, request: Request) -> Splits:
    images = sorted((folder / "images").glob("*.png"))
    if not images:
        raise DatasetError(
            f"{folder / 'images'} has no PNG files. The corrected stage1_train of the Data Science Bowl 2018 "
            f"(BBBC038) has no archive with a published checksum, so it is not downloaded: put its "
            f"photos in images/ID.png and the instance masks in masks/ID.png. It is at {NUCLEI.homepage}."
        )
    masks = [folder / "masks" / path.name for path in images]
    if request.resize == "tile":
        return _in_tiles(images, masks, request)
    instances = read_masks("nuclei-objects", masks, request, lambda _, numbers: numbers, np.uint16)
    samples = Samples(
        read_images(images, request),
        masks=(instances > 0).astype(np.uint8),
        instances=instances,
        paths=tuple(images),
        contents=read_contents(masks, request),
    )
    train, validation, test = _divided(images, request)
    return Splits(samples.take(train), samples.take(validation), samples.take(test), LABELS)


def _in_tiles(images: list[Path], masks: list[Path], request: Request) -> Splits:
    def pictured(image: Path, mask: Path) -> Pictured:
        return Pictured(image, mask, lambda: read_values(mask)[0] > 0, lambda: read_values(mask)[0])

    known = [pictured(image, mask) for image, mask in zip(images, masks, strict=True)]
    train, validation, test = (
        read_windows([known[row] for row in rows], request, "nuclei", tiles=part > 0)
        for part, rows in enumerate(_divided(images, request))
    )
    return Splits(train, validation, test, LABELS)


def _divided(images: list[Path], request: Request) -> tuple[NDArray[np.intp], ...]:
    """Return the rows for training, validation and test: the same ones however images are fitted."""
    kinds = _kinds(images, request)
    rest, test = hold_out_per_class(kinds, HELD_OUT_FRACTION, seed=0)
    kept, held = hold_out_per_class(kinds[rest], HELD_OUT_FRACTION, seed=1)
    return rest[kept], rest[held], test


def _kinds(images: list[Path], request: Request) -> NDArray[np.int32]:
    """Tell five kinds apart by brightness: microscopy has kinds, and each gets its share of every part.

    At one size and by one rule, whatever is asked for: no run is trained on what another one is tested on.
    """
    alike = replace(request, height=128, width=128, channels=3, resize="stretch", crop_share=1.0, overlap=0)
    pixels = read_images(images, alike)
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
    tiles=True,
)
