"""The middleware: every request has an id, is counted and timed."""

from typing import Any

import httpx
import pytest
from fastapi import FastAPI, HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.middleware import Observed
from service.telemetry.metrics import Metrics


def make_app() -> FastAPI:
    app = FastAPI()

    @app.get("/items/{item}")
    async def get_item(item: str, request: Request) -> Response:
        request.scope["state"]["model"] = "pets"
        return Response(request.scope["state"]["request_id"])

    @app.get("/cached")
    async def get_cached() -> Response:
        return Response(headers={"Cache-Control": "max-age=60"})

    @app.get("/refused")
    async def get_refused() -> Response:
        raise HTTPException(418)

    return app


def client(app: ASGIApp, metrics: Metrics | None = None, *, strict: bool = True) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=Observed(app, metrics or Metrics()), raise_app_exceptions=strict)
    return httpx.AsyncClient(transport=transport, base_url="http://test")


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def counted(metrics: Metrics, dialect: str = "striate", **labels: str) -> float | None:
    return value(metrics, "striate_requests_total", dialect=dialect, **labels)


async def failing(scope: Scope, receive: Receive, send: Send) -> None:
    raise RuntimeError("a bug")


@pytest.mark.parametrize("given", ["abc", "a" * 64, "3f.A_9-x"])
async def test_well_formed_id_is_kept(given: str) -> None:
    """A client's own well-formed id is the request's, for handlers and in the answer."""
    async with client(make_app()) as http:
        response = await http.get("/items/1", headers={"X-Request-ID": given})
    assert response.headers["x-request-id"] == given == response.text


@pytest.mark.parametrize("given", ["", "a" * 65, "a b", "<script>", "a;b", "\u00e9", "a\tb", "abc, abc"])
async def test_other_ids_are_replaced(given: str) -> None:
    """An id that is empty, too long or has other signs is replaced by one of our own."""
    async with client(make_app()) as http:
        response = await http.get("/items/1", headers=[(b"X-Request-ID", given.encode("latin-1"))])
    assert len(response.headers["x-request-id"]) == 32
    assert response.headers["x-request-id"] == response.text


async def test_two_ids_are_none() -> None:
    """A request with two ids gets one of our own."""
    async with client(make_app()) as http:
        response = await http.get("/items/1", headers=[("X-Request-ID", "a"), ("X-Request-ID", "b")])
    assert len(response.headers.get_list("x-request-id")) == 1
    assert len(response.text) == 32


async def test_ids_are_unique() -> None:
    """Requests without an id of their own get different ones."""
    async with client(make_app()) as http:
        assert len({(await http.get("/items/1")).text for _ in range(20)}) == 20


@pytest.mark.parametrize("path", ["/items/1", "/refused", "/nowhere"])
async def test_every_answer_has_the_safe_headers(path: str) -> None:
    """Answers and errors alike carry an id, and tell browsers neither to guess nor to keep."""
    async with client(make_app()) as http:
        headers = (await http.get(path)).headers
    assert headers["x-request-id"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"


async def test_a_handlers_caching_is_kept() -> None:
    """A handler that says how long its answer keeps is not overruled."""
    async with client(make_app()) as http:
        assert (await http.get("/cached")).headers["cache-control"] == "max-age=60"


async def test_requests_are_counted_by_route() -> None:
    """Requests are counted under their route's pattern, model and status, not under the client's path."""
    metrics = Metrics()
    async with client(make_app(), metrics) as http:
        for number in range(3):
            await http.get(f"/items/{number}")
        await http.get("/refused")
    route = "/items/{item}"
    assert counted(metrics, route=route, model="pets", status="200") == 3
    assert counted(metrics, route="/refused", model="", status="418") == 1
    assert value(metrics, "striate_request_seconds_count", route=route) == 3


async def test_unknown_paths_are_one_route() -> None:
    """A client that tries many paths cannot grow the metrics: they all count as one."""
    metrics = Metrics()
    async with client(make_app(), metrics) as http:
        for number in range(5):
            await http.get(f"/no/{number}")
    assert counted(metrics, route="other", model="", status="404") == 5


async def test_requests_in_flight_are_counted() -> None:
    """While a request is answered it is in flight, afterwards it is not."""
    metrics = Metrics()
    seen: list[float | None] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(value(metrics, "striate_requests_in_flight"))
        await Response()(scope, receive, send)

    async with client(app, metrics) as http:
        await http.get("/")
    assert seen == [1]
    assert value(metrics, "striate_requests_in_flight") == 0


async def test_bugs_are_counted_and_passed_on() -> None:
    """An exception counts as status 500, leaves nothing in flight, and goes on to who answers it."""
    metrics = Metrics()
    async with client(failing, metrics) as http:
        with pytest.raises(RuntimeError, match="a bug"):
            await http.get("/")
    assert counted(metrics, route="other", model="", status="500") == 1
    assert value(metrics, "striate_requests_in_flight") == 0


async def test_answer_without_headers_gets_ours() -> None:
    """An app that sends no list of headers, as ASGI allows, gets them all the same."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request"}

    await Observed(app, Metrics())({"type": "http", "headers": []}, receive, send)
    assert b"x-request-id" in dict(sent[0]["headers"])


async def test_other_protocols_pass_untouched() -> None:
    """Lifespan and websocket scopes go through as they are, uncounted."""
    metrics = Metrics()
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((dict(scope), send))

    async def send(message: Message) -> None:
        raise AssertionError

    async def receive() -> Message:
        raise AssertionError

    await Observed(app, metrics)({"type": "lifespan"}, receive, send)
    assert seen == [({"type": "lifespan"}, send)]
    assert "striate_requests_total{" not in metrics.render()[0].decode()
