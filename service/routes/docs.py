"""`GET /docs`, `/openapi.json`: the API's own description, with what it says of keys."""

import re
from functools import cache
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi_offline import FastAPIOffline
from starlette.requests import Request
from starlette.responses import Response

from service.routes.browser import page
from service.routes.direct import DirectRoute
from service.schemas import Problem

_FILES = "static-offline-docs"


def application(*, shown: bool, **options: Any) -> FastAPI:
    """Return an app with these pages, or one without them."""
    if not shown:
        return FastAPI(openapi_url=None, docs_url=None, redoc_url=None, **options)
    # Offline: it brings its own scripts instead of sending the browser to somebody else's server.
    app = FastAPIOffline(docs_url=None, redoc_url=None, static_url=f"/{_FILES}", **options)
    app.add_api_route("/docs", get_docs, methods=["GET", "HEAD"], include_in_schema=False)
    return app


async def get_docs(request: Request) -> Response:
    """Show the API, to try it out."""
    html = _docs(request.app.title)
    return page(html, scripts=re.findall(r"<script>(.*?)</script>", html, re.DOTALL), own_files=True)


@cache
def _docs(title: str) -> str:
    # Without a leading slash, so that it also holds behind a proxy that adds a prefix.
    shown = get_swagger_ui_html(
        openapi_url="openapi.json",
        title=title,
        swagger_js_url=f"{_FILES}/swagger-ui-bundle.js",
        swagger_css_url=f"{_FILES}/swagger-ui.css",
        swagger_favicon_url=f"{_FILES}/favicon.png",
    )
    return bytes(shown.body).decode("utf-8")


_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key."},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same API key."},
}
_REFUSALS = {
    "401": "No key, or none that is let in.",
    "403": "A key without the role that this takes.",
    "429": "Too many wrong keys from this address, or too many requests with this key.",
}


def mention_keys(app: FastAPI) -> None:
    """Have the app's OpenAPI document say which operations need a key."""
    describe = app.openapi
    content = {"application/problem+json": {"schema": Problem.model_json_schema()}}
    refusals = {status: {"description": text, "content": content} for status, text in _REFUSALS.items()}

    @cache
    def described() -> dict[str, Any]:
        document = describe()
        document.setdefault("components", {})["securitySchemes"] = _SCHEMES
        for route in app.routes:
            if isinstance(route, DirectRoute) and route.role:
                for operation in document["paths"][route.path].values():
                    operation["security"] = [{name: []} for name in _SCHEMES]
                    operation["description"] = f"{operation['description']}\n\nRole of the key: {route.role}."
                    operation["responses"].update(refusals)
        return document

    app.openapi = described  # type: ignore[method-assign]
