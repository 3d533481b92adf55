"""`POST /classify`, `/localize`, `/segment`: images in, answers out."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from service.bodies import intake
from service.context import Context, context_of
from service.errors import (
    BatchError,
    DeadlineExceeded,
    NotAcceptable,
    ParameterError,
    ShuttingDown,
    StriateError,
)
from service.inference.predictor import Predictor
from service.manifest import Task
from service.options import Options, PictureOptions
from service.routes import openapi
from service.routes.direct import Answer, DirectRoute, needs
from service.routes.negotiation import prefers
from service.routes.parameters import parse
from service.schemas import Result
from service.tasks.registry import TASKS
from service.tasks.task import ServedTask
from service.telemetry.outcomes import DISCONNECTED, Unsettled
from service.versions import defaults
from service.work import Claim

router = APIRouter(tags=["predict"], route_class=DirectRoute)

_JSON, _PNG = "application/json", "image/png"


def _handler(task: ServedTask[Any]) -> Callable[[Request], Awaitable[Response]]:
    """Return the handler of a task's path."""
    kinds = {
        "never": f"{task.path} answers with application/json.",
        "overlay": f"{task.path} answers with application/json; with overlay=true also with image/png.",
        "always": f"{task.path} answers with application/json or image/png.",
    }

    async def handle(request: Request) -> Response:
        options = parse(request, task.options)
        context = context_of(request)
        predictor = _find(request, context, options, task.name)
        overlay = isinstance(options, PictureOptions) and options.overlay
        drawn = task.pictures == "always" or (task.pictures == "overlay" and overlay)
        kind = prefers(request, (_JSON, _PNG) if drawn else (_JSON,))
        if kind is None:
            raise NotAcceptable(kinds[task.pictures])
        if kind == _PNG:
            return await _picture(request, context, predictor, options)
        return await _answer(request, context, predictor, options)

    handle.__doc__ = task.summary
    return needs("predict")(handle)


for _task in TASKS.values():
    router.add_api_route(
        _task.path,
        _handler(_task),
        methods=["POST"],
        name=_task.path[1:],
        **openapi.of_task(_task),
    )


def _find(request: Request, context: Context, options: Options, task: Task) -> Predictor:
    if options.model is None:
        predictor = defaults.find(context.repository, context.defaults[task], options.version, options.label)
    else:
        predictor = context.repository.find(options.model, options.version, task, options.label)
    request.scope["state"]["model"] = predictor.manifest.name
    return predictor


def _seconds(request: Request, context: Context) -> float:
    """Return the time to answer in: the service's, or the client's where it asks for less."""
    most = context.settings.deadline_ms
    asked = intake.header(request, b"x-request-timeout-ms")
    if asked is None:
        return most / 1000
    if not asked.isdecimal() or not 1 <= len(asked) <= 9 or not int(asked):
        raise ParameterError("X-Request-Timeout-Ms is a whole number of milliseconds, at least 1.")
    return min(most, int(asked)) / 1000


async def _predict(
    request: Request,
    context: Context,
    predictor: Predictor,
    answer: Callable[[list[intake.Image], Claim, Unsettled], Awaitable[Response]],
) -> Response:
    """Read the images and answer them in time. What cannot be, is refused before it is read."""
    seconds = _seconds(request, context)
    unsettled = Unsettled(context.metrics, predictor.manifest.name)
    predictor.admission.check(seconds)
    lease = context.memory.lease()
    try:
        # A version that is replaced meanwhile answers those who came to it, and is closed after them.
        with predictor:
            images = await intake.read_images(request, context.limits, lease)
            unsettled.count = len(images)
            async with asyncio.timeout(seconds):
                return await answer(images, lease, unsettled)
    except TimeoutError:
        unsettled.end(DeadlineExceeded.code)
        raise DeadlineExceeded(
            f"There was no answer within {seconds * 1000:.0f} ms; it was given up."
        ) from None
    except BatchError as error:
        unsettled.end(error.code)
        raise
    except asyncio.CancelledError:
        unsettled.end(DISCONNECTED if "gone" in request.scope["state"] else ShuttingDown.code)
        raise
    finally:
        lease.release()


async def _answer(request: Request, context: Context, predictor: Predictor, options: Options) -> Response:
    async def answer(images: list[intake.Image], body: Claim, unsettled: Unsettled) -> Response:
        if len(images) == 1:
            alone = predictor.answer(_whole(images[0]), options, body)
            return _respond(predictor, [await unsettled.settle(alone)])
        with predictor.room(len(images)) as room:

            async def one(image: intake.Image) -> Result:
                if isinstance(image, bytes):
                    return await predictor.answer(image, options, body, room=room)
                context.metrics.images.labels(predictor.manifest.name, image.code).inc()
                raise image

            results = await _each([partial(one, image) for image in images], unsettled)
        return _respond(predictor, results)

    return await _predict(request, context, predictor, answer)


def _whole(image: intake.Image) -> bytes:
    """Return the only image of a request, which is no error: that would have been raised."""
    assert isinstance(image, bytes)
    return image


async def _each(
    answers: Sequence[Callable[[], Awaitable[Result]]], unsettled: Unsettled
) -> Sequence[Result | StriateError]:
    """Answer several images, each for itself: one that is broken does not spoil the others."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_own(answer, unsettled)) for answer in answers]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    results = [task.result() for task in tasks]
    failures = [result for result in results if isinstance(result, StriateError)]
    if len(failures) == len(results):
        # Nothing could be answered, so 200 would be a lie; one error stands for all.
        raise failures[0]
    return results


async def _own(answer: Callable[[], Awaitable[Result]], unsettled: Unsettled) -> Result | StriateError:
    """Return an image's answer, or the error that is its own."""
    try:
        return await unsettled.settle(answer())
    except BatchError:
        # Not the image's fault: the same request may well be answered the next time, so the others are left.
        raise
    except StriateError as error:
        return error


def _respond(predictor: Predictor, results: Sequence[Result | StriateError]) -> Response:
    manifest = predictor.manifest
    body = {
        "model": {"name": manifest.name, "version": manifest.version},
        "results": [_entry(result) for result in results],
    }
    return Answer(orjson.dumps(body), b"application/json")


def _entry(result: Result | StriateError) -> Result | dict[str, Any]:
    return {"error": result.problem()} if isinstance(result, StriateError) else result


async def _picture(
    request: Request, context: Context, predictor: Predictor, options: PictureOptions
) -> Response:
    async def answer(images: list[intake.Image], body: Claim, unsettled: Unsettled) -> Response:
        if len(images) > 1:
            raise NotAcceptable("Accept: image/png answers one image; send them one by one, or ask for JSON.")
        drawn = predictor.picture(_whole(images[0]), options, body)
        return Answer(await unsettled.settle(drawn), b"image/png")

    return await _predict(request, context, predictor, answer)
