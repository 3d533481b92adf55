"""Two states of the code, served at once and loaded by turns: what a change costs or saves.

    git worktree add ../before COMMIT
    python -m benchmarks.versus ../before . [--rounds 16] [--seconds 2] [--callers 32] [--only "photo to box"]

Each folder serves its own models with its own code, on this environment's libraries. Ratios are those of the
second state to the first, one per round, so that a machine that drifts drifts for both; the table has their
quartiles. What a state differs by from itself (`versus . .`) is what the machine adds.
"""

import argparse
import statistics
import subprocess
from contextlib import ExitStack
from pathlib import Path

from benchmarks import load, servers
from benchmarks.servers import Server
from benchmarks.workloads import workloads

CASES = {
    "digit, raw": ("digit", "raw"),
    "digit, form": ("digit", "multipart"),
    "photo to mask, form": ("photo to mask", "multipart"),
}
"""What is compared where nobody names a workload."""


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("before", type=Path, help="a checkout")
    parser.add_argument("after", type=Path, help="another one")
    parser.add_argument("--rounds", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--callers", type=int, default=32)
    known = list(workloads())
    parser.add_argument("--only", action="append", choices=known, help="this workload; may be repeated")
    options = parser.parse_args()
    chosen = {name: (name, "multipart") for name in options.only or ()} or CASES
    with ExitStack() as stack:
        pair = []
        for name, folder in (("before", options.before.resolve()), ("after", options.after.resolve())):
            command = servers.striate(folder / "models")
            pair.append(
                stack.enter_context(servers.running(name, command, "/readyz", subprocess.DEVNULL, folder))
            )
        print(f"{'case':<22}{'before':>10}{'after':>10}{'ratio':>9}{'quartiles':>16}{'CPU':>8}")
        for case, (workload, form) in chosen.items():
            _compare(case, workload, form, pair, options)
        before, after = (server.pss_megabytes() for server in pair)
        print(f"{'memory after it, PSS':<22}{before:>8.0f}MB{after:>8.0f}MB{after / before:>9.3f}")


def _compare(case: str, workload: str, form: str, pair: list[Server], options: argparse.Namespace) -> None:
    """Measure one case, the two states in the opposite order each round, and print its line."""
    chosen = workloads()[workload]
    body, content_type = chosen.body(form)
    rates: dict[str, list[float]] = {server.name: [] for server in pair}
    costs: dict[str, list[float]] = {server.name: [] for server in pair}
    for number in range(options.rounds):
        for server in pair if number % 2 else pair[::-1]:
            start = server.cpu_seconds()
            sample = load.closed_loop(
                server.url + chosen.query, body, content_type, options.callers, options.seconds
            )
            if sample.errors:
                raise RuntimeError(
                    f"{server.name} did not answer {sample.errors} of {sample.requests}: {case}."
                )
            rates[server.name].append(sample.rate)
            costs[server.name].append((server.cpu_seconds() - start) / sample.requests)
    ratios = [after / before for before, after in zip(rates["before"], rates["after"], strict=True)]
    costlier = [after / before for before, after in zip(costs["before"], costs["after"], strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    medians = "".join(f"{statistics.median(values):>8.0f}/s" for values in rates.values())
    quartiles = f"{low:.3f} to {high:.3f}"
    print(f"{case:<22}{medians}{middle:>9.3f}{quartiles:>16}{statistics.median(costlier):>8.3f}", flush=True)


if __name__ == "__main__":
    main()
