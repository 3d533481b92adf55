"""Rows of a model for who speaks another server's language: all that are asked for, or an error."""

import asyncio
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.admission import Room
from service.dialects import Asked, Pixels
from service.errors import ImageError, IntakeError, StriateError
from service.routes.attempt import Attempt
from service.tasks.task import Row

_Images = Sequence[bytes | NDArray[np.uint8]]


async def rows_of(attempt: Attempt, asked: Asked) -> list[Row]:
    """Return a row for each image. One that cannot be answered is an error of all, which says which it is."""
    images: _Images = list(asked.rows) if isinstance(asked, Pixels) else asked.images
    async with attempt.answering(len(asked)):
        if len(asked) == 1:
            return [await attempt.unsettled.settle(attempt.predictor.row(images[0], attempt.lease))]
        with attempt.predictor.room(len(asked)) as room:
            return await _all(attempt, images, room)


async def _all(attempt: Attempt, images: _Images, room: Room) -> list[Row]:
    async def one(place: int) -> Row:
        answer = attempt.predictor.row(images[place], attempt.lease, room=room)
        try:
            return await attempt.unsettled.settle(answer)
        except (ImageError, IntakeError) as error:
            error.detail = f"Image {place + 1} of {len(images)}: {error.detail}"
            raise

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(place)) for place in range(len(images))]
    except ExceptionGroup as errors:
        (first, *_) = errors.exceptions
        if isinstance(first, StriateError):
            # The others of the request are given up with it.
            attempt.unsettled.end(first.code)
            attempt.unsettled.count = 0
        raise first from None
    return [task.result() for task in tasks]
