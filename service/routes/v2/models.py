"""Health, the server and its models: what they take and give, and what they have done."""

from importlib import metadata
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from service.context import context_of
from service.dialects.v2 import models
from service.inference.statistics import Total
from service.routes.asking import version_of
from service.routes.direct import needs
from service.routes.health import complaint_of, is_stuck
from service.routes.v2.paths import at, found, of_model, told
from service.versions import states
from service.versions.repository import Live, Repository


@at("/v2/health/live")
@needs(None)
async def is_live(request: Request) -> Response:
    """Say that the process is alive; kserve's client wants JSON."""
    if is_stuck(request):
        return told({"live": False, "error": "An engine hangs: the process is to be restarted."}, 503)
    return told({"live": True})


@at("/v2/health/ready")
@needs(None)
async def is_ready(request: Request) -> Response:
    """Say whether requests may be sent here; why not is for those who may look at the models."""
    complaint = complaint_of(request)
    if not complaint:
        return told({"ready": True})
    may_know = context_of(request).access.may(request.scope, "operate")
    return told({"ready": False, "error": complaint if may_know else "It is not ready."}, 503)


@at("/v2", "/v2/")
@needs("predict")
async def server(request: Request) -> Response:
    """Tell what this is and what of the protocol's extensions it keeps."""
    alone = context_of(request).settings.workers == 1
    extensions = [*models.EXTENSIONS, *(["statistics"] if alone else [])]
    return told({"name": "striate", "version": metadata.version("striate"), "extensions": extensions})


@at("/v2/models")
@needs("predict")
async def list_models(request: Request) -> Response:
    """Name the live models, as KServe's servers do."""
    return told({"models": [live.predictor.manifest.name for live in context_of(request).repository.live()]})


@at(*of_model("/ready"))
@needs("predict")
async def is_model_ready(request: Request) -> Response:
    """Say whether a model answers, or one of its versions; 404 is for what is unknown alone."""
    name, version = request.path_params["name"], version_of(request)
    slot = context_of(request).repository.slots.get(name)
    error = ""
    if slot is not None and slot.live is None:
        error = "No version of this model is live; the repository's index tells more."
    elif slot is not None and version is not None and version not in slot.loaded:
        state = states.of(slot).get(version)
        if state is not None and state.state != "live":
            error = f"This version is not ready: {state.state}."
    if error:
        return told({"name": name, "ready": False, "error": error}, 503)
    found(request)
    return told({"name": name, "ready": True})


@at(*of_model(""))
@needs("predict")
async def describe(request: Request) -> Response:
    """Tell a model's inputs and outputs."""
    live = found(request)
    versions = [live.version]
    if version_of(request) is None:
        slot = context_of(request).repository.slots[live.predictor.manifest.name]
        versions = sorted({live.version, *slot.loaded})
    return told(models.metadata(live.predictor.manifest, versions))


@at(*of_model("/config"))
@needs("predict")
async def configure(request: Request) -> Response:
    """Tell a model's configuration in Triton's words."""
    predictor = found(request).predictor
    on_gpu = predictor.engine.name == "tensorflow" and "GPU" in predictor.engine.plan
    engine = models.Engine(predictor.engine.max_batch, predictor.engine.lanes, on_gpu)
    return told(models.config(predictor.manifest, context_of(request).most, engine))


@at(*of_model("/stats"))
@needs("predict")
async def count(request: Request) -> Response:
    """Tell what a model's versions have done, or one of them."""
    live = found(request)
    lives = [live]
    if version_of(request) is None:
        lives = _lives(context_of(request).repository, live.predictor.manifest.name)
    return told({"model_stats": [_counted(each) for each in lives]})


@at("/v2/models/stats")
@needs("predict")
async def count_all(request: Request) -> Response:
    """Tell what each version has done."""
    repository = context_of(request).repository
    lives = [each for name in sorted(repository.slots) for each in _lives(repository, name)]
    return told({"model_stats": [_counted(each) for each in lives]})


def _lives(repository: Repository, name: str) -> list[Live]:
    slot = repository.slots[name]
    lives = {live.version: live for live in (*slot.loaded.values(), slot.live) if live}
    return [lives[version] for version in sorted(lives)]


def _counted(live: Live) -> dict[str, Any]:
    own = live.predictor.statistics
    counted = models.Counted(
        images=own.images,
        last_milliseconds=int(own.last_seconds * 1000),
        success=_time(own.success),
        failure=_time(own.failure),
        stages={name: int(seconds * 1e9) for name, seconds in own.stages().items()},
        batches={size: _time(total) for size, total in own.batches().items()},
    )
    return models.statistics(live.predictor.manifest, counted)


def _time(total: Total) -> models.Time:
    return models.Time(total.count, int(total.seconds * 1e9))
