"""What happens around every request: its id, its count and its time; what browsers and proxies are told.

Pure ASGI, so that a client who leaves is still noticed behind it.
"""

import asyncio
import random
import re
import time
from typing import Any

from prometheus_client import Counter, Histogram
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import addresses
from service.configuration.settings import Settings
from service.dialects import dialect_of
from service.telemetry.metrics import Metrics

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
                message["headers"] = _completed([*message.get("headers", ()), *added], state)
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
                self._metrics.requests.labels(dialect_of(route) or "striate", route, model, str(status)),
                self._metrics.request_seconds.labels(route),
            )
        return self._series[key]


def _completed(headers: list[tuple[bytes, bytes]], state: dict[str, Any]) -> list[tuple[bytes, bytes]]:
    if "times" in state:
        headers.append(state["times"].header())
    if b"cache-control" not in dict(headers):
        headers.append((b"cache-control", b"no-store"))
    return headers


def _request_id(scope: Scope) -> str:
    headers = scope["headers"]
    given = dict(headers).get(_HEADER)
    if given and _REQUEST_ID.fullmatch(given) and [name for name, _ in headers].count(_HEADER) == 1:
        return str(given, "ascii")
    return f"{random.getrandbits(128):032x}"


class Prefixed:
    """Tells the app below which path a proxy shows it, as ASGI's `root_path`, so that its links lead back.

    The header X-Forwarded-Prefix counts where a trusted proxy sends it and it is a clean path, and of several
    the last, which is the nearest proxy's; else the setting. A proxy that sends the header has taken the
    prefix off the path; by the setting alone it may have done so or not.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._own = settings.root_path
        self._trusted = addresses.networks(settings.trusted_proxies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI calls it."""
        if scope["type"] == "http":
            path, prefix = scope["path"], self._forwarded(scope)
            if prefix is None:
                prefix = self._own
                if path == prefix or path.startswith(f"{prefix}/"):
                    path = path[len(prefix) :] or "/"
            if prefix:
                scope["root_path"], scope["path"] = prefix, prefix + path
        await self._app(scope, receive, send)

    def _forwarded(self, scope: Scope) -> str | None:
        given = [value for name, value in scope["headers"] if name == b"x-forwarded-prefix"]
        if not given or not addresses.is_among((scope.get("client") or ("127.0.0.1",))[0], self._trusted):
            return None
        return addresses.prefix(given[-1].decode("latin-1").rpartition(",")[2])


def below_prefix(app: ASGIApp, settings: Settings) -> ASGIApp:
    """Have the app know the path below which proxies show it, where there are any."""
    return Prefixed(app, settings) if settings.root_path or settings.trusted_proxies else app


def crossing(app: ASGIApp, settings: Settings) -> ASGIApp:
    """Let pages of the origins that the settings name ask from a browser (CORS, by the Fetch standard).

    A preflight has no key, and is answered before one is asked for. Cookies are no part of it: keys are sent
    in headers, by who has them.
    """
    origins = addresses.origins(settings.cors_origins)
    if not origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=("GET", "HEAD", "POST"),
        allow_headers=("Authorization", "X-API-Key", "X-Request-ID", "X-Request-Timeout-Ms"),
        # From a page on the internet to a service on one's own machine: not for every page at once.
        allow_private_network="*" not in origins,
        expose_headers=("X-Request-ID", "Retry-After", "Server-Timing", "WWW-Authenticate"),
    )
