"""A FastAPI route that calls its handler with the request and nothing else in between.

FastAPI documents such a route like any other. What it leaves out per request is what these handlers do not
use: middleware, dependencies, exit stacks and a response model; patterns are matched once for a path that is
asked for again. docs/performance.md has the figures.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable
from functools import lru_cache
from typing import Any, TypeVar

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette._utils import get_route_path
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service.access.keys import Role
from service.access.rules import Access
from service.errors import ShuttingDown
from service.http import problems

Endpoint = TypeVar("Endpoint", bound=Callable[[Request], Awaitable[Response]])

_ROLES: dict[Callable[..., Any], Role | None] = {}
_STOPPED = "The service is being stopped and could not finish this request in time. Send it again."


def needs(role: Role | None) -> Callable[[Endpoint], Endpoint]:
    """Declare below its path which role a direct route takes, None for no key at all. Undeclared: operate."""

    def declare(endpoint: Endpoint) -> Endpoint:
        _ROLES[endpoint] = role
        return endpoint

    return declare


class DirectRoute(APIRoute):
    """For handlers `(request) -> response`; the parameters of a path are texts in `request.path_params`."""

    endpoint: Callable[[Request], Awaitable[Response]]

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        self.role = _ROLES.get(endpoint, "operate")

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that matched this route's path."""
        methods = self.methods or set()
        if scope["method"] not in methods and not (scope["method"] == "HEAD" and "GET" in methods):
            await _not_taken(scope, {*methods, *(["HEAD"] if "GET" in methods else [])}, receive, send)
            return
        request = Request(scope, receive, send)
        try:
            # Here, where each way to the endpoint comes by: the app's own matching is more generous than a
            # look-up of the path.
            if self.role:
                access = access_of(scope)
                if access.hides(scope, self.role):
                    raise HTTPException(404)
                access.check(scope, self.role)
            response = await self.endpoint(request)
        except Exception as error:  # noqa: BLE001 - as the app's own handlers would
            response = await problems.answer(request, error)
        except asyncio.CancelledError:
            if scope["state"].get("gone"):
                raise
            # By the server, whose time to stop is over.
            response = await problems.answer(request, ShuttingDown(_STOPPED))
        await response(scope, receive, send)


async def _not_taken(scope: Scope, taken: Iterable[str], receive: Receive, send: Send) -> None:
    """Answer a method that an address does not take with those that it does."""
    # FastAPI would name the methods of the first route of this path alone, and in any order.
    error = HTTPException(405, headers={"Allow": ", ".join(sorted(taken))})
    response = await problems.answer(Request(scope), error)
    await response(scope, receive, send)


def access_of(scope: Scope) -> Access:
    """Return who may do what in the request's app."""
    access: Access = scope["app"].state.context.access
    return access


class Answer(Response):
    """A 200 with a body, made in a third of the time that the general Response takes."""

    def __init__(self, body: bytes, media_type: bytes) -> None:
        self.status_code, self.body, self.background = 200, body, None
        self.raw_headers = [(b"content-type", media_type), (b"content-length", b"%d" % len(body))]


_Taken = dict[str, DirectRoute]
"""The routes of one path, by method."""


class Shortcut:
    """Takes requests for direct routes straight to them, and all others to the app.

    A path without parameters is looked up; of the templates, the first that was added and fits is taken.
    """

    def __init__(self, app: FastAPI, asgi: ASGIApp) -> None:
        self._app, self._asgi = app, asgi
        self._routes: dict[str, _Taken] = {}
        patterns: dict[str, re.Pattern[str]] = {}
        for route in app.routes:
            if isinstance(route, DirectRoute):
                taken = self._routes.setdefault(route.path, {})
                taken.update(dict.fromkeys(route.methods or (), route))
                if "GET" in taken:
                    # GET without the body, which the server leaves out (RFC 9110, section 9.3.2).
                    taken.setdefault("HEAD", taken["GET"])
                if route.param_convertors:
                    patterns[route.path] = route.path_regex
        self._templates = [(pattern, self._routes.pop(path)) for path, pattern in patterns.items()]
        # Clients repeat their paths; those that are made up push each other out.
        self._match = lru_cache(1024)(self._matched)

    def _matched(self, path: str) -> tuple[_Taken, dict[str, str]]:
        """Return the routes of the first template that fits, and the path's parameters."""
        for pattern, taken in self._templates:
            if found := pattern.match(path):
                return taken, found.groupdict()
        return {}, {}

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer one request, as ASGI calls it."""
        taken: _Taken = {}
        if scope["type"] == "http":
            path = get_route_path(scope) if scope.get("root_path") else scope["path"]
            found = self._routes.get(path)
            if found is None:
                taken, parameters = self._match(path)
                scope["path_params"] = dict(parameters)
            else:
                taken = found
            if route := taken.get(scope["method"]):
                scope["app"], scope["route"] = self._app, route
                return route.handle(scope, receive, send)
        return self._indirectly(scope, taken, receive, send)

    async def _indirectly(self, scope: Scope, taken: _Taken, receive: Receive, send: Send) -> None:
        """Answer what only the app finds: pages, other methods of direct routes, and nothing."""
        if scope["type"] == "http":
            scope["app"] = self._app
            if taken:
                scope["route"] = next(iter(taken.values()))
            roles = {route.role for route in taken.values()} or {"operate"}
            if all(role and access_of(scope).hides(scope, role) for role in roles):
                response = await problems.answer(Request(scope), HTTPException(404))
                await response(scope, receive, send)
                return
            if taken:
                await _not_taken(scope, taken, receive, send)
                return
        await self._asgi(scope, receive, send)


def add_routes(app: FastAPI, router: APIRouter) -> None:
    """Add a router's routes as the app's own; `include_router` would match each request twice."""
    app.router.routes.extend(router.routes)
