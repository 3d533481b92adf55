"""`/v2/models/NAME/infer`: pixels or encoded images in, outputs out."""

from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from service.bodies import intake
from service.context import context_of
from service.dialects.v2 import answers, requests
from service.routes.asking import AS_BYTES, AS_TEXT, answered, rows_of, version_of
from service.routes.attempt import Attempt
from service.routes.direct import needs
from service.routes.v2.paths import at, of_model

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
        binary = all(wanted.binary for wanted in inference.outputs)
        rows = await rows_of(attempt, inference.asked, AS_BYTES if binary else AS_TEXT)
        write = partial(answers.body, inference, manifest, rows)
        long = answers.is_long(inference, rows)
        content, json_bytes = await predictor.aside(write, attempt.outputs) if long else write()
        if json_bytes is None:
            return await answered(request, attempt, content, b"application/json")
        length_of_json = (_LENGTH, b"%d" % json_bytes)
        return await answered(request, attempt, content, b"application/octet-stream", length_of_json)
