"""What the OpenAPI document says beyond what FastAPI finds by itself: bodies, problems, keys, limits."""

from copy import deepcopy
from functools import cache
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from service.formats import names
from service.responses import RETRY_AFTER, Problem
from service.routes import examples
from service.routes.direct import DirectRoute
from service.routes.parameters import describe
from service.tasks.registry import FACES
from service.tasks.task import Face

Responses = dict[int | str, dict[str, Any]]

EXPLAIN = "/explain"
"""The path where one image is posted to see what its answer depends on."""

_PROBLEM = {"content": {"application/problem+json": {"schema": Problem.model_json_schema()}}}

_BASE64 = {
    "type": "string",
    "description": "In one line or in several; a `data:` URL may be around it.",
    "contentEncoding": "base64",
    "minLength": 4,
    "pattern": "^(data:[^,]*;base64,)?([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)?$",
}
_BINARY = {"type": "string", "format": "binary", "minLength": 1}

_BODY = {
    "required": True,
    "description": f"{names.listed(frozenset(names.KINDS))}: the content decides. "
    "Several images: repeat the part `file`, or use `images`.",
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "additionalProperties": False,
                "properties": {
                    "file": {"type": "array", "items": _BINARY, "minItems": 1},
                },
            }
        },
        **{
            kind: {"schema": _BINARY}
            for kind in (
                *("image/jpeg", "image/png", "image/webp", "image/gif", "image/bmp", "image/tiff"),
                *("image/x-portable-anymap", "image/avif", "image/heic", "application/octet-stream"),
            )
        },
        "application/json": {
            "schema": {
                "oneOf": [
                    {
                        "type": "object",
                        "required": ["image"],
                        "additionalProperties": False,
                        "properties": {"image": _BASE64},
                    },
                    {
                        "type": "object",
                        "required": ["images"],
                        "additionalProperties": False,
                        "properties": {"images": {"type": "array", "items": _BASE64, "minItems": 1}},
                    },
                ]
            }
        },
    },
}


def problems(*statuses: int) -> Responses:
    """Return what is said of answers that are problem documents; a 503 tells when to ask again."""
    told: Responses = {status: {"description": "A problem document.", **_PROBLEM} for status in statuses}
    if 503 in told:
        told[503]["headers"] = RETRY_AFTER
    return told


def of_face(face: Face) -> dict[str, Any]:
    """Return the keyword arguments with which FastAPI documents a face's handler, which takes the request."""
    answered: dict[str, Any] = {"model": face.response, "description": "One result per image, in order."}
    if face.pictures != "never":
        answered["content"] = {"image/png": {"schema": {"type": "string", "format": "binary"}}}
    return {
        "response_model": None,
        "responses": {**problems(400, 404, 406, 413, 415, 422, 500, 503, 504), 200: answered},
        "openapi_extra": {"parameters": describe(face.options), "requestBody": _BODY},
    }


def of_one(options: type[BaseModel], response: type[BaseModel]) -> dict[str, Any]:
    """Return the same of a handler that takes one image, and answers with a picture to who wants one."""
    answered = {
        "model": response,
        "description": "One result.",
        "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}},
    }
    return {
        "response_model": None,
        "responses": {**problems(400, 404, 406, 413, 415, 422, 500, 503, 504), 200: answered},
        "openapi_extra": {"parameters": describe(options), "requestBody": deepcopy(_BODY)},
    }


_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key."},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same API key."},
}
_REFUSALS = {
    "401": "No key, or none that is let in.",
    "403": "A key without the role that this takes.",
    "429": "Too many wrong keys from this address, or too many requests with this key.",
}


def complete(app: FastAPI, max_images: int, *, keys_needed: bool) -> None:
    """Have the app's OpenAPI document tell its own limits, and which operations need a key.

    All apps of a process share the routes.
    """
    describe_app = app.openapi

    @cache
    def described() -> dict[str, Any]:
        document = describe_app()
        faces = [(face.path, examples.of(face), max_images) for face in FACES]
        for path, answers, most in (*faces, (EXPLAIN, examples.EXPLANATION, 1)):
            operation = document["paths"][path]["post"]
            # Here, for FastAPI would leave out what is null in them.
            operation["responses"]["200"]["content"]["application/json"]["examples"] = answers
            content = operation["requestBody"]["content"]
            content["multipart/form-data"]["schema"]["properties"]["file"]["maxItems"] = most
            content["application/json"]["schema"]["oneOf"][1]["properties"]["images"]["maxItems"] = most
        examples.complete(document, keys_needed=keys_needed)
        if keys_needed:
            _mention_keys(document, app)
        return document

    app.openapi = described  # type: ignore[method-assign]


def _mention_keys(document: dict[str, Any], app: FastAPI) -> None:
    refusals = {status: {"description": text, **_PROBLEM} for status, text in _REFUSALS.items()}
    document.setdefault("components", {})["securitySchemes"] = _SCHEMES
    for route in app.routes:
        if isinstance(route, DirectRoute) and route.role and route.include_in_schema:
            for operation in document["paths"][route.path].values():
                operation["security"] = [{name: []} for name in _SCHEMES]
                operation["description"] = f"{operation['description']}\n\nRole of the key: {route.role}."
                operation["responses"].update(refusals)
