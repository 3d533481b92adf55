"""What the faces to other servers' clients share: the version that is asked for, its rows, and the answer."""

import asyncio
from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response

from service.admission import Room
from service.bodies import codings, intake
from service.dialects import Asked, Pixels
from service.errors import ImageError, IntakeError, StriateError, VersionNotFound
from service.inference.predictor import Predictor
from service.routes.attempt import Attempt
from service.routes.direct import Answer
from service.tasks.task import Row

_Images = Sequence[bytes | NDArray[np.uint8]]


def version_of(request: Request) -> int | None:
    """Return the number that the path names; 0 and none are for the model's own choice."""
    text: str = request.path_params.get("version", "0")
    if not text.isdecimal() or len(text) > 15:
        raise VersionNotFound("A version is a whole number.")
    return int(text) or None


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


async def answered(
    request: Request,
    predictor: Predictor,
    content: bytes,
    media_type: bytes,
    *headers: tuple[bytes, bytes],
) -> Response:
    """Return the answer, in a coding where one alone is wished for; errors never are: not all can undo it."""
    coding = codings.wished(intake.header(request, b"accept-encoding"))
    if coding != "identity" and len(content) > codings.LEAST:
        content = await predictor.aside(partial(codings.coded, content, coding))
        headers = (*headers, (b"content-encoding", coding.encode("ascii")))
    answer = Answer(content, media_type)
    answer.raw_headers += headers
    return answer
