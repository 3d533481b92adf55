"""`POST /classify`, `/localize`, `/segment`: images in, answers out."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from service.bodies import intake
from service.context import Context, context_of
from service.errors import BatchError, NotAcceptable, StriateError
from service.inference.predictor import Predictor
from service.options import Options, PictureOptions
from service.routes import openapi
from service.routes.attempt import Attempt
from service.routes.direct import Answer, DirectRoute, needs
from service.routes.negotiation import prefers
from service.routes.parameters import parse
from service.schemas import Result, written
from service.tasks.registry import FACES, TASKS
from service.tasks.task import Face
from service.telemetry import timing
from service.versions import defaults

router = APIRouter(tags=["predict"], route_class=DirectRoute)

_JSON, _PNG = "application/json", "image/png"


def _handler(face: Face) -> Callable[[Request], Awaitable[Response]]:
    """Return the handler of a face's path."""
    kinds = {
        "never": f"{face.path} answers with application/json.",
        "overlay": f"{face.path} answers with application/json; with overlay=true also with image/png.",
        "always": f"{face.path} answers with application/json or image/png.",
    }

    async def handle(request: Request) -> Response:
        timing.begin(request.scope["state"])
        options = parse(request, face.options)
        context = context_of(request)
        predictor = _find(request, context, options, face)
        overlay = isinstance(options, PictureOptions) and options.overlay
        drawn = face.pictures == "always" or (face.pictures == "overlay" and overlay)
        kind = prefers(request, (_JSON, _PNG) if drawn else (_JSON,))
        if kind is None:
            raise NotAcceptable(kinds[face.pictures])
        return await _answer(request, context, predictor, options, picture=kind == _PNG)

    handle.__doc__ = face.summary
    return needs("predict")(handle)


for _face in FACES:
    router.add_api_route(
        _face.path,
        _handler(_face),
        methods=["POST"],
        name=_face.path[1:],
        **openapi.of_face(_face),
    )


def _find(request: Request, context: Context, options: Options, face: Face) -> Predictor:
    """Return the model that is asked, which has an answer to the options."""
    default = context.defaults[face]
    if options.model is None:
        predictor = defaults.find(context.repository, default, options.version, options.label)
    else:
        predictor = context.repository.find(options.model, options.version, default.tasks, options.label)
    manifest = predictor.manifest
    request.scope["state"]["model"] = manifest.name
    TASKS[manifest.task].check(options, manifest)
    return predictor


async def _answer(
    request: Request, context: Context, predictor: Predictor, options: Options, *, picture: bool
) -> Response:
    """Read the images and answer them in time. What cannot be, is refused before it is read."""
    with Attempt(request, context, predictor) as attempt:
        images = await intake.read_images(request, context.limits, attempt.lease)
        async with attempt.answering(len(images)):
            if len(images) > 1:
                return await _several(attempt, images, options, picture=picture)
            # It is no error: that would have been raised.
            (image,) = images
            assert isinstance(image, bytes)
            if picture:
                assert isinstance(options, PictureOptions)
                drawn = predictor.picture(image, options, attempt.lease)
                return Answer(await attempt.unsettled.settle(drawn), b"image/png")
            answer = predictor.answer(image, options, attempt.lease)
            return _json(predictor, [await attempt.unsettled.settle(answer)])


async def _several(
    attempt: Attempt, images: Sequence[intake.Image], options: Options, *, picture: bool
) -> Response:
    """Answer several images, each for itself: one that is broken does not spoil the others."""
    predictor, unsettled = attempt.predictor, attempt.unsettled
    if picture:
        raise NotAcceptable("Accept: image/png answers one image; send them one by one, or ask for JSON.")

    async def one(image: intake.Image) -> Result | StriateError:
        """Return an image's answer, or the error that is its own."""
        try:
            if isinstance(image, bytes):
                return await unsettled.settle(predictor.answer(image, options, attempt.lease, room=room))
            unsettled.refuse(image.code)
        except BatchError:
            # Not the image's fault: the same request may well be answered the next time; the others are left.
            raise
        except StriateError as error:
            return error
        return image

    with predictor.room(len(images)) as room:
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(image)) for image in images]
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
    results = [task.result() for task in tasks]
    failures = [result for result in results if isinstance(result, StriateError)]
    if len(failures) == len(results):
        # Nothing could be answered, so 200 would be a lie; one error stands for all.
        raise failures[0]
    return _json(predictor, results)


def _json(predictor: Predictor, results: Sequence[Result | StriateError]) -> Response:
    manifest = predictor.manifest
    told = [each if isinstance(each, StriateError) else written(each) for each in results]
    body = {"model": {"name": manifest.name, "version": manifest.version}, "results": told}
    return Answer(orjson.dumps(body, default=_failure), b"application/json")


def _failure(result: Any) -> dict[str, Any]:
    """Return what stands for an image that could not be answered; all else orjson writes by itself."""
    if not isinstance(result, StriateError):
        raise TypeError(type(result))
    return {"error": result.problem()}
