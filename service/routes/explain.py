"""`POST /explain`: what of an image a label's score depends on, as numbers or laid over the photo."""

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from service.bodies import intake
from service.context import Context, context_of
from service.errors import NotAcceptable
from service.inference.predictor import Predictor
from service.options import ExplainOptions
from service.responses import ExplainResponse
from service.routes import openapi
from service.routes.attempt import Attempt
from service.routes.direct import Answer, DirectRoute, needs
from service.routes.negotiation import prefers
from service.routes.parameters import parse
from service.tasks import explanation
from service.tasks.classification import CLASSIFY
from service.telemetry import timing
from service.versions import defaults

router = APIRouter(tags=["predict"], route_class=DirectRoute)

_JSON, _PNG = OFFERS = ("application/json", "image/png")


@router.post(openapi.EXPLAIN, **openapi.of_one(ExplainOptions, ExplainResponse))
@needs("predict")
async def explain(request: Request) -> Response:
    """Show what of an image a label's score depends on: by how much it falls while each part is covered.

    Of models of one label or several, and of those that find one object. It gives way to answers: where the
    model is busy, it is refused with a 503, and tells when to ask again.
    """
    timing.begin(request.scope["state"])
    options = parse(request, ExplainOptions)
    context = context_of(request)
    predictor = _find(context, options)
    request.scope["state"]["model"] = predictor.manifest.name
    explanation.check(options, predictor.manifest)
    kind = prefers(request, OFFERS)
    if kind is None:
        raise NotAcceptable(f"{openapi.EXPLAIN} answers with {' or '.join(OFFERS)}.")
    predictor.check_idle()
    with Attempt(request, context, predictor) as attempt:
        limits = intake.BodyLimits(context.limits.body_bytes, 1)
        # It is no error: that would have been raised.
        (image,) = await intake.read_images(request, limits, attempt.lease)
        assert isinstance(image, bytes)
        async with attempt.answering(1):
            if kind == _PNG:
                drawn = predictor.explanation_picture(image, options, attempt.lease)
                return Answer(await attempt.unsettled.settle(drawn), b"image/png")
            found = await attempt.unsettled.settle(predictor.explain(image, options, attempt.lease))
    manifest = predictor.manifest
    model = {"name": manifest.name, "version": manifest.version}
    body = {"model": model, "results": [found.model_dump()]}
    return Answer(orjson.dumps(body), b"application/json")


def _find(context: Context, options: ExplainOptions) -> Predictor:
    if options.model is None:
        return defaults.find(context.repository, context.defaults[CLASSIFY], options.version, options.label)
    tasks = explanation.TASKS_EXPLAINED
    return context.repository.find(options.model, options.version, tasks, options.label)
