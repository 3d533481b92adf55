"""`GET /docs`, `/openapi.json`: the API's own description. What it says is made in `openapi.py`."""

import re
from functools import cache
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi_offline import FastAPIOffline
from starlette.requests import Request
from starlette.responses import Response

from service.routes.browser import page

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
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    return page(html, scripts=scripts, own_files=True, inline_styles=True)


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
