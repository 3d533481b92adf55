"""The query -> frozen options, and the options -> what OpenAPI says of the query."""

from functools import lru_cache
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.datastructures import QueryParams
from starlette.requests import Request

from service.errors import ParameterError
from service.wording import nearest, quoted

M = TypeVar("M", bound=BaseModel)


def parse(request: Request, options: type[M]) -> M:
    """Read the query; ParameterError names the parameter and what would be right, not its value."""
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
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ParameterError(f"The query parameter {quoted(twice)} is given more than once.")
    try:
        return options.model_validate(given)
    except ValidationError as error:
        raise ParameterError(_explain(error, options)) from None


def _explain(error: ValidationError, options: type[BaseModel]) -> str:
    texts: list[str] = []
    unknown: list[str] = []
    for fault in error.errors(include_input=False, include_url=False, include_context=False):
        name = str(fault["loc"][0])
        if name in options.model_fields:
            texts.append(f"{name}: {fault['msg'][0].lower()}{fault['msg'][1:]}.")
        else:
            unknown.append(name)
    if unknown:
        texts.append(_explain_unknown(unknown, list(options.model_fields)))
    return " ".join(texts)


def _explain_unknown(names: list[str], known: list[str]) -> str:
    # The first few: thousands fit into an address.
    shown = ", ".join(map(quoted, names[:3])) + (", ..." if len(names) > 3 else "")
    meant = dict.fromkeys(filter(None, (nearest(name, known) for name in names[:3])))
    hint = f" Did you mean {' and '.join(meant)}?" if meant else ""
    verb = "is no parameter" if len(names) == 1 else "are no parameters"
    return f"{shown} {verb} here.{hint} There are: {', '.join(known)}."


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
