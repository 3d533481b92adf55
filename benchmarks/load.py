"""Load: closed loop by wrk (N callers, each waits for its answer), open loop at a fixed rate of arrivals."""

import asyncio
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import httpx
import numpy as np

_SCRIPT = """
local file = io.open("{body}", "rb")
wrk.method = "POST"
wrk.body = file:read("*a")
wrk.headers["Content-Type"] = "{content_type}"
{headers}
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format('JSON{{"requests":%d,"microseconds":%d,"errors":%d,"p50":%g,"p95":%g,"p99":%g}}\\n',
    summary.requests, summary.duration,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50), latency:percentile(95), latency:percentile(99)))
end
"""


@dataclass(frozen=True)
class Sample:
    """One measurement. Latencies are in milliseconds."""

    requests: int
    seconds: float
    errors: int
    p50: float
    p95: float
    p99: float

    @property
    def rate(self) -> float:
        """Requests per second that were answered with 2xx."""
        return (self.requests - self.errors) / self.seconds


def closed_loop(
    url: str,
    body: bytes,
    content_type: str,
    callers: int,
    seconds: float,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> Sample:
    """Have `callers` connections post the body over and over for about `seconds`."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise RuntimeError("wrk is missing: `make wrk` installs it.")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "body").write_bytes(body)
        script = Path(folder) / "post.lua"
        more = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in headers.items())
        script.write_text(_SCRIPT.format(body=Path(folder) / "body", content_type=content_type, headers=more))
        duration = f"{max(1, round(seconds))}s"
        command = [wrk, "-t1", f"-c{callers}", f"-d{duration}", "--timeout", "30s", "-s", str(script), url]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    line = next(line for line in output.splitlines() if line.startswith("JSON"))
    found = json.loads(line.removeprefix("JSON"))
    milliseconds = {key: found[key] / 1000 for key in ("p50", "p95", "p99")}
    return Sample(found["requests"], found["microseconds"] / 1e6, found["errors"], **milliseconds)


async def open_loop(url: str, body: bytes, content_type: str, rate: float, seconds: float) -> Sample:
    """Post at fixed times, `rate` a second, whether earlier ones are answered or not.

    A latency counts from the scheduled time, so that a server that stalls cannot hide those who wait
    (Tene, "How NOT to measure latency", 2015).
    """
    latencies: list[float] = []
    errors = 0
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=256)
    async with httpx.AsyncClient(timeout=30, limits=limits) as client:

        async def post(due: float) -> None:
            nonlocal errors
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            try:
                response = await client.post(url, content=body, headers={"Content-Type": content_type})
                errors += response.status_code >= 400
            except httpx.HTTPError:
                errors += 1
            latencies.append((time.perf_counter() - due) * 1000)

        start = time.perf_counter() + 0.2
        await asyncio.gather(*(post(start + number / rate) for number in range(int(rate * seconds))))
        elapsed = time.perf_counter() - start
    p50, p95, p99 = (float(value) for value in np.percentile(latencies, (50, 95, 99)))
    return Sample(len(latencies), elapsed, errors, p50, p95, p99)
