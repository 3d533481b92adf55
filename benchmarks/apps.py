"""What the service is measured against: the floor of HTTP, and what a user would otherwise write.

    uvicorn benchmarks.apps:bare            reads the body, answers a constant
    uvicorn benchmarks.apps:floor           the same as FastAPI routes
    uvicorn --factory benchmarks.apps:plain TensorFlow's signature called in a `def` handler, per request

`floor` and `bare` answer as many bytes as ANSWER_BYTES says; `plain` serves the SavedModel in PLAIN_MODEL.
"""

import base64
import io
import os
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from fastapi import FastAPI, File, UploadFile
from PIL import Image
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

ANSWER = b'{"answer":"' + b"x" * (int(os.environ.get("ANSWER_BYTES", "256")) - 13) + b'"}'

floor = FastAPI()


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a constant after reading the body, as little as ASGI allows."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(ANSWER))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": ANSWER})


@floor.post("/raw")
async def raw(request: Request) -> Response:
    """Read a raw body."""
    await request.body()
    return Response(ANSWER, media_type="application/json")


@floor.post("/multipart")
async def multipart(file: Annotated[UploadFile, File()]) -> Response:
    """Read a form."""
    await file.read()
    return Response(ANSWER, media_type="application/json")


def plain() -> FastAPI:
    """Build the service that a tutorial would: one model, one call of its signature per request."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(Path(os.environ["PLAIN_MODEL"])))
    signature = loaded.signatures["serving_default"]
    _, height, width, channels = signature.structured_input_signature[1]["image"].shape
    app = FastAPI()
    app.state.loaded = loaded

    @app.post("/predict")
    def predict(file: Annotated[UploadFile, File()]) -> dict[str, Any]:
        image = Image.open(io.BytesIO(file.file.read())).convert("L" if channels == 1 else "RGB")
        pixels = np.asarray(image.resize((width, height))).reshape(1, height, width, channels)
        outputs = {name: value.numpy()[0] for name, value in signature(image=tf.constant(pixels)).items()}
        if "mask" not in outputs:
            return {name: value.tolist() for name, value in outputs.items()}
        mask = Image.fromarray((outputs["mask"][..., 0] >= 0.5).astype(np.uint8) * 255)
        buffer = io.BytesIO()
        mask.resize(image.size).save(buffer, "PNG")
        return {"mask": base64.b64encode(buffer.getvalue()).decode()}

    return app
