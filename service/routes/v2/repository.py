"""The repository of models as Triton's clients see it, and in one sentence each what there is not."""

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from service.admission import Lease
from service.bodies import intake
from service.context import context_of
from service.dialects import documents
from service.dialects.v2 import models
from service.errors import MalformedBody, NotOffered, NotReady
from service.routes.direct import needs
from service.routes.v2.paths import at, told
from service.versions import states

_STATES = {
    "live": "READY",
    "standby": "READY",
    "loading": "LOADING",
    "waiting": "LOADING",
    "draining": "UNLOADING",
    "refused": "UNAVAILABLE",
    "available": "UNAVAILABLE",
}


@at("/v2/repository/index", methods=("POST",))
@needs("predict")
async def index(request: Request) -> Response:
    """List every version of every model; reasons are for those who may operate."""
    ready = (await _small(request)).get("ready", False)
    if not isinstance(ready, bool):
        raise MalformedBody("ready is true, for the versions that are ready alone, or false.")
    context = context_of(request)
    may_know = context.access.may(request.scope, "operate")
    versions = (
        (name, version, _STATES[each.state], each.reason if may_know else "")
        for name, slot in sorted(context.repository.slots.items())
        for version, each in states.of(slot).items()
    )
    return told(models.index(versions, ready=ready))


@at("/v2/repository/models/{name}/load", methods=("POST",))
@needs("operate")
async def load(request: Request) -> Response:
    """Have the folder of models looked at now, and say whether the model is live."""
    parameters = (await _small(request)).get("parameters") or {}
    if not isinstance(parameters, dict) or any(
        key == "config" or key.startswith("file:") for key in parameters
    ):
        raise MalformedBody(
            "A model is what lies in the folder of models: it takes no config and no files here."
        )
    repository = context_of(request).repository
    repository.wake.set()
    slot = repository.slots.get(request.path_params["name"])
    if slot is not None and slot.live is None:
        raise NotReady("No version of this model is live yet; its folder is being looked at now.")
    repository.found(request.path_params["name"], None)
    return Response(b"", 200)


async def _small(request: Request) -> dict[str, Any]:
    """Read a small document; nothing at all is one too."""
    context = context_of(request)
    lease = Lease(context.memory)
    try:
        body = await intake.read_body(request, context.limits, lease)
        return await documents.read(body) if body else {}
    finally:
        lease.release()


_NO_SHARED_MEMORY = "There is no shared memory here: send tensors in the body, where nobody else reads them."
_NOT_GENERATED = "Nothing is generated here: images are classified, found or segmented."
_NOT_TRACED = "Requests are not traced here; /metrics tells the time of each stage."
_REFUSED = {
    "/v2/repository/models/{name}/unload": "The folder of models decides which are live; see /admin/models.",
    "/v2/models/{name}/generate": _NOT_GENERATED,
    "/v2/models/{name}/generate_stream": _NOT_GENERATED,
    "/v2/trace/setting": _NOT_TRACED,
    "/v2/models/{name}/trace/setting": _NOT_TRACED,
    "/v2/logging": "Logging is set at the start here, by STRIATE_LOG_LEVEL.",
    **{
        f"/v2/{kind}sharedmemory{rest}": _NO_SHARED_MEMORY
        for kind in ("system", "cuda")
        for rest in ("/register", "/unregister", "/region/{region}/register", "/region/{region}/unregister")
    },
}


def _refusing(text: str) -> Callable[[Request], Any]:
    @needs("predict")
    async def refuse(_: Request) -> Response:
        raise NotOffered(text)

    return refuse


for _path, _text in _REFUSED.items():
    at(_path, methods=("GET", "POST"))(_refusing(_text))


@at(
    *(
        f"/v2/{kind}sharedmemory{rest}/status"
        for kind in ("system", "cuda")
        for rest in ("", "/region/{region}")
    )
)
@needs("predict")
async def shared_memory(_: Request) -> Response:
    """Tell that no shared memory is registered."""
    return told([])
