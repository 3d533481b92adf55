"""`GET /livez`, `/readyz`, `/metrics`: for orchestrators and dashboards."""

from typing import Any

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from service.context import context_of
from service.routes.direct import DirectRoute

router = APIRouter(tags=["health"], route_class=DirectRoute)

_OBJECT = {"content": {"application/json": {"schema": {"type": "object"}}}}


@router.get(
    "/livez",
    response_model=None,
    responses={200: {"description": "The process answers.", **_OBJECT}},
)
async def livez(request: Request) -> Response:
    """Say that the process is alive, whatever its models do."""
    return Response(b'{"status":"alive"}', media_type="application/json")


@router.get(
    "/readyz",
    response_model=None,
    responses={
        200: {"description": "Every model is live: it has passed its golden replay.", **_OBJECT},
        503: {"description": "Some model is not live; the body says which and why.", **_OBJECT},
    },
)
async def readyz(request: Request) -> Response:
    """Say whether every model is live, and why versions were refused."""
    repository = context_of(request).repository
    models: dict[str, Any] = {}
    for name, slot in sorted(repository.slots.items()):
        version = slot.live.version if slot.live else None
        refused = {str(number): reason for number, reason in sorted(slot.refused.items())}
        models[name] = {"live": version, "refused": refused}
        if slot.waiting:
            models[name]["waiting"] = {str(number): reason for number, reason in sorted(slot.waiting.items())}
        if slot.complaint:
            models[name]["policy"] = slot.complaint
    body = {"status": "ready" if repository.ready else "not ready", "models": models}
    if repository.unread:
        body["unread"] = repository.unread
    if not repository.ready:
        body["detail"] = repository.complaint
    return Response(orjson.dumps(body), 200 if repository.ready else 503, media_type="application/json")


@router.get(
    "/metrics",
    response_model=None,
    responses={200: {"description": "Prometheus text format.", "content": {"text/plain": {}}}},
)
async def metrics(request: Request) -> Response:
    """Give every instrument's value to Prometheus."""
    body, content_type = context_of(request).metrics.render()
    return Response(body, headers={"Content-Type": content_type})
