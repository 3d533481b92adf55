"""Errors -> `application/problem+json` (RFC 9457), in one place.

At the paths of other servers' dialects the same document is `application/json`, which is all that their
clients read, and what is the client's fault is 400 unless they know better (`faced`).
"""

import logging
import re
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

import orjson
from fastapi import FastAPI
from starlette._utils import get_route_path
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from service.dialects import dialect_of
from service.errors import StriateError, document

log = logging.getLogger("service")

MEDIA_TYPE = "application/problem+json"
PLAIN_TYPE = "application/json"

_ORIGIN = re.compile(rb"\A[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")

_TOO_FINE = frozenset((406, 415, 422))
"""Statuses that clients of other servers take for a broken connection."""

_HINTS = {
    404: "There is nothing at this address.",
    405: "This address does not take that method.",
}


def install(app: FastAPI) -> None:
    """Have every error of the app answered with a problem document."""
    app.add_exception_handler(StriateError, _on_striate_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)
    app.add_exception_handler(Exception, _on_bug)


async def answer(request: Request, error: Exception) -> Response:
    """Answer an error as the app would, and log what is a bug."""
    if isinstance(error, StriateError):
        return await _on_striate_error(request, error)
    if isinstance(error, HTTPException):
        return await _on_http_exception(request, error)
    if isinstance(error, ClientDisconnect):
        return await _on_disconnect(request, error)
    log.error("a bug answered with 500", exc_info=error)
    return await _on_bug(request, error)


def path_of(target: bytes, prefix: str) -> str:
    """Return the path that a request's target names, decoded and without the prefix below which proxies show
    the service: of an absolute URL, too (RFC 9112, section 3.2.2), and of what was refused half-read.
    """
    path = unquote(str(_ORIGIN.sub(b"", target).partition(b"?")[0], "latin-1"))
    return path[len(prefix) :] if prefix and path.startswith(f"{prefix}/") else path


def faced(path: str, problem: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Return the members that a problem has at a path, and the type of the document."""
    if dialect_of(path) is None:
        return problem, MEDIA_TYPE
    return (problem | {"status": 400} if problem["status"] in _TOO_FINE else problem), PLAIN_TYPE


def response(request: Request, problem: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    """Return the response for a problem's members, with the request's id added."""
    problem, media_type = faced(get_route_path(request.scope), problem)
    body = orjson.dumps({**problem, "request_id": request.scope.get("state", {}).get("request_id")})
    answered = Response(body, problem["status"], headers, media_type)
    if "expect" in request.headers:
        # Refused before it was asked for, the body may never come; what comes then must not be taken for it
        # (RFC 9110, section 10.1.1).
        answered.headers["Connection"] = "close"
    return answered


async def _on_striate_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, StriateError)
    if error.status >= 500 and not error.expected:
        log.error("%s: %s", error.code, error.detail, exc_info=error)
    return response(request, error.problem(), error.headers())


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    phrase = HTTPStatus(error.status_code).phrase
    hint = _HINTS.get(error.status_code, phrase + ".")
    problem = document(error.status_code, phrase.lower().replace(" ", "_"), phrase, hint)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        # Pages and files, which say nothing or name the methods in any order; routes of ours name their own.
        headers["Allow"] = ", ".join(sorted(headers.get("Allow", "GET, HEAD").split(", ")))
    return response(request, problem, headers)


async def _on_disconnect(request: Request, error: Exception) -> Response:
    # Nobody is there to read it, or has read what the protocol said; the status is for the metrics.
    return Response(status_code=request.scope.get("state", {}).get("ended", 499))


async def _on_bug(request: Request, error: Exception) -> Response:
    return response(request, StriateError("Something went wrong here; it is not your request.").problem())
