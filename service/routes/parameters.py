"""The query -> frozen options, and the options -> what OpenAPI says of the query."""

from functools import lru_cache
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.datastructures import QueryParams
from starlette.requests import Request

from service.errors import ParameterError

M = TypeVar("M", bound=BaseModel)


def parse(request: Request, options: type[M]) -> M:
    """Read the query; ParameterError names the parameter and what would be right, not what was sent."""
    query = request.scope["query_string"]
    # Clients repeat their queries, and options are frozen, so that one answer serves all.
    return _remembered(query, options) if len(query) <= 256 else _validated(query, options)  # type: ignore[return-value]


@lru_cache(1024)
def _remembered(query: bytes, options: type[BaseModel]) -> BaseModel:
    return _validated(query, options)


def _validated(query: bytes, options: type[M]) -> M:
    pairs = QueryParams(query).multi_items()
    given = dict(pairs)
    if len(given) < len(pairs):
        raise ParameterError("A query parameter is given more than once.")
    try:
        return options.model_validate(given)
    except ValidationError as error:
        raise ParameterError(_explain(error, options)) from None


def _explain(error: ValidationError, options: type[BaseModel]) -> str:
    known = ", ".join(options.model_fields)
    texts = []
    for fault in error.errors(include_input=False, include_url=False, include_context=False):
        name = str(fault["loc"][0])
        if name in options.model_fields:
            texts.append(f"{name}: {fault['msg'][0].lower()}{fault['msg'][1:]}.")
        else:
            texts.append(f"There is a parameter that does not exist here; there are: {known}.")
    return " ".join(dict.fromkeys(texts))


def describe(options: type[BaseModel]) -> list[dict[str, Any]]:
    """Return the OpenAPI parameter objects of the options."""
    schema = options.model_json_schema()
    parameters = []
    for name, described in schema["properties"].items():
        field = dict(described)
        description = field.pop("description", "")
        field.pop("title", None)
        parameters.append(
            {
                "name": name,
                "in": "query",
                "required": name in schema.get("required", ()),
                "description": description,
                "schema": field,
            }
        )
    return parameters
