"""docs/reliability.md tells the truth: every row of the table, and tests that exist."""

import re
from pathlib import Path

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
    """No row names a test that was renamed or removed."""
    named = set(re.findall(r"`(?:tests/)?([\w/]+\.py)::(\w+)`", TEXT))
    assert len(named) > 150
    files = {path.name: path for path in ROOT.glob("tests/**/*.py")}
    missing = [
        f"{path}::{name}"
        for path, name in sorted(named)
        if not re.search(rf"^(?:async )?(?:def|class) {name}\b|^{name} =", _text(files, path), re.MULTILINE)
    ]
    assert not missing


def _text(files: dict[str, Path], path: str) -> str:
    found = files.get(Path(path).name)
    return found.read_text("utf-8") if found else ""
