"""`python -m service`: settings from the command line and the environment, then uvicorn."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from pydantic_settings import CliApp, SettingsConfigDict

from service.app import configure_logging, create_app
from service.metrics import MULTIPROCESS
from service.protocol import GuardedProtocol
from service.settings import Settings, misspelt

GRACE_SECONDS = 30
"""How long a stop waits for requests in flight."""


class _CommandLine(Settings):
    """Serve the models in a folder over HTTP. Every option can also be set as STRIATE_<OPTION>."""

    model_config = SettingsConfigDict(cli_prog_name="python -m service", cli_kebab_case=True)


def main() -> None:
    """Parse, configure logging, serve until SIGTERM or SIGINT."""
    if unknown := misspelt():
        sys.exit(f"error: no such setting: {', '.join(unknown)}; `python -m service --help` lists them.")
    settings = CliApp.run(_CommandLine)
    configure_logging(settings)
    options: dict[str, Any] = {
        "host": settings.host,
        "port": settings.port,
        "http": GuardedProtocol,
        "ws": "none",
        "loop": "uvloop",
        "log_config": None,
        "access_log": False,
        "server_header": False,
        # Nothing here depends on the client's address, which a proxy's headers would tell.
        "proxy_headers": False,
        "timeout_graceful_shutdown": GRACE_SECONDS,
    }
    if settings.workers == 1:
        uvicorn.run(create_app(settings), **options)
        return
    with _environment_of_workers(settings):
        uvicorn.run("service.app:create_app", factory=True, workers=settings.workers, **options)


@contextmanager
def _environment_of_workers(settings: Settings) -> Iterator[None]:
    """Hand the settings on, and a folder in which the workers count together."""
    with tempfile.TemporaryDirectory(prefix="striate-metrics-") as folder:
        os.environ.update(settings.as_environment() | {MULTIPROCESS: folder})
        yield


if __name__ == "__main__":
    main()
