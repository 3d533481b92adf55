"""`GET /summary`: what the live models are, layer by layer."""

from typing import Any

import orjson
from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from service import summary
from service.context import context_of
from service.errors import NotAcceptable, NotReady, ParameterError
from service.routes.browser import page
from service.routes.direct import DirectRoute, needs
from service.routes.negotiation import prefers
from service.routes.openapi import problems
from service.routes.operators import require_operator
from service.routes.parameters import describe, parse
from service.versions.repository import Live, Repository

router = APIRouter(tags=["models"], route_class=DirectRoute)

_JSON, _TEXT, _HTML = OFFERS = ("application/json", "text/plain", "text/html")


class SummaryOptions(BaseModel):
    """Options of /summary."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model: str | None = Field(
        None, min_length=1, max_length=64, description="A live model; without it, the list of all."
    )
    version: int | None = Field(None, ge=1, description="A live version of `model`, which has to be given.")
    measure: bool = Field(
        False,
        description="Run `model` alone, beside what is asked of it, and tell as JSON where its time goes: by "
        "layer, by size of batch, and for decoding. For keys with the role operate; one at a time.",
    )


_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The list of live models, or one model with its layer table.",
        "content": {
            _JSON: {"schema": {"type": "object"}},
            _TEXT: {"schema": {"type": "string"}},
            _HTML: {"schema": {"type": "string"}},
        },
    },
    **problems(404, 406, 422, 503),
}


@router.get(
    "/summary",
    response_model=None,
    responses=_RESPONSES,
    openapi_extra={"parameters": describe(SummaryOptions)},
)
@needs("predict")
async def get_summary(request: Request) -> Response:
    """Explain the models: totals and evaluation; of one model, every layer and how its numbers come about."""
    options = parse(request, SummaryOptions)
    repository = context_of(request).repository
    root = request.scope.get("root_path", "")
    kind = prefers(request, OFFERS)
    if kind is None:
        raise NotAcceptable(f"/summary answers with {', '.join(OFFERS)}.")
    if options.model is None:
        if options.version is not None or options.measure:
            what = "version" if options.version is not None else "measure"
            raise ParameterError(f"{what}: of which model? Add model=NAME.")
        if repository.loading:
            raise NotReady(repository.complaint)
        return _overview(kind, repository, root)
    predictor = repository.find(options.model, options.version, None)
    live = repository.live_of(predictor)
    if options.measure:
        return await _measured(request, live)
    if kind == _JSON:
        return Response(orjson.dumps(summary.detail(live)), media_type=_JSON)
    if kind == _HTML:
        return page(summary.html(live, root), styles=[summary.STYLE])
    return Response(summary.text(live), media_type=kind)


async def _measured(request: Request, live: Live) -> Response:
    require_operator(request)
    told = await context_of(request).measuring.measure(live)
    return Response(orjson.dumps(summary.detail(live) | {"measured": told}), media_type=_JSON)


def _overview(kind: str, repository: Repository, root: str) -> Response:
    lives = repository.live()
    if kind == _JSON:
        refused = {
            name: {str(version): reason for version, reason in sorted(slot.refused.items())}
            for name, slot in sorted(repository.slots.items())
            if slot.refused
        }
        body = orjson.dumps({"models": [summary.overview(live) for live in lives], "refused": refused})
        return Response(body, media_type=_JSON)
    if kind == _HTML:
        return page(summary.overview_html(lives, root), styles=[summary.STYLE])
    return Response(summary.overview_text(lives), media_type=kind)
