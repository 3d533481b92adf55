"""`make torture`: the service as a user starts it, under faults and attacks, and how every request ended.

    python -m benchmarks.torture [--quick] [--soak] [--only NAME ...] [--json FILE]

About twenty minutes; `--quick` less than one; `--soak` half an hour more.
Exit status 1 where a bar is missed.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from benchmarks.torture.abandoned import abandoned
from benchmarks.torture.hostile import hostile
from benchmarks.torture.malformed import malformed
from benchmarks.torture.mixing import poison, tagged
from benchmarks.torture.overload import overload
from benchmarks.torture.signals import signals
from benchmarks.torture.slow import slow
from benchmarks.torture.soak import soak
from benchmarks.torture.swaps import swaps
from benchmarks.torture.trial import Row, Scale, Trial

TRIALS: dict[str, Trial] = {
    "overload": overload,
    "swaps": swaps,
    "signals": signals,
    "hostile": hostile,
    "malformed": malformed,
    "poison": poison,
    "tagged": tagged,
    "slow": slow,
    "abandoned": abandoned,
    "soak": soak,
}

_MARKS = {True: "pass", False: "MISS", None: "not available"}


def main() -> int:
    """Run the trials, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a little of everything")
    parser.add_argument("--soak", action="store_true", help="soak for half an hour")
    parser.add_argument("--only", action="append", choices=TRIALS, help="this trial; may be repeated")
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--json", type=Path, help="append every line of the table as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        # Two models start in a fraction of the time of all.
        models = _some(options.models, Path(folder)) if options.quick else options.models
        missed = _run(options.only or list(TRIALS), Scale(models, options.quick, options.soak), options.json)
    print(f"\n{missed or 'no'} bars missed")
    return 1 if missed else 0


def _some(models: Path, folder: Path) -> Path:
    for name in ("digits", "fashion", "nuclei"):
        shutil.copytree(models / name, folder / name)
    return folder


def _run(names: list[str], scale: Scale, lines: Path | None) -> int:
    """Run trials; how many bars were missed."""
    missed = 0
    for name in names:
        started = time.perf_counter()
        print(f"\n{name}", flush=True)
        for row in TRIALS[name](scale):
            _show(row)
            missed += row.passed is False
            if lines:
                with lines.open("a") as file:
                    file.write(json.dumps({"trial": name, **asdict(row)}) + "\n")
        print(f"  {time.perf_counter() - started:.0f} s", flush=True)
    return missed


def _show(row: Row) -> None:
    print(f"  {row.what:<46} {row.figure:>34}  bar {row.bar:<34} {_MARKS[row.passed]}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
