"""`make bench`: the service, the floor of HTTP, the plain way and the model alone, in one run, in one table.

    python -m benchmarks [--quick] [--rounds N] [--seconds S] [--json FILE]

Every round measures every case once, in the same order, so that a machine that drifts drifts for all of them;
the table has the medians. Ratios are within one run.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx

from benchmarks import dialects, load, servers
from benchmarks.cases import Case, Row, cases, same
from benchmarks.headlines import headlines
from benchmarks.servers import Server
from benchmarks.workloads import Workload, workloads

ENGINES = (
    ("openvino", "bfloat16"),
    ("openvino", "float32"),
    ("tensorflow", "float32"),
    ("tensorflow", "bfloat16"),
)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="headline ratios only, under a minute")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--json", type=Path, help="append every measurement as a JSON line")
    options = parser.parse_args()
    rounds = options.rounds or (1 if options.quick else 3)
    seconds = options.seconds or (1 if options.quick else 4)
    bench = Bench(options.models, seconds, options.json)
    with ExitStack() as stack:
        bench.start(stack)
        bench.check()
        bench.fairness()
        for _ in range(rounds):
            for case in cases(options.quick):
                bench.measure(case)
        bench.weigh()
        if not options.quick:
            bench.open_loop()
    if options.quick:
        bench.limits(0.5, ("nuclei",), (("openvino", "bfloat16"), ("tensorflow", "float32")))
    else:
        bench.limits(2.0, ("digits", "nuclei"), ENGINES)
    bench.cold_start(1 if options.quick else 3)
    bench.report()


class Bench:
    """The servers, the workloads and what has been measured so far."""

    def __init__(self, models: Path, seconds: float, lines: Path | None) -> None:
        self.models = models
        self.seconds = seconds
        self.lines = lines
        self.workloads = workloads()
        self.servers: dict[str, Server] = {}
        self.rows: dict[str, Row] = {}
        self.facts: dict[str, float] = {}

    def version(self, name: str) -> Path:
        """Return the folder of a model's newest version."""
        return max((self.models / name).iterdir(), key=lambda path: int(path.name))

    def start(self, stack: ExitStack) -> None:
        """Start every server; they stay up, idle while another is measured."""
        start: dict[str, tuple[list[str], str, dict[str, str]]] = {
            "striate": (servers.striate(self.models), "/readyz", {}),
            "bare ASGI": (servers.uvicorn("benchmarks.apps:bare"), "/", {}),
            "FastAPI floor": (servers.uvicorn("benchmarks.apps:floor"), "/openapi.json", {}),
        }
        for name in ("digits", "nuclei"):
            command = servers.uvicorn("benchmarks.apps:plain", "--factory")
            start[f"plain {name}"] = (command, "/openapi.json", {"PLAIN_MODEL": str(self.version(name))})
        starting = {
            name: servers.running(name, command, probe, **environment)
            for name, (command, probe, environment) in start.items()
        }
        # The service alone, since its start is measured; then the others at once.
        self.servers["striate"] = stack.enter_context(starting.pop("striate"))
        with ThreadPoolExecutor(len(starting)) as pool:
            for name, server in zip(starting, pool.map(stack.enter_context, starting.values()), strict=True):
                self.servers[name] = server
        for name, server in self.servers.items():
            print(f"started {name} in {server.seconds_to_ready:.2f} s", flush=True)
        self.facts["start to ready, s"] = self.servers["striate"].seconds_to_ready

    def check(self) -> None:
        """Answer every workload once with one caller: the answers that load must not change."""
        self.expected = {name: self.answer(workload) for name, workload in self.workloads.items()}

    def answer(self, workload: Workload) -> Any:
        """Post a workload once and return its results."""
        body, content_type = workload.body("multipart")
        url = self.servers["striate"].url + workload.query
        response = httpx.post(url, content=body, headers={"Content-Type": content_type}, timeout=60)
        response.raise_for_status()
        return response.json()["results"]

    def measure(self, case: Case) -> None:
        """Measure one case once, with a sampled answer in the middle of the load."""
        server = self.servers[case.server]
        body, content_type, headers = dialects.posted(self.workloads[case.workload], case.form)
        before, batches = server.cpu_seconds(), self.batches()
        # The plain way answers some four of the large images a second.
        seconds = max(self.seconds, 3) if "12 MP" in case.workload else self.seconds
        url = server.url + case.path
        sample = load.closed_loop(url, body, content_type, case.callers, seconds, headers)
        cpu = server.cpu_seconds() - before
        row = self.rows.setdefault(case.key, Row(case, [], [], [], [], [], []))
        row.rate.append(sample.rate)
        row.p50.append(sample.p50)
        row.p95.append(sample.p95)
        row.p99.append(sample.p99)
        row.cpu_ms.append(1000 * cpu / max(1, sample.requests))
        row.errors += sample.errors
        if case.server == "striate":
            after = self.batches()
            calls = after[1] - batches[1]
            row.mean_batch.append((after[0] - batches[0]) / calls if calls else 0.0)
            if not same(self.answer(self.workloads[case.workload]), self.expected[case.workload]):
                raise RuntimeError(f"After {case.key} an answer was not the one before.")
        self.write({"case": asdict(case), **asdict(sample), "cpu_ms": row.cpu_ms[-1]})
        print(f"{case.key:<55} {sample.rate:9.1f}/s  p50 {sample.p50:8.2f} ms", flush=True)

    def batches(self) -> tuple[float, float]:
        """Return (images, calls of an engine) so far."""
        text = httpx.get(self.servers["striate"].url + "/metrics").text
        sums = [0.0, 0.0]
        for line in text.splitlines():
            for index, suffix in enumerate(("sum", "count")):
                if line.startswith(f"striate_batch_size_{suffix}"):
                    sums[index] += float(line.rpartition(" ")[2])
        return sums[0], sums[1]

    def weigh(self) -> None:
        """Note the memory of each server, after the load."""
        for name, server in self.servers.items():
            self.facts[f"memory of {name}, MB (PSS)"] = server.pss_megabytes()

    def open_loop(self) -> None:
        """Measure latency at fixed arrival rates, half and four fifths of the closed loop's rate."""
        for name, path in (("digit", "/classify?model=digits"), ("photo to mask", "/segment?model=nuclei")):
            body, content_type = self.workloads[name].body("multipart")
            peak = self.rows[f"striate | {name} | multipart | 32"].median("rate")
            # httpx as an open-loop client is itself good for a few hundred requests a second.
            for share in (0.5, 0.8):
                rate = min(peak * share, 250.0)
                url = self.servers["striate"].url + path
                sample = asyncio.run(load.open_loop(url, body, content_type, rate, 4))
                self.facts[f"open loop, {name}, {rate:.0f}/s: p50 ms"] = sample.p50
                self.facts[f"open loop, {name}, {rate:.0f}/s: p99 ms"] = sample.p99

    def fairness(self) -> None:
        """Measure a light model's one caller alone, and while a heavy model has 32."""
        url = self.servers["striate"].url
        light, heavy = (self.workloads[name] for name in ("digit", "photo to mask"))
        alone = load.closed_loop(url + light.query, *light.body("raw"), 1, self.seconds)
        with ThreadPoolExecutor(1) as pool:
            pressing = pool.submit(
                load.closed_loop, url + heavy.query, *heavy.body("multipart"), 32, 2 * self.seconds
            )
            time.sleep(self.seconds / 2)
            beside = load.closed_loop(url + light.query, *light.body("raw"), 1, self.seconds)
            pressing.result()
        self.facts["digit, 1 caller alone: p99 ms"] = alone.p99
        self.facts["digit, 1 caller beside 32 of the U-Net: p99 ms"] = beside.p99

    def limits(self, seconds: float, models: tuple[str, ...], ways: tuple[tuple[str, str], ...]) -> None:
        """Measure each engine alone, in a process of its own."""
        workload = {"digits": "digit", "nuclei": "photo to mask"}
        for model in models:
            with tempfile.NamedTemporaryFile() as file:
                file.write(self.workloads[workload[model]].images[0])
                file.flush()
                for engine, precision in ways:
                    for line in self._limit(engine, precision, model, file.name, seconds):
                        self.write(line)
                        key = f"limit {model} | {engine} {precision} | batch {line['batch']}"
                        self.facts[key] = line["images_per_second"]

    def _limit(
        self, engine: str, precision: str, model: str, image: str, seconds: float
    ) -> Iterator[dict[str, Any]]:
        words = [sys.executable, "-m", "benchmarks.limits", engine, precision]
        words += [str(self.version(model)), image, str(seconds)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"no limit for {engine} {precision}: {done.stderr.strip().splitlines()[-1]}")
        for line in done.stdout.splitlines():
            if line.startswith("{"):
                yield json.loads(line)

    def cold_start(self, rounds: int) -> None:
        """Measure process start to ready with all models, against the import of TensorFlow alone."""
        times = [self.facts["start to ready, s"]]
        for _ in range(rounds - 1):
            with servers.running("striate", servers.striate(self.models), "/readyz") as server:
                times.append(server.seconds_to_ready)
        self.facts["start to ready, s"] = statistics.median(times)
        imports = [_import_seconds() for _ in range(rounds)]
        self.facts["import tensorflow, s"] = statistics.median(imports)

    def write(self, line: dict[str, Any]) -> None:
        """Append one JSON line, where asked for."""
        if self.lines:
            with self.lines.open("a") as file:
                file.write(json.dumps(line) + "\n")

    def report(self) -> None:
        """Print the table, the facts and the headline ratios."""
        header = ("case", "req/s", "p50 ms", "p95 ms", "p99 ms", "CPU ms", "batch", "errors")
        print("\n" + f"{header[0]:<52}" + "".join(f"{name:>9}" for name in header[1:]))
        for key, row in self.rows.items():
            figures = [row.median(name) for name in ("rate", "p50", "p95", "p99", "cpu_ms", "mean_batch")]
            print(f"{key:<52}" + "".join(f"{figure:9.2f}" for figure in figures) + f"{row.errors:9d}")
        print()
        for name, fact in self.facts.items():
            print(f"{name:<60} {fact:10.2f}")
        print("\nheadline ratios")
        for name, ratio in headlines(self.rows, self.facts):
            print(f"{name:<75} {ratio:7.2f}")


def _import_seconds() -> float:
    script = "import time; t = time.perf_counter(); import tensorflow; print(time.perf_counter() - t)"
    quiet = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", script]
    return float(subprocess.run(command, env=quiet, capture_output=True, text=True, check=True).stdout)


if __name__ == "__main__":
    main()
