"""`GET /`: what there is here and where, for who comes with nothing but the address."""

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from service.context import context_of
from service.errors import NotAcceptable
from service.routes.direct import DirectRoute, needs
from service.routes.negotiation import prefers
from service.routes.pages import shown

router = APIRouter(route_class=DirectRoute)

_JSON, _HTML = OFFERS = ("application/json", "text/html")

_FACES = (
    ("POST", "classify", "the most probable labels of an image, with their scores, and their group"),
    ("POST", "localize", "a label, its score and a box; by a model that finds several objects, all of them"),
    ("POST", "segment", "a class for each pixel"),
    ("POST", "explain", "what of an image the score of a label depends on"),
    ("GET", "summary", "the live models; with ?model=NAME every layer of one"),
    ("GET", "models", "the same for people, with samples, figures and drawings"),
    ("GET", "livez", "whether the process is alive"),
    ("GET", "readyz", "whether every model is live, or why not"),
)
_METRICS = ("GET", "metrics", "every instrument, for Prometheus")
_DOCS = (
    ("GET", "docs", "the interface, to read and to try out"),
    ("GET", "openapi.json", "the same for programs"),
)


# Of no interest to programs that read the document which it leads to.
@router.get("/", response_model=None, include_in_schema=False)
@needs(None)
async def get_index(request: Request) -> Response:
    """Lead on: to every address that this listener has, by JSON or as a page."""
    kind = prefers(request, OFFERS)
    if kind is None:
        raise NotAcceptable(f"/ answers with {', '.join(OFFERS)}.")
    if kind == _HTML:
        return shown(request, "try.html", page="try")
    root: str = request.scope.get("root_path", "")
    faces = [(method, f"{root}/{name}", what) for method, name, what in _faces(request)]
    links = [{"method": method, "href": href, "title": what} for method, href, what in faces]
    # KServe's clients take this address for a sign of life, and look for the status.
    body = {"status": "alive", "title": _TITLE, "usage": _USAGE, "links": links}
    return Response(orjson.dumps(body), media_type=_JSON)


_TITLE = "Posted images in, answers that a person can read out."
_USAGE = "Post an image as a form's part named 'file': curl -F file=@photo.jpg ADDRESS/classify"


def _faces(request: Request) -> list[tuple[str, str, str]]:
    context = context_of(request)
    found = [*_FACES]
    if not context.access.hides(request.scope, "metrics"):
        found.append(_METRICS)
    if context.settings.docs_shown and not context.access.hides(request.scope, "operate"):
        found += _DOCS
    return found
