"""A FastAPI route that calls its handler with the request and nothing else in between.

FastAPI documents such a route like any other. What it leaves out per request is what these handlers do not
use: solving dependencies, two exit stacks, and a response model. docs/performance.md has the figures.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send


class DirectRoute(APIRoute):
    """For handlers `(request) -> response`. Errors go to the app's handlers, as from any route."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        handler: Callable[[Request], Awaitable[Response]] = endpoint

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            response = await handler(Request(scope, receive, send))
            await response(scope, receive, send)

        self.app = answer
