"""The examples of the interface's document: requests that work, and answers as they are given."""

import re
from typing import Any

import httpx
import pytest

from service.routes import examples
from service.tasks.registry import FACES
from service.tasks.task import Face
from tests.worlds import Server


@pytest.mark.parametrize("face", FACES, ids=lambda face: face.path[1:])
def test_every_example_is_an_answer(face: Face) -> None:
    """Each is what the face's own schema describes."""
    found = examples.of(face)
    assert len(found) >= 3
    for example in found.values():
        face.response.model_validate(example["value"])


def test_every_operation_and_option_has_its_line(guarded: Server) -> None:
    """A line to copy for each operation, and each option in one of them."""
    for operations in httpx.get(f"{guarded.url}/openapi.json").json()["paths"].values():
        for operation in operations.values():
            lines = re.findall(r"^curl .*$", operation["description"], re.MULTILINE)
            assert lines
            for parameter in operation.get("parameters", ()):
                named = re.compile(rf"[?&]{parameter['name']}=")
                assert any(named.search(line) for line in lines), parameter["name"]
            assert operation["responses"]["200"]["content"]


def test_examples_are_told_as_the_service_tells(guarded: Server) -> None:
    """The members of what is answered to a GET are those of its example."""
    document = httpx.get(f"{guarded.url}/openapi.json").json()["paths"]
    for path in ("/livez", "/readyz", "/admin/models"):
        content = document[path]["get"]["responses"]["200"]["content"]["application/json"]
        value = content["examples"]["example"]["value"]
        assert _members(httpx.get(guarded.url + path).json()) == _members(value)


def _members(value: Any) -> Any:
    """Return a document's members without names of models, numbers of versions and their values."""
    if isinstance(value, list):
        return [_members(each) for each in value]
    if not isinstance(value, dict):
        return ...
    if set(value) == {"state", "reason"}:
        value = {"state": value["state"]}
    if all(name.isdecimal() for name in value):
        return ...
    return {name: _members(each) for name, each in value.items()}
