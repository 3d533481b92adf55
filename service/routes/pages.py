"""`GET /models`, `/models/NAME`, their drawn samples, and the files that pages load."""

from typing import Any

import orjson
from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from service import summary
from service.context import context_of
from service.errors import NotAcceptable, Unauthorized
from service.pages import card, catalogue, rendering
from service.pages.shelf import Kept, Shelf
from service.routes.browser import page
from service.routes.direct import DirectRoute, needs
from service.routes.negotiation import prefers
from service.routes.operators import is_operator
from service.routes.parameters import parse
from service.versions.repository import Live, Slot

router = APIRouter(tags=["pages"], route_class=DirectRoute)

_JSON, _HTML = OFFERS = ("application/json", "text/html")


class PageOptions(BaseModel):
    """Options of a model's page and of its samples."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int | None = Field(None, ge=1, description="A live version.")


def shown(request: Request, template: str, **values: Any) -> Response:
    """Return a page of a template, which knows where it stands."""
    context = context_of(request)
    common = {
        "root": request.scope.get("root_path", ""),
        "docs": context.settings.docs_shown and not context.access.hides(request.scope, "operate"),
        "release": request.app.version,
        "locked": False,
    }
    return page(rendering.render(template, **common | values), own_files=True)


def _kind(request: Request) -> str:
    kind = prefers(request, OFFERS)
    if kind is None:
        raise NotAcceptable(f"This address answers with {', '.join(OFFERS)}.")
    return kind


def _locked(request: Request, kind: str, name: str) -> Response | None:
    """Return the page that asks for a key, as no browser sends one by itself; None where all is well."""
    try:
        context_of(request).access.check(request.scope, "predict")
    except Unauthorized as error:
        if error.key_was_sent or kind != _HTML:
            raise
        response = shown(request, "locked.html", page=name, locked=True)
        response.status_code = error.status
        response.headers.update(error.headers())
        return response
    return None


# Its answers are for people, and for the page that tries models; programs have /summary.
@router.get("/models", response_model=None, include_in_schema=False)
@needs(None)
async def get_models(request: Request) -> Response:
    """List the live models."""
    kind = _kind(request)
    if locked := _locked(request, kind, "models"):
        return locked
    context, shelf = context_of(request), _shelf(request)
    repository = context.repository
    # What is live may change while files are read.
    answering = [(slot, slot.live) for _, slot in sorted(repository.slots.items()) if slot.live]
    found = [(slot, live, _samples(request, live, await shelf.of(live))) for slot, live in answering]
    if kind == _JSON:
        listed = [catalogue.entry(slot, live, context.defaults, samples) for slot, live, samples in found]
        told = {"models": listed, "complaint": _complaint(request)}
        return Response(orjson.dumps(told), media_type=kind)
    reasons = context.access.may(request.scope, "operate")
    refused = [
        (name, *each)
        for name, slot in sorted(repository.slots.items())
        for each in sorted(slot.refused.items())
    ]
    cards = [_brief(live, samples) for _, live, samples in found]
    values = {"cards": cards, "refused": refused if reasons else [], "complaint": _complaint(request)}
    return await shelf.make(lambda: shown(request, "models.html", page="models", **values))


def _shelf(request: Request) -> Shelf:
    shelf: Shelf = request.app.state.shelf
    return shelf


def _samples(request: Request, live: Live, kept: Kept) -> list[str]:
    root = request.scope.get("root_path", "")
    return catalogue.addresses(live.predictor.manifest, root, len(kept.samples))


def _complaint(request: Request) -> str:
    """Return why the service is not ready; what is wrong with which model only to those who operate it."""
    context = context_of(request)
    repository = context.repository
    if not repository.complaint or context.access.may(request.scope, "operate"):
        return repository.complaint
    return "The models are still being loaded." if repository.loading else "Not every model is live."


def _brief(live: Live, samples: list[str]) -> dict[str, Any]:
    manifest = live.predictor.manifest
    return {"manifest": manifest, "headline": summary.headline(manifest), "samples": samples}


@router.get("/models/{name}", response_model=None, include_in_schema=False)
@needs(None)
async def get_model(request: Request) -> Response:
    """Show all that is known of one model."""
    kind = _kind(request)
    if locked := _locked(request, kind, "model"):
        return locked
    slot, live = _found(request, parse(request, PageOptions).version)
    if kind == _JSON:
        return Response(orjson.dumps(summary.detail(live)), media_type=kind)
    access, shelf = context_of(request).access, _shelf(request)
    kept = await shelf.of(live)
    changing = {
        "versions": card.versions(slot, reasons=access.may(request.scope, "operate")),
        "measurable": is_operator(request),
        "samples": _samples(request, live, kept),
    }
    return await shelf.make(lambda: shown(request, "model.html", page="model", **kept.card, **changing))


def _found(request: Request, version: int | None) -> tuple[Slot, Live]:
    """Return a model by the path's name; ModelNotFound, VersionNotFound or NotReady."""
    repository, name = context_of(request).repository, request.path_params["name"]
    slot = repository.slots.get(name)
    if version is None and slot is not None and slot.live is not None:
        # Not the canary, which is asked by chance.
        return slot, slot.live
    live = repository.live_of(repository.find(name, version, None))
    return repository.slots[name], live


@router.get("/models/{name}/samples/{number}", response_model=None, include_in_schema=False)
@needs("predict")
async def get_sample(request: Request) -> Response:
    """Give one of the drawn images that the model was exported with."""
    _, live = _found(request, parse(request, PageOptions).version)
    samples, number = (await _shelf(request).of(live)).samples, request.path_params["number"]
    if not number.isdecimal() or len(number) > 4 or int(number) >= len(samples):
        raise HTTPException(404)
    sample = samples[int(number)]
    return Response(sample.data, media_type=sample.media_type)


@router.get("/static/{name}", response_model=None, include_in_schema=False)
@needs(None)
async def get_file(request: Request) -> Response:
    """Give a file that pages load."""
    asset = rendering.assets().get(request.path_params["name"])
    if asset is None:
        raise HTTPException(404)
    headers = {"ETag": asset.etag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == asset.etag:
        return Response(status_code=304, headers=headers)
    return Response(asset.body, headers=headers, media_type=asset.media_type)
