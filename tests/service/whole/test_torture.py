"""The quick form of `make torture`: each trial runs, and what does not depend on the machine's pace holds."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.torture import soak
from benchmarks.torture.__main__ import TRIALS


@pytest.mark.parametrize("trial", TRIALS)
@pytest.mark.slow
@pytest.mark.timeout(330)
def test_quick_torture(trial: str, tmp_path: Path) -> None:
    """A little of every fault and flood: every request ends once, none is lost or answered wrongly, and the
    service lives (A1-A6, D1-D24, F1-F3, F11, G1, G2, G20, G21, H1, H4, H16).
    """
    lines = tmp_path / "rows"
    command = [sys.executable, "-m", "benchmarks.torture", "--quick", "--only", trial, "--json", str(lines)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert lines.exists(), done.stdout + done.stderr
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    missed = [row for row in rows if row["passed"] is False and not row["timed"]]
    assert not missed, done.stdout
    assert "bars missed" in done.stdout, done.stderr


def test_a_slope_needs_progress() -> None:
    """Looks between which nothing was answered, for the machine was busy, do not spoil the slope."""
    samples = [soak.Sample(float(n), requests, 2.0 * requests, 1) for n, requests in enumerate((0, 1, 1, 3))]
    assert soak.slope([each.requests for each in samples], samples) == 2
