"""The service with faults planted in it: `python -m benchmarks.torture.planted leak poison -- <its options>`.

A detector that has never found anything proves nothing: `leak` keeps 1 kB of each request for ever. `poison`
has the engine raise for a batch that holds an image of nothing but `POISON`, as a bug of a framework would.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from starlette.types import Receive, Scope, Send

from service import __main__ as command
from service import engines
from service.engines import Engine, Outputs
from service.http import middleware

LEAK_BYTES = 1024
POISON = 77


def leak() -> None:
    """Keep something of each request."""
    kept: list[bytes] = []
    answer = middleware.Observed.__call__

    async def leaky(self: middleware.Observed, scope: Scope, receive: Receive, send: Send) -> None:
        kept.append(os.urandom(LEAK_BYTES))
        await answer(self, scope, receive, send)

    middleware.Observed.__call__ = leaky  # type: ignore[method-assign]


def poison() -> None:
    """Have every engine choke on one image."""
    load = engines.load

    def poisoned(
        name: engines.Name,
        folder: Path,
        precision: engines.Precision,
        threads: int,
        max_batch: int,
        check: engines.Check = engines.unchecked,
    ) -> Engine:
        engine = load(name, folder, precision, threads, max_batch, check)

        def run(images: NDArray[np.uint8], solo: bool) -> Outputs:
            if (images == POISON).all(axis=(1, 2, 3)).any():
                raise RuntimeError("poison")
            return engine.run(images, solo)

        return replace(engine, run=run)

    engines.load = poisoned


PLANTS: dict[str, Callable[[], None]] = {"leak": leak, "poison": poison}


def main() -> None:
    """Plant, then serve."""
    end = sys.argv.index("--")
    for name in sys.argv[1:end]:
        PLANTS[name]()
    sys.argv[1:] = sys.argv[end + 1 :]
    command.main()


if __name__ == "__main__":
    main()
