"""docs/reliability.md tells the truth: every row of the table, and tests that exist; so do others."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs/reliability.md").read_text("utf-8")
ROWS = re.findall(r"^\| ([A-I]\d+) \| .* \| (.*) \|$", TEXT, re.MULTILINE)


def test_every_row_says_what_holds_it_or_why_nothing_does() -> None:
    """Rows are counted as the last section says, and each names a test, a trial, or why there is none."""
    without = [
        row
        for row, held in ROWS
        if held.startswith("not held") or not re.search(r"::test_|make torture", held)
    ]
    counted = re.search(r"(\d+) rows are held, .*; (\d+) are not", TEXT)
    assert counted
    assert [len(ROWS) - len(without), len(without)] == [int(number) for number in counted.groups()]
    assert len({row for row, _ in ROWS}) == len(ROWS) >= 169


def test_every_test_that_is_named_exists() -> None:
    """No row names a test that was renamed or removed; each name is one file's below tests/service."""
    named = set(re.findall(r"`([\w/]+\.py)::(\w+)`", TEXT))
    assert len(named) > 150
    assert not {f"{path}::{name}": found for path, name in named if len(found := _defining(path, name)) != 1}


def _defining(path: str, name: str) -> list[Path]:
    """Return the files of that name that define a test of that name."""
    pattern = path if path.startswith("tests/") else f"tests/service/**/{path}"
    definition = re.compile(rf"^(?:async )?(?:def|class) {name}\b|^{name} =", re.MULTILINE)
    return [file for file in ROOT.glob(pattern) if definition.search(file.read_text("utf-8"))]


@pytest.mark.parametrize(
    "name", ["SECURITY.md", "CONTRIBUTING.md", "docs/training.md", "deploy/try_pythons.sh"]
)
def test_every_file_of_tests_that_is_named_exists(name: str) -> None:
    """Nor does another text name a file of tests that was moved or removed."""
    named = set(re.findall(r"\btests/[\w/]+(?:\.py|/)", (ROOT / name).read_text("utf-8")))
    assert named
    assert not {path for path in named if not (ROOT / path).exists()}
