"""Folders of one's own with a few pictures of noise, and what is loaded of them."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.datasets import SOURCES, Request, Splits

CHANCE = np.random.default_rng(0)


def picture(path: Path, size: tuple[int, int] = (24, 16), seed: int | None = None) -> NDArray[np.uint8]:
    """Save a picture of noise, another one each time, or that of `seed`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    chance = CHANCE if seed is None else np.random.default_rng(seed)
    pixels = chance.integers(0, 255, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


def load(folder: Path, task: str, **own: object) -> Splits:
    request = Request(task, 16, 24, 3, **own)  # type: ignore[arg-type]
    return SOURCES["folder"].load(folder, request)


def class_folders(folder: Path, per_class: int, labels: tuple[str, ...] = ("cat", "dog")) -> Path:
    for label in labels:
        for number in range(per_class):
            picture(folder / label / f"{number}.png")
    return folder


def parts(splits: Splits) -> list[set[str]]:
    """Return the files of each part, as folder/name."""
    return [
        {f"{path.parent.name}/{path.name}" for path in samples.paths or ()}
        for samples in (splits.train, splits.validation, splits.test)
    ]


def mask_folder(folder: Path, masks: list[Image.Image]) -> Path:
    for number, mask in enumerate(masks):
        picture(folder / "images" / f"{number}.png", mask.size)
        (folder / "masks").mkdir(exist_ok=True)
        mask.save(folder / "masks" / f"{number}.png")
    return folder


def values(*rows: int, kind: type[np.generic] = np.uint8) -> Image.Image:
    """Make a mask of 24x16 whose columns have these values in turn."""
    return Image.fromarray(np.resize(np.asarray(rows, kind), 24)[None].repeat(16, axis=0))


def palette(*rows: int) -> Image.Image:
    image = values(*rows)
    image.putpalette(list(range(256)) * 3)
    return image
