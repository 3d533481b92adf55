"""The tests' own house: where each file lies, and who imports whom."""

import ast
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TESTS = sorted(HERE.rglob("test_*.py"))


def test_no_test_imports_another() -> None:
    """What two files need is in a module of its own: a test can be moved without looking around."""
    found = {
        f"{path.relative_to(HERE)}: {name}"
        for path in HERE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        for name in _imported(node)
        if name.startswith("tests.") and ".test_" in name
    }
    assert not found


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [each.name for each in node.names]
    if isinstance(node, ast.ImportFrom):
        return [f"{node.module}.{each.name}" for each in node.names]
    return []


@pytest.mark.parametrize("half", ["service", "training"])
def test_tests_lie_as_what_they_test(half: str) -> None:
    """Folders of tests are called after packages, but for `whole`; files at a half's top after modules."""
    root = HERE.parent
    folders = {path.parent.relative_to(HERE) for path in TESTS if path.is_relative_to(HERE / half)}
    assert {each for each in folders if not (root / each / "__init__.py").is_file()} == {Path(half, "whole")}
    modules = {path.name.replace("__", "") for path in (root / half).glob("*.py")}
    assert {path.name.removeprefix("test_") for path in (HERE / half).glob("test_*.py")} <= modules
