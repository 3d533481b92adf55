"""What happens around every request: its id, its count and its time. Pure ASGI, so that a client who leaves
is still noticed behind it.
"""

import asyncio
import random
import re
import time

from prometheus_client import Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.metrics import Metrics

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_HEADER = b"x-request-id"
_NOSNIFF = (b"x-content-type-options", b"nosniff")


class Observed:
    """Gives each request an id (the client's own where it is well-formed) and measures it."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        self._series: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI calls it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        request_id = state["request_id"] = _request_id(scope)
        started = time.perf_counter()
        status = 500
        added = [(b"x-request-id", request_id.encode("ascii")), _NOSNIFF]

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message.get("headers", ()), *added]
                if b"cache-control" not in dict(headers):
                    headers.append((b"cache-control", b"no-store"))
                message["headers"] = headers
            await send(message)

        self._metrics.in_flight.inc()
        try:
            await self._app(scope, receive, send_with_id)
        except asyncio.CancelledError:
            # By the protocol, whose client has left: there is nothing to log and nobody to answer.
            if "gone" not in state:
                raise
            status = state.get("ended", 499)
        finally:
            self._metrics.in_flight.dec()
            requests, seconds = self._instruments(scope, state.get("model", ""), status)
            requests.inc()
            seconds.observe(time.perf_counter() - started)

    def _instruments(self, scope: Scope, model: str, status: int) -> tuple[Counter, Histogram]:
        """Return the series of a request; looking one up by its labels takes longer than counting."""
        # The route, not the path: a label must not be the client's to choose.
        route = getattr(scope.get("route"), "path", "other")
        key = (route, model, status)
        if key not in self._series:
            self._series[key] = (
                self._metrics.requests.labels(route, model, str(status)),
                self._metrics.request_seconds.labels(route),
            )
        return self._series[key]


def _request_id(scope: Scope) -> str:
    given = [value for name, value in scope["headers"] if name == _HEADER]
    if len(given) == 1 and _REQUEST_ID.fullmatch(given[0]):
        return str(given[0].decode("ascii"))
    return f"{random.getrandbits(128):032x}"
