"""Windows of images at their own scale: what a network that answers tiles is trained and measured on.

By the service's own tiling (`service/images/tiling.py`). To train on, windows are drawn by chance, twice as
many as tiles would cover the image. To measure on, they are the tiles that the service would cut.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from service.images import tiling
from service.images.tiling import Size, Tiling
from training.datasets.cache import cached
from training.datasets.dataset import Request, Samples
from training.datasets.reading import read_photo

TIMES = 2
"""So many times the tiles of an image are drawn from it to train on."""

Whole = NDArray[Any]
"""Of an image's own size, `[H, W, ...]`."""


@dataclass(frozen=True)
class Pictured:
    """An image, the file that its mask is from, and what reads that: classes uint8 `[H, W]`, and where
    objects are told apart their numbers uint16 `[H, W]`.
    """

    image: Path
    labels: Path
    mask: Callable[[], Whole]
    objects: Callable[[], Whole] | None = None


def read_windows(pictures: Sequence[Pictured], request: Request, name: str, *, tiles: bool) -> Samples:
    """Read windows of images and masks through the cache, in which `name` says what the masks mean.

    With `tiles`, all that the service would cut; else some by chance.
    """
    images = [one.image for one in pictures]
    sizes = cached("image-size", images, (2,), np.int32, lambda rows: _sizes(images, rows))
    tile = (request.width, request.height)
    plans = tuple(tiling.tiled((int(wide), int(high)), tile, request.overlap) for wide, high in sizes)
    corners = [plan.corners if tiles else drawn(plan, path) for plan, path in zip(plans, images, strict=True)]
    kind = f"tiles-{request.overlap}" if tiles else f"windows-{TIMES}-{request.overlap}"

    def read(
        what: str,
        files: Sequence[Path],
        more: tuple[int, ...],
        dtype: DTypeLike,
        decode: Callable[[int], Whole],
    ) -> Whole:
        paths = [path for path, some in zip(files, corners, strict=True) for _ in some]
        shape = (request.height, request.width, *more)
        return cached(f"{what}-{kind}", paths, shape, dtype, lambda rows: _fill(rows, corners, tile, decode))

    def pixels(row: int) -> Whole:
        image = read_photo(images[row], request.channels).image
        return np.asarray(image, np.uint8).reshape(image.height, image.width, request.channels)

    labels, objects = [one.labels for one in pictures], [one.objects for one in pictures]
    instances = None
    if all(objects):
        instances = read(f"{name}-objects", labels, (), np.uint16, lambda row: objects[row]())  # type: ignore[misc]
    return Samples(
        read("grey" if request.channels == 1 else "rgb", images, (request.channels,), np.uint8, pixels),
        masks=read(f"{name}-mask", labels, (), np.uint8, lambda row: pictures[row].mask()),
        instances=instances,
        paths=tuple(path for path, some in zip(images, corners, strict=True) for _ in some),
        tilings=plans if tiles else None,
    )


def drawn(plan: Tiling, path: Path) -> list[Size]:
    """Return corners of windows by chance, the same each time for a file of that name."""
    chance = np.random.default_rng(zlib.crc32(path.name.encode("utf-8", "surrogateescape")))
    free = [max(0, side - tile) for side, tile in zip(plan.size, plan.tile, strict=True)]
    places = chance.integers(0, np.asarray(free) + 1, (TIMES * len(plan), 2))
    return [(int(x), int(y)) for x, y in places]


def _sizes(images: Sequence[Path], rows: NDArray[Any]) -> None:
    for row, path in enumerate(images):
        photo = read_photo(path, 1)
        rows[row] = (photo.width, photo.height)


def _fill(
    rows: NDArray[Any], corners: Sequence[Sequence[Size]], tile: Size, decode: Callable[[int], Whole]
) -> None:
    """Cut all windows, each image decoded once."""
    place = 0
    for image, some in enumerate(corners):
        whole = decode(image)
        for corner in some:
            rows[place] = tiling.cut(whole, corner, tile)
            place += 1
