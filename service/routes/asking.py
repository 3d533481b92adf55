"""What the faces to other servers' clients share: the version that is asked for, its rows, and the answer."""

import asyncio
from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.admission import Lease, Room
from service.bodies import codings, intake
from service.dialects import Asked, Pixels
from service.errors import ImageError, IntakeError, PayloadTooLarge, StriateError, VersionNotFound
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


AS_BYTES, AS_TEXT = 12, 56
"""Bytes that a number of an answer takes at the peak: it is in a row, in a tensor and in a body, whose text
has up to 16 signs for it and is there up to three times while it is put together."""

LARGE = 256 * 1024
"""Bytes of an answer whose memory is held until the client has taken it: what waits in a connection."""


async def rows_of(attempt: Attempt, asked: Asked, cost: int) -> list[Row]:
    """Return a row for each image. One that cannot be answered is an error of all, which says which it is.

    `cost` is AS_TEXT where a number of them will be text. Memory for rows and answer is set aside before any
    image is looked at: Overloaded where there is not enough of it now, PayloadTooLarge where there never is.
    """
    images: _Images = list(asked.rows) if isinstance(asked, Pixels) else asked.images
    _set_aside(attempt, sum(map(attempt.predictor.numbers, images)) * cost)
    async with attempt.answering(len(asked)):
        if len(asked) == 1:
            row = attempt.predictor.row(images[0], attempt.lease, attempt.outputs)
            return [await attempt.unsettled.settle(row)]
        with attempt.predictor.room(len(asked)) as room:
            return await _all(attempt, images, room)


def _set_aside(attempt: Attempt, size: int) -> None:
    most = attempt.lease.most - attempt.lease.size
    if size > most:
        raise PayloadTooLarge(
            f"The outputs for this request take {size:,} bytes to answer; beside its body at most {most:,} "
            "are set aside (max_held_bytes). Send fewer or smaller images, or ask for binary outputs."
        )
    attempt.outputs.grow(size)


async def _all(attempt: Attempt, images: _Images, room: Room) -> list[Row]:
    async def one(place: int) -> Row:
        answer = attempt.predictor.row(images[place], attempt.lease, attempt.outputs, room=room)
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
    attempt: Attempt,
    content: bytes,
    media_type: bytes,
    *headers: tuple[bytes, bytes],
) -> Response:
    """Return the answer, in a coding where one alone is wished for; errors never are: not all can undo it."""
    coding = codings.wished(intake.header(request, b"accept-encoding"))
    if coding != "identity" and len(content) > codings.LEAST:
        content = await attempt.predictor.aside(partial(codings.coded, content, coding), attempt.outputs)
        headers = (*headers, (b"content-encoding", coding.encode("ascii")))
    answer = _Lent(content, media_type, attempt.outputs)
    answer.raw_headers += headers
    return answer


class _Lent(Answer):
    """An answer whose memory is given back when it has been sent; a large one, when the client has it."""

    def __init__(self, body: bytes, media_type: bytes, lease: Lease) -> None:
        super().__init__(body, media_type)
        self._lease = lease
        # Rows and tensors are gone.
        lease.shrink(len(body))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            if len(self.body) < LARGE:
                await super().__call__(scope, receive, send)
                return
            status = {"type": "http.response.start", "status": self.status_code}
            await send(status | {"headers": self.raw_headers})
            await send({"type": "http.response.body", "body": self.body, "more_body": True})
            self.body = b""
            # It waits until the connection has taken most of what is before it.
            await send({"type": "http.response.body", "body": b""})
        finally:
            self._lease.release()
