"""What a browser may do with a page of ours: run and load what belongs to it, and frame it nowhere."""

import base64
import hashlib
from collections.abc import Sequence

from starlette.responses import HTMLResponse


def page(
    html: str,
    *,
    scripts: Sequence[str] = (),
    styles: Sequence[str] = (),
    own_files: bool = False,
    inline_styles: bool = False,
) -> HTMLResponse:
    """Return the page with a Content-Security-Policy (CSP level 3): of all that stands in it, only these
    scripts and styles count; with `own_files` it may also load from us, and show images that it has itself.

    They must be constants: what came from outside must not be able to put itself on the list.
    """
    ours = ["'self'"] if own_files else []
    policy = {
        "default-src": ["'none'"],
        "script-src": [*ours, *map(_source, scripts)],
        # Swagger UI sets styles on elements, which no digest can name; they cannot load or run anything.
        "style-src": [*ours, "'unsafe-inline'"] if inline_styles else [*ours, *map(_source, styles)],
        "img-src": [*ours, *(["data:"] if inline_styles else []), "blob:"] if own_files else [],
        "connect-src": ours,
        "base-uri": [],
        "form-action": [],
        "frame-ancestors": [],
    }
    text = "; ".join(f"{name} {' '.join(sources) or _NONE}" for name, sources in policy.items())
    return HTMLResponse(
        html,
        headers={
            "Content-Security-Policy": text,
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "no-referrer",
        },
    )


_NONE = "'none'"


def _source(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
    return f"'sha256-{digest}'"
