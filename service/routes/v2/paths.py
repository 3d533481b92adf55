"""What the handlers of `/v2/...` share: their router, and how a path names a model."""

from collections.abc import Callable
from typing import Any

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from service.context import context_of
from service.errors import NotReady
from service.routes.asking import version_of
from service.routes.direct import DirectRoute, Endpoint
from service.versions.repository import Live

router = APIRouter(route_class=DirectRoute, include_in_schema=False)

_AGAIN = {"Retry-After": str(NotReady.retry_after)}


def at(*paths: str, methods: tuple[str, ...] = ("GET",)) -> Callable[[Endpoint], Endpoint]:
    """Add a handler for several paths."""

    def add(endpoint: Endpoint) -> Endpoint:
        for path in paths:
            router.add_api_route(path, endpoint, methods=list(methods), response_model=None)
        return endpoint

    return add


def of_model(rest: str) -> tuple[str, str]:
    """Return the paths of a model and of one of its versions."""
    return f"/v2/models/{{name}}{rest}", f"/v2/models/{{name}}/versions/{{version}}{rest}"


def told(body: Any, status: int = 200) -> Response:
    """Return an answer in JSON."""
    return Response(orjson.dumps(body), status, _AGAIN if status == 503 else None, "application/json")


def found(request: Request) -> Live:
    """Return the version that the path names, or the model's live one. Raises as `Repository.found`."""
    live = context_of(request).repository.found(request.path_params["name"], version_of(request))
    request.scope["state"]["model"] = live.predictor.manifest.name
    return live
