"""One large image through a model that answers tiles: cut, computed a few at a time, put together."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from service.engines.calls import Computed
from service.errors import ImageTooCostly, ImageTooLarge
from service.images import fitting, tiling
from service.images.codec import Photo
from service.images.headers import Head
from service.manifest import Input, Output
from service.tasks.task import Gathering, Row

T = TypeVar("T")
Pixels = NDArray[np.uint8]
Submit = Callable[[Pixels], Awaitable[Computed]]
"""Has one tensor computed, together with others'."""


class Aside(Protocol):
    """Does a part of the work in a thread."""

    def __call__(self, work: Callable[[], T]) -> Awaitable[T]: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Means:
    """What an image's tiles are computed with."""

    submit: Submit
    aside: Aside
    at_once: int
    """How many of its tiles wait for the engine at a time: others' images come in between."""
    seconds: float
    """How long all of them may take."""


TELLING = 0.1
"""The part of the time allowed that tells the pace: the first tiles may have waited for others' images."""
PIXEL_COST = 6
"""Bytes of a pixel of an image in tiles: itself, and the copy that they are cut from."""


def price(head: Head, per_pixel: int, pixels_at_most: tuple[int, int], most: int) -> int:
    """Return the bytes that an image in tiles takes: while it is decoded, or while it is answered.

    `per_pixel` are the bytes of its answer, and of making it. ImageTooLarge for an image of more pixels than
    could be decoded at its own scale, or, the second number, than its options allow; or that takes more than
    `most`.
    """
    max_pixels, allowed = pixels_at_most
    size = f"{head.width} x {head.height}"
    pixels = head.width * head.height
    if pixels > max_pixels:
        raise ImageTooLarge(
            f"The image has {size} = {pixels:,} pixels; in tiles, at its own scale, at most {max_pixels:,} "
            f"are answered. Send it in parts."
        )
    if pixels > allowed:
        raise ImageTooLarge(
            f"The image has {size} = {pixels:,} pixels; in tiles, with instances=true, at most {allowed:,} "
            f"are answered. Send it in parts, or without instances."
        )
    taken = max(head.price(None, max_pixels), pixels * (PIXEL_COST + per_pixel))
    if taken > most:
        raise ImageTooLarge(
            f"The image of {size} pixels takes {taken:,} bytes to answer in tiles; {most:,} are set aside "
            f"for all images. Send it in parts."
        )
    return taken


def numbers(outputs: Sequence[Output], plan: tiling.Tiling) -> int:
    """Return how many numbers the row of an image has at most: planes have its size, and of objects each tile
    may have all that it can.
    """
    width, height = plan.size
    planes = [output.shape[2] * width * height for output in outputs if len(output.shape) == 3]
    others = [math.prod(output.shape) * len(plan) for output in outputs if len(output.shape) != 3]
    return sum(planes) + sum(others)


async def answered(photo: Photo, spec: Input, plan: tiling.Tiling, gathering: Gathering, means: Means) -> Row:
    """Return the row of a photo whose pixels are there, gathered from the rows of its tiles.

    It is as familiar as its tiles are in the mean. By the least of them, an image would be the stranger the
    larger it is: of 50 familiar tiles one is below .02. That a mean is below x happens to at most 2 x of the
    familiar, however alike an image's tiles are (Vovk, Wang, "Combining p-values via averaging", Biometrika
    2020).

    Tiles of another size than the model's are brought to it. ImageTooCostly as soon as a pace shows by which
    all of them take longer than they may.
    """
    submit, aside, at_once, seconds = means.submit, means.aside, means.at_once, means.seconds
    started = time.monotonic()
    pixels = await aside(lambda: np.asarray(photo.image, np.uint8).reshape(photo.height, photo.width, -1))
    corners, (wide, high), known = plan.corners, plan.tile, list[float]()
    for start in range(0, len(corners), at_once):
        group = corners[start : start + at_once]
        tensors = await aside(partial(_cut, pixels, group, plan.tile, (spec.width, spec.height)))
        computed = await asyncio.gather(*map(submit, tensors))
        await aside(partial(_add, gathering, group, [each.row for each in computed]))
        known += [float(each.row["familiarity"]) for each in computed if "familiarity" in each.row]
        elapsed = time.monotonic() - started
        expected = elapsed / (start + len(group)) * len(corners)
        if expected > seconds and elapsed > TELLING * seconds:
            raise ImageTooCostly(
                f"The image of {photo.width} x {photo.height} pixels takes {len(corners):,} tiles of "
                f"{wide} x {high}, at the present pace {expected:.1f} s; {seconds:g} s are "
                f"allowed. Send it in parts."
            )
    told = {"familiarity": np.asarray(tiling.mean(plan, known), np.float32)} if known else {}
    return await aside(gathering.row) | told


def _cut(
    pixels: Pixels, corners: Sequence[tiling.Size], tile: tiling.Size, size: tiling.Size
) -> list[Pixels]:
    cut = (np.asarray(tiling.cut(pixels, corner, tile), np.uint8) for corner in corners)
    return [fitting.stretched(each, size) for each in cut]


def _add(gathering: Gathering, corners: Sequence[tiling.Size], rows: Sequence[Row]) -> None:
    for corner, row in zip(corners, rows, strict=True):
        gathering.add(corner, row)
