"""`python -m service`: settings from the command line and the environment, then uvicorn."""

import logging
import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic_settings import CliApp, SettingsConfigDict
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from service import keys, logs, tls
from service.access import Access
from service.addresses import is_loopback
from service.app import create_app
from service.metrics import MULTIPROCESS
from service.protocol import GuardedProtocol
from service.server import Server
from service.settings import Settings, StartRefused, misspelt

log = logging.getLogger("service")

GRACE_SECONDS = 30
"""How long a stop waits for requests in flight."""


class _CommandLine(Settings):
    """Serve the models in a folder over HTTP. Every option can also be set as STRIATE_<OPTION>."""

    model_config = SettingsConfigDict(cli_prog_name="python -m service", cli_kebab_case=True)


def main() -> None:
    """Parse, configure logging, serve until SIGTERM or SIGINT."""
    if sys.argv[1:2] == ["keys"]:
        keys.main(sys.argv[2:])
        return
    if unknown := misspelt():
        sys.exit(f"error: no such setting: {', '.join(unknown)}; `python -m service --help` lists them.")
    settings = CliApp.run(_CommandLine)
    logs.configure(settings.log_level)
    try:
        # The workers come too late to say it.
        Access(settings)
        if settings.auth == "off" and not is_loopback(settings.published_host or settings.host):
            log.warning("without keys, everybody may ask who reaches this service")
        _serve(settings)
    except StartRefused as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)


def _serve(settings: Settings) -> None:
    options: dict[str, Any] = {
        "host": settings.host,
        "port": settings.port,
        "http": GuardedProtocol,
        "ws": "none",
        "timeout_keep_alive": settings.keep_alive_seconds,
        "loop": "uvloop",
        "log_config": None,
        "access_log": False,
        "server_header": False,
        # Nothing here depends on the client's address, which a proxy's headers would tell.
        "proxy_headers": False,
        "timeout_graceful_shutdown": GRACE_SECONDS,
        **tls.options(settings),
    }
    if settings.admin_port is not None:
        _serve_with_administration(settings, options)
        return
    if settings.workers == 1:
        _run(settings, options)
        return
    with _environment_of_workers(settings):
        uvicorn.run("service.app:create_app", factory=True, workers=settings.workers, **options)


def _run(settings: Settings, options: dict[str, Any], sockets: list[socket.socket] | None = None) -> None:
    app = create_app(settings)
    server = Server(uvicorn.Config(app, **options), partial(_say_not_ready, app), settings.drain_seconds)
    server.run(sockets)
    if not server.started:
        sys.exit(STARTUP_FAILURE)


def _say_not_ready(app: FastAPI) -> None:
    app.state.draining = True


def _serve_with_administration(settings: Settings, options: dict[str, Any]) -> None:
    """Serve on two listeners, which the app tells apart by the port that a connection came in on."""
    family = socket.AF_INET6 if ":" in settings.admin_host else socket.AF_INET
    try:
        admin = socket.create_server((settings.admin_host, settings.admin_port or 0), family=family)
    except OSError as error:
        where = f"port {settings.admin_port} of {settings.admin_host}"
        raise StartRefused(f"The administration cannot listen on {where}: {error.strerror}.") from None
    admin.set_inheritable(True)
    settings = settings.model_copy(update={"admin_port": admin.getsockname()[1]})
    log.info("administration on port %d of %s", settings.admin_port, settings.admin_host)
    with suppress(KeyboardInterrupt):
        if settings.workers == 1:
            config = uvicorn.Config("service.app:create_app", **options)
            _run(settings, options, [config.bind_socket(), admin])
            return
        config = uvicorn.Config("service.app:create_app", factory=True, workers=settings.workers, **options)
        with _environment_of_workers(settings):
            Multiprocess(config, sockets=[config.bind_socket(), admin]).run()


@contextmanager
def _environment_of_workers(settings: Settings) -> Iterator[None]:
    """Hand the settings on, and a folder in which the workers count together."""
    with tempfile.TemporaryDirectory(prefix="striate-metrics-") as folder:
        os.environ.update(settings.as_environment() | {MULTIPROCESS: folder})
        yield


if __name__ == "__main__":
    main()
