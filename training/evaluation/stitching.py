"""Answers for tiles put together to answers for images, as the service blends them, and the truth with them.

Images of all sizes lie at the upper left of one size, the largest, as `Samples.contents` says.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.images import tiling
from training.datasets import Samples, Splits
from training.tasks.task import Outputs


def whole(splits: Splits) -> Splits:
    """Return the parts that are measured as images, where they are tiles; without their pixels."""
    return replace(splits, validation=_whole(splits.validation), test=_whole(splits.test))


def stitched(parts: Iterable[Outputs], samples: Samples) -> Iterator[Outputs]:
    """Blend what is told of each pixel of tiles, in the order of the samples, to one `[1, H, W, K]` for each
    image.
    """
    if samples.tilings is None:
        yield from parts
        return
    rows = (
        {name: values[row] for name, values in part.items()}
        for part in parts
        for row in range(len(part["mask"]))
    )
    size = _canvas(samples.tilings)
    for plan in samples.tilings:
        tiles = [next(rows) for _ in plan.corners]
        yield {name: _blended(plan, [tile[name] for tile in tiles], size) for name in tiles[0]}


def _blended(
    plan: tiling.Tiling, tiles: Sequence[NDArray[np.float32]], size: tiling.Size
) -> NDArray[np.float32]:
    blend = tiling.Blend(plan, tiles[0].shape[-1])
    for corner, tile in zip(plan.corners, tiles, strict=True):
        blend.add(corner, tile)
    framed = np.zeros((1, size[1], size[0], tiles[0].shape[-1]), np.float32)
    framed[0, : plan.size[1], : plan.size[0]] = blend.answer()
    return framed


def means(values: NDArray[Any], samples: Samples) -> NDArray[Any]:
    """Return one number per image of one per row, as the service does of an image in tiles."""
    if samples.tilings is None:
        return values
    ends = np.cumsum([len(plan) for plan in samples.tilings])
    parts = np.split(values, ends[:-1])
    return np.asarray(
        [tiling.mean(plan, part.tolist()) for plan, part in zip(samples.tilings, parts, strict=True)]
    )


def tiles_of(samples: Samples, images: Sequence[int]) -> list[int]:
    """Return the row of the tile in the middle of each of these images; the images themselves if no tiles."""
    if samples.tilings is None:
        return list(images)
    starts = np.cumsum([0, *(len(plan) for plan in samples.tilings)])
    return [int(starts[image]) + len(samples.tilings[image]) // 2 for image in images]


def _canvas(plans: Sequence[tiling.Tiling]) -> tiling.Size:
    return max(plan.size[0] for plan in plans), max(plan.size[1] for plan in plans)


def _whole(samples: Samples) -> Samples:
    if samples.tilings is None:
        return samples
    assert samples.paths is not None
    plans, (wide, high) = samples.tilings, _canvas(samples.tilings)
    first = tiles_of(samples, range(len(plans)))
    blank = np.zeros((1, 1, 1, samples.images.shape[-1]), np.uint8)
    return Samples(
        np.broadcast_to(blank, (len(plans), high, wide, blank.shape[-1])),
        masks=_joined(samples.masks, plans, (wide, high)),
        instances=_joined(samples.instances, plans, (wide, high)),
        paths=tuple(samples.paths[row] for row in first),
        contents=np.asarray([(0, 0, *plan.size) for plan in plans], np.int32),
    )


def _joined(tiles: NDArray[Any] | None, plans: Sequence[tiling.Tiling], size: tiling.Size) -> Any:
    """Lay the tiles `[T, h, w]` of each image where they were cut from: `[N, H, W]`."""
    if tiles is None:
        return None
    joined = np.zeros((len(plans), size[1], size[0]), tiles.dtype)
    row = 0
    for framed, plan in zip(joined, plans, strict=True):
        own = framed[: plan.size[1], : plan.size[0]]
        for x, y in plan.corners:
            place = own[y : y + plan.tile[1], x : x + plan.tile[0]]
            place[:] = tiles[row][: place.shape[0], : place.shape[1]]
            row += 1
    return joined
