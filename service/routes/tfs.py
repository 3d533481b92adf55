"""`/v1/models/...`: TensorFlow Serving's REST API and KServe's V1, for their clients, unmodified.

Where both have the same path the answer has the members of both. No handler looks at Content-Type, for these
clients send any or none. Not in our own OpenAPI document: the two have their own.
"""

from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from service.bodies import intake
from service.context import Context, context_of
from service.dialects.tfs import answers, requests
from service.dialects.tfs.answers import VersionState
from service.errors import MalformedBody, NotOffered, VersionNotFound, WrongTask
from service.manifest import Manifest, Task
from service.routes.asking import AS_TEXT, answered, rows_of, version_of
from service.routes.attempt import Attempt
from service.routes.direct import DirectRoute, needs
from service.tasks.task import Row
from service.versions import states
from service.versions.repository import Slot

router = APIRouter(route_class=DirectRoute, include_in_schema=False)

_PLACES = ("", "/versions/{version}", "/labels/{label}")
"""What follows a model's name where a version is asked for."""

_STATES: dict[states.State, answers.State] = {
    "live": "AVAILABLE",
    "standby": "AVAILABLE",
    "loading": "LOADING",
    "waiting": "START",
    "draining": "UNLOADING",
    "refused": "END",
}
"""What lies on disk alone, as nobody asks for it, is unknown to these clients."""

_Rows = tuple[Sequence[Row], Callable[[Sequence[Row], Manifest], bytes]]
"""Rows, and what writes the body of them."""

_Answering = Callable[[Attempt, bytes | bytearray, Context], Coroutine[Any, Any, _Rows]]


@needs("predict")
async def predict(request: Request) -> Response:
    """Compute the outputs for pixels or encoded images, by rows or by columns."""

    async def told(attempt: Attempt, body: bytes | bytearray, context: Context) -> _Rows:
        manifest = attempt.predictor.manifest
        question = await requests.to_predict(body, manifest, context.most)
        rows = await rows_of(attempt, question.asked, AS_TEXT)
        return rows, answers.outputs if question.columns else answers.predictions

    return await _answer(request, told)


@needs("predict")
async def classify(request: Request) -> Response:
    """Tell all labels of images with their scores, the highest first."""

    async def told(attempt: Attempt, body: bytes | bytearray, context: Context) -> _Rows:
        manifest = attempt.predictor.manifest
        asked = await requests.to_classify(body, manifest, context.most)
        return await rows_of(attempt, asked, AS_TEXT), answers.results

    return await _answer(request, told, "classification")


async def _answer(request: Request, answering: _Answering, task: Task | None = None) -> Response:
    """Read the body and answer it."""
    context, parameters = context_of(request), request.path_params
    if intake.header(request, b"ce-specversion") is not None:
        raise MalformedBody("CloudEvents are not taken: send the document by itself, without ce- headers.")
    tasks = None if task is None else (task,)
    found = context.repository.find(parameters["name"], version_of(request), tasks, parameters.get("label"))
    request.scope["state"]["model"] = found.manifest.name
    with Attempt(request, context, found) as attempt:
        body = await intake.read_body(request, context.limits, attempt.lease)
        rows, write = await answering(attempt, body, context)
        written = partial(write, rows, found.manifest)
        content = await found.aside(written, attempt.outputs) if answers.is_long(rows) else written()
        return await answered(request, attempt, content, b"application/json")


@needs("predict")
async def regress(_: Request) -> Response:
    """Refuse."""
    raise WrongTask("No model here does regression: ask :predict, or :classify.")


@needs("predict")
async def explain(_: Request) -> Response:
    """Refuse."""
    raise NotOffered("No model here explains its answers to clients: ask :predict, or :classify.")


for _verb in (predict, classify, regress, explain):
    for _place in _PLACES:
        router.add_api_route(
            f"/v1/models/{{name}}{_place}:{_verb.__name__}", _verb, methods=["POST"], response_model=None
        )


@needs("predict")
async def metadata(request: Request) -> Response:
    """Tell a version's signature."""
    parameters = request.path_params
    repository = context_of(request).repository
    live = repository.found(parameters["name"], version_of(request), parameters.get("label"))
    request.scope["state"]["model"] = live.predictor.manifest.name
    return _told(answers.metadata(live.predictor.manifest))


@needs("predict")
async def status(request: Request) -> Response:
    """Tell the state of a model's versions, or of one of them; reasons are for those who may operate."""
    context, parameters = context_of(request), request.path_params
    name: str = parameters["name"]
    slot = context.repository.slots.get(name)
    if slot is None:
        context.repository.found(name, None)
    assert slot is not None
    request.scope["state"]["model"] = name
    wanted = version_of(request)
    if (label := parameters.get("label")) is not None:
        wanted = context.repository.found(name, None, label).version
    told = _states(slot, reasons=context.access.may(request.scope, "operate"))
    if wanted is not None:
        told = [each for each in told if each.version == wanted]
        if not told:
            raise VersionNotFound(f"{name} has no such version; /v1/models/{name} lists those that it has.")
    ready = any(each.state == "AVAILABLE" for each in told) and slot.live is not None
    return _told(answers.status(name, told, ready=ready))


def _states(slot: Slot, *, reasons: bool) -> Sequence[VersionState]:
    return [
        VersionState(version, _STATES[each.state], each.reason if reasons else "")
        for version, each in states.of(slot).items()
        if each.state in _STATES
    ]


for _place in _PLACES:
    router.add_api_route(f"/v1/models/{{name}}{_place}/metadata", metadata, response_model=None)
    router.add_api_route(f"/v1/models/{{name}}{_place}", status, response_model=None)


@router.get("/v1/models", response_model=None)
@needs("predict")
async def list_models(request: Request) -> Response:
    """Name the live models, as KServe's servers do."""
    return _told({"models": [live.predictor.manifest.name for live in context_of(request).repository.live()]})


def _told(body: Any) -> Response:
    return Response(orjson.dumps(body), media_type="application/json")
