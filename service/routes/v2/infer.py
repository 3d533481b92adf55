"""`/v2/models/NAME/infer`: pixels or encoded images in, outputs out."""

from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from service.bodies import codings, intake
from service.context import context_of
from service.dialects.v2 import answers, requests
from service.inference.predictor import Predictor
from service.routes.asking import rows_of
from service.routes.attempt import Attempt
from service.routes.direct import Answer, needs
from service.routes.v2.paths import at, of_model, version_of

_JSON, _BINARY = b"application/json", b"application/octet-stream"
_LENGTH = b"inference-header-content-length"


@at(*of_model("/infer"), methods=("POST",))
@needs("predict")
async def infer(request: Request) -> Response:
    """Compute the outputs for pixels or encoded images."""
    context = context_of(request)
    predictor = context.repository.find(request.path_params["name"], version_of(request), None)
    manifest = predictor.manifest
    request.scope["state"]["model"] = manifest.name
    length = intake.header(request, _LENGTH)
    with Attempt(request, context, predictor) as attempt:
        body = await intake.read_body(request, context.limits, attempt.lease)
        inference = await requests.read(body, length, manifest, context.most)
        if length == "0" and intake.header(request, b"accept") == "application/json":
            inference = requests.as_json(inference)
        attempt.seconds = min(attempt.seconds, inference.seconds or attempt.seconds)
        rows = await rows_of(attempt, inference.asked)
        write = partial(answers.body, inference, manifest, rows)
        long = answers.is_long(inference, rows)
        content, json_bytes = await predictor.aside(write) if long else write()
        return await _answer(request, predictor, content, json_bytes)


async def _answer(request: Request, predictor: Predictor, content: bytes, json_bytes: int | None) -> Response:
    """Return the answer, in a coding where one alone is wished for; errors never are: not all can undo it."""
    media_type = _JSON if json_bytes is None else _BINARY
    headers = [] if json_bytes is None else [(_LENGTH, b"%d" % json_bytes)]
    coding = codings.wished(intake.header(request, b"accept-encoding"))
    if coding != "identity" and len(content) > codings.LEAST:
        content = await predictor.aside(partial(codings.coded, content, coding))
        headers.append((b"content-encoding", coding.encode("ascii")))
    answer = Answer(content, media_type)
    answer.raw_headers += headers
    return answer
