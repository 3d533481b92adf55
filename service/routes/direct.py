"""A FastAPI route that calls its handler with the request and nothing else in between.

FastAPI documents such a route like any other. What it leaves out per request is what these handlers do not
use: solving dependencies, two exit stacks, and a response model. docs/performance.md has the figures.
"""

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send


class DirectRoute(APIRoute):
    """For handlers `(request) -> response`. Errors go to the app's handlers, as from any route."""

    endpoint: Callable[[Request], Awaitable[Response]]

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that matched this route's path."""
        methods = self.methods or set()
        # HEAD is GET without the body, which the server leaves out (RFC 9110, section 9.3.2).
        if scope["method"] not in methods and not (scope["method"] == "HEAD" and "GET" in methods):
            await super().handle(scope, receive, send)
            return
        response = await self.endpoint(Request(scope, receive, send))
        await response(scope, receive, send)


def add_routes(app: FastAPI, router: APIRouter) -> None:
    """Add a router's routes as the app's own; `include_router` would match each request twice."""
    app.router.routes.extend(router.routes)
