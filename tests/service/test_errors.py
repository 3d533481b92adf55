"""Errors: one tree, stable codes, problem documents."""

import re
from collections.abc import Iterator
from itertools import takewhile

import orjson
import pytest
from starlette.requests import Request

from service import errors
from service.errors import Overloaded, StriateError, TooManyRequests
from service.http import problems
from service.responses import Problem


def descendants(kind: type[StriateError]) -> Iterator[type[StriateError]]:
    for child in kind.__subclasses__():
        yield child
        yield from descendants(child)


def make(kind: type[StriateError]) -> StriateError:
    if issubclass(kind, Overloaded | TooManyRequests):
        return kind("Why.", 1)
    return kind("Why.")


LEAVES = [kind for kind in descendants(StriateError) if not kind.__subclasses__()]


def test_docstring_draws_the_tree() -> None:
    """The tree in the module's docstring names each class once, below its own parent."""
    assert errors.__doc__
    drawn: dict[str, list[str]] = {}
    for indent, text in re.findall(r"^    ([ |]*)\|- (.*)$", errors.__doc__, re.MULTILINE):
        names = list(takewhile(lambda word: word[0].isupper(), text.split()))
        if indent:
            drawn[list(drawn)[-1]] += names
        else:
            drawn[names[0]] = []
    actual = {
        branch.__name__: [leaf.__name__ for leaf in branch.__subclasses__()]
        for branch in StriateError.__subclasses__()
    }
    assert drawn == actual


def test_codes_are_unique() -> None:
    """No two errors share a code, so that a program can tell them apart."""
    codes = [kind.code for kind in LEAVES]
    assert len(codes) == len(set(codes))
    assert StriateError.code not in codes


@pytest.mark.parametrize("kind", LEAVES)
def test_every_error_makes_a_problem_document(kind: type[StriateError]) -> None:
    """Each error becomes a problem document with an error status, a plain code, a title and its detail."""
    problem = Problem.model_validate(make(kind).problem())
    assert problem.detail == "Why."
    assert problem.title
    assert 400 <= problem.status <= 599
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", problem.code)


def test_overloaded_says_when_to_retry() -> None:
    """Overloaded keeps the seconds to wait beside the text."""
    error = Overloaded("Full.", 7)
    assert (str(error), error.detail, error.retry_after) == ("Full.", "Full.", 7)


@pytest.mark.parametrize("kind", [kind for kind in LEAVES if kind.status in {429, 503}])
async def test_every_429_and_503_says_when_to_retry(kind: type[StriateError]) -> None:
    """Whatever is about the moment has Retry-After, also where the app answers in the connection's place."""
    answer = await problems.answer(Request({"type": "http", "path": "/classify", "headers": []}), make(kind))
    assert answer.status_code == kind.status
    assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize("kind", LEAVES)
@pytest.mark.parametrize("path", ["/v2/models/digits/infer", "/v1/models/digits:predict", "/v2"])
async def test_clients_of_other_servers_read_every_error(path: str, kind: type[StriateError]) -> None:
    """At their paths an error is plain JSON with a text, and a client's fault 400 unless they know better."""
    answer = await problems.answer(Request({"type": "http", "path": path, "headers": []}), make(kind))
    status = 400 if kind.status in {406, 415, 422} else kind.status
    body = orjson.loads(answer.body)
    assert (answer.status_code, body["status"], body["error"]) == (status, status, "Why.")
    assert answer.headers["content-type"] == "application/json"
    assert ("retry-after" in answer.headers) == (status in {429, 503})


@pytest.mark.parametrize("path", ["/classify", "/v2x", "/v1", "/", "/livez"])
async def test_elsewhere_errors_are_problem_documents(path: str) -> None:
    """Only whole parts of a path are a dialect's."""
    answer = await problems.answer(
        Request({"type": "http", "path": path, "headers": []}), errors.NotAcceptable("Why.")
    )
    assert answer.status_code == 406
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("kind", [kind for kind in LEAVES if kind.status not in {429, 503}])
def test_no_other_error_asks_to_retry(kind: type[StriateError]) -> None:
    """What will not get better by waiting says nothing of time."""
    assert make(kind).retry_after is None
