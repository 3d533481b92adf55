"""Graphs that could compute for ever are told from those that end by themselves."""

from pathlib import Path

import pytest

from service.versions import endless
from tests.service.graphs import CALL, FUNCTIONS, NODES, field, function, node, saved_model

MODELS = Path(__file__).parents[3] / "models"


@pytest.mark.parametrize("folder", sorted(MODELS.glob("*/*/")), ids=lambda folder: folder.parent.name)
def test_what_is_shipped_ends(folder: Path) -> None:
    """None of the shipped models is put off at the start."""
    assert not endless.may_be(folder)


def calling(name: str, *called: str) -> bytes:
    """Return a FunctionDef that calls these functions."""
    nodes = (node(f"n{index}", CALL, calls=each) for index, each in enumerate(called))
    return field(1, field(1, name.encode())) + b"".join(field(3, each) for each in nodes)


LOOPS = {
    "a loop": saved_model([*NODES, node("x", "While")], FUNCTIONS),
    "a loop in a function": saved_model(NODES, [*FUNCTIONS, function("f", "StatelessWhile")]),
    "a function that calls itself": saved_model(NODES, [*FUNCTIONS, calling("f", "f")]),
    "two that call each other": saved_model(
        NODES, [*FUNCTIONS, calling("f", "g", "f_serve"), calling("g", "f")]
    ),
}


@pytest.mark.parametrize("kind", LOOPS)
def test_a_loop_is_seen(kind: str) -> None:
    """(G7) A loop, in the graph or a function, and a function that comes back to itself."""
    assert endless.may_be_bytes(LOOPS[kind])


def test_calls_alone_are_no_loop() -> None:
    """A function that two others call, one of them through the other, ends."""
    functions = [*FUNCTIONS, calling("f", "g", "f_serve"), calling("g", "f_serve", "f_serve")]
    assert not endless.may_be_bytes(saved_model(NODES, functions))
