"""`/admin/models`: the state of every version, and which ones are wanted. For operators on this machine."""

from typing import Any

import orjson
from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from service.context import context_of
from service.errors import ModelNotFound, PayloadTooLarge, PolicyInvalid, UnsupportedMediaType
from service.routes.direct import DirectRoute
from service.routes.openapi import problems
from service.routes.operators import require_local
from service.routes.parameters import describe, parse
from service.versions import policy, states
from service.versions.policy import Policy
from service.versions.repository import Slot

router = APIRouter(tags=["admin"], route_class=DirectRoute)


class PolicyOptions(BaseModel):
    """Options of POST /admin/models."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model: str = Field(min_length=1, max_length=64, description="The model that the policy is for.")


_OBJECT = {"content": {"application/json": {"schema": {"type": "object"}}}}


def _responses(what: str, *statuses: int) -> dict[int | str, dict[str, Any]]:
    return {200: {"description": what, **_OBJECT}, **problems(*statuses)}


@router.get("/admin/models", response_model=None, responses=_responses("Every version's state.", 403))
async def list_versions(request: Request) -> Response:
    """Tell the state of every version of every model, and the policy."""
    require_local(request)
    repository = context_of(request).repository
    models = [_describe(name, slot) for name, slot in sorted(repository.slots.items())]
    body = {"models": models, "unread": repository.unread or None}
    return Response(orjson.dumps(body, option=orjson.OPT_NON_STR_KEYS), media_type="application/json")


@router.post(
    "/admin/models",
    response_model=None,
    responses=_responses("The policy, as it was written.", 403, 404, 409, 413, 415, 422),
    openapi_extra={
        "parameters": describe(PolicyOptions),
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": Policy.model_json_schema()}},
        },
    },
)
async def put_policy(request: Request) -> Response:
    """Write a model's policy.json: pin a version, roll back, or give a canary its share.

    The answer comes when the policy is written; the switch follows once the versions are loaded.
    """
    require_local(request)
    # A page of another site that a browser shows here cannot send this type without asking first.
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise UnsupportedMediaType("A policy is sent as application/json.")
    options = parse(request, PolicyOptions)
    context = context_of(request)
    slot = context.repository.slots.get(options.model)
    if slot is None:
        raise ModelNotFound("There is no model of that name.")
    wanted = policy.parse(await _body(request))
    numbers = {wanted.stable, *wanted.labels.values()} - {None}
    if numbers - slot.loaded.keys() - set(slot.on_disk):
        there = ", ".join(map(str, sorted({*slot.loaded, *slot.on_disk})))
        raise PolicyInvalid(f"The policy names a version that is not there. There are: {there}.")
    # The name is one of those that were found on disk, and no part of a path.
    policy.write(context.settings.models_dir / options.model, wanted)
    context.repository.wake.set()
    body = {"model": options.model, "policy": wanted.model_dump(mode="json")}
    return Response(orjson.dumps(body), media_type="application/json")


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > policy.MAX_BYTES:
            raise PayloadTooLarge(f"A policy has at most {policy.MAX_BYTES} bytes.")
    return bytes(body)


def _describe(name: str, slot: Slot) -> dict[str, Any]:
    versions = {
        version: {"state": each.state} | ({"reason": each.reason} if each.reason else {})
        for version, each in states.of(slot).items()
    }
    return {
        "name": name,
        "live": slot.live.version if slot.live else None,
        "policy": slot.policy.model_dump(mode="json"),
        "complaint": slot.complaint or None,
        "versions": versions,
    }
