"""`GET /livez`, `/readyz`, `/metrics`: for orchestrators and dashboards."""

from typing import Any

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from service.context import context_of
from service.errors import NotReady
from service.responses import RETRY_AFTER
from service.routes.direct import DirectRoute, needs
from service.routes.negotiation import prefers
from service.versions.repository import Slot

router = APIRouter(tags=["health"], route_class=DirectRoute)

_FORMATS = ("text/plain", "application/openmetrics-text")
_AGAIN = {"Retry-After": str(NotReady.retry_after)}

_OBJECT = {"content": {"application/json": {"schema": {"type": "object"}}}}


@router.get(
    "/livez",
    response_model=None,
    responses={
        200: {"description": "The process answers.", **_OBJECT},
        503: {
            "description": "An engine hangs: the process is to be restarted.",
            "headers": RETRY_AFTER,
            **_OBJECT,
        },
    },
)
@needs(None)
async def livez(request: Request) -> Response:
    """Say that the process is alive, whatever its models are, unless one hangs."""
    if is_stuck(request):
        return Response(b'{"status":"stuck"}', 503, _AGAIN, "application/json")
    return Response(b'{"status":"alive"}', media_type="application/json")


@router.get(
    "/readyz",
    response_model=None,
    responses={
        200: {"description": "Send requests here; the body says of each model what is live.", **_OBJECT},
        503: {
            "description": "No model has a version that may serve, or not all are tried yet.",
            "headers": RETRY_AFTER,
            **_OBJECT,
        },
    },
)
@needs(None)
async def readyz(request: Request) -> Response:
    """Say whether requests may be sent here, and why versions were refused.

    Ready is a service whose folder holds a version that passes its checks: what is said here is what a start
    with the same folder would say. A model that has none is told of and takes no other down.

    Where keys are needed, the reasons are for those with the role operate; others get the status alone.
    """
    context, complaint = context_of(request), complaint_of(request)
    repository = context.repository
    body: dict[str, Any] = {"status": "not ready" if complaint else "ready"}
    if context.access.may(request.scope, "operate"):
        body["models"] = {name: _state(slot) for name, slot in sorted(repository.slots.items())}
        if repository.unread:
            body["unread"] = repository.unread
        if complaint:
            body["detail"] = complaint
    if complaint:
        return Response(orjson.dumps(body), 503, _AGAIN, "application/json")
    return Response(orjson.dumps(body), media_type="application/json")


def is_stuck(request: Request) -> bool:
    """Whether an engine hangs."""
    return any(live.predictor.stuck for live in context_of(request).repository.live())


def complaint_of(request: Request) -> str:
    """Return why no requests may be sent here; empty where they may."""
    if request.app.state.draining:
        return "The service is stopping: send requests elsewhere."
    return context_of(request).repository.complaint


def _state(slot: Slot) -> dict[str, Any]:
    state: dict[str, Any] = {
        "live": slot.live.version if slot.live else None,
        "refused": {str(number): reason for number, reason in sorted(slot.refused.items())},
    }
    if slot.waiting:
        state["waiting"] = {str(number): reason for number, reason in sorted(slot.waiting.items())}
    if slot.complaint:
        state["policy"] = slot.complaint
    return state


@router.get(
    "/metrics",
    response_model=None,
    responses={200: {"description": "Every instrument.", "content": {kind: {} for kind in _FORMATS}}},
)
@needs("metrics")
async def metrics(request: Request) -> Response:
    """Give every instrument's value to Prometheus: in its text format, or as OpenMetrics for who asks so."""
    openmetrics = prefers(request, _FORMATS) == _FORMATS[1]
    body, content_type = context_of(request).metrics.render(openmetrics=openmetrics)
    return Response(body, headers={"Content-Type": content_type})
