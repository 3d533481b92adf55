"""Another client of the same service, in a process of its own: what does it notice?"""

import base64
import http.client
import json
import os
import selectors
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Visit:
    """One request of the neighbour; status 0 where it was not answered."""

    target: str
    status: int
    milliseconds: float


@dataclass
class Neighbour:
    """Sends its requests in turn, `rate` a second, from entering the context to leaving it.

    With `fresh`, each over a connection of its own, as probes of orchestrators do.
    """

    url: str
    requests: list[tuple[str, str, str, bytes]]
    """Method, target, content type, body."""
    rate: float
    fresh: bool = False
    visits: list[Visit] = field(default_factory=list)

    def __enter__(self) -> Self:
        """Start the process."""
        requests = [
            [method, target, kind, base64.b64encode(body).decode()]
            for method, target, kind, body in self.requests
        ]
        words = [sys.executable, "-m", "benchmarks.torture.neighbour"]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdin
        assert self._process.stdout
        order = {"url": self.url, "requests": requests, "rate": self.rate, "fresh": self.fresh}
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()
        self._process.stdout.readline()
        return self

    def __exit__(self, *_: object) -> None:
        """Fetch what it has noticed."""
        output, _error = self._process.communicate(timeout=60)
        self.visits = [Visit(*visit) for visit in json.loads(output)]

    def percentile(self, share: float) -> float:
        """Return a percentile of all its milliseconds."""
        values = sorted(visit.milliseconds for visit in self.visits)
        return values[min(len(values) - 1, int(len(values) * share / 100))] if values else 0.0

    @property
    def answers(self) -> int:
        """How many were answered with 200."""
        return len(self.visits) - self.failures

    @property
    def failures(self) -> int:
        """How many were not answered with 200."""
        return sum(visit.status != 200 for visit in self.visits)


def _visit(order: dict[str, Any]) -> list[list[Any]]:
    parts = urlsplit(order["url"])
    requests = [(m, t, k, base64.b64decode(b)) for m, t, k, b in order["requests"]]
    visits: list[list[Any]] = []
    connection: http.client.HTTPConnection | None = None
    start = time.perf_counter()
    with selectors.DefaultSelector() as selector:
        selector.register(sys.stdin, selectors.EVENT_READ)
        # Until its stdin is closed.
        while not selector.select(max(0.0, start + len(visits) / order["rate"] - time.perf_counter())):
            method, target, kind, body = requests[len(visits) % len(requests)]
            begun = time.perf_counter()
            try:
                connection = connection or http.client.HTTPConnection(parts.netloc, timeout=30)
                connection.request(method, target, body or None, {"Content-Type": kind} if kind else {})
                response = connection.getresponse()
                response.read()
                status = response.status
            except (OSError, http.client.HTTPException):
                status = 0
            visits.append([target, status, (time.perf_counter() - begun) * 1000])
            if connection and (order["fresh"] or not status):
                connection.close()
                connection = None
    return visits


if __name__ == "__main__":
    instructions = json.loads(sys.stdin.readline())
    os.write(1, b"ready\n")
    print(json.dumps(_visit(instructions)))
