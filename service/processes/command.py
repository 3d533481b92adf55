"""The command line: settings from it and the environment, then one server or several workers."""

import logging
import socket
import sys
from functools import partial
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError
from pydantic_settings import CliApp, SettingsConfigDict
from uvicorn.config import STARTUP_FAILURE

from service.access import keys
from service.access.rules import Access
from service.addresses import is_loopback
from service.app import create_app
from service.configuration import complaints
from service.configuration.settings import Settings, StartRefused
from service.http import descriptors, tls
from service.http.protocol import GuardedProtocol
from service.processes import listeners
from service.processes.listeners import AddressTaken
from service.processes.server import Server, graceful_seconds
from service.processes.supervisor import Supervisor
from service.telemetry import logs

log = logging.getLogger("service")


class _CommandLine(Settings):
    """Serve the models in a folder over HTTP. Every option can also be set as STRIATE_<OPTION>."""

    model_config = SettingsConfigDict(cli_prog_name="python -m service", cli_kebab_case=True)


def main() -> None:
    """Parse, configure logging, serve until SIGTERM or SIGINT. Exit status 2: a setting is wrong; 3: the
    address is taken, or the app does not start; 130: Ctrl-C.
    """
    if sys.argv[1:2] == ["keys"]:
        keys.main(sys.argv[2:])
        return
    try:
        settings = CliApp.run(_CommandLine)
    except ValidationError as error:
        _give_up(2, *complaints.of(error))
    logs.configure(settings.log_level)
    for warning in complaints.unknown():
        log.warning("%s", warning)
    try:
        # The workers come too late to say it.
        Access(settings)
        if settings.auth == "off" and not is_loopback(settings.published_host or settings.host):
            log.warning("without keys, everybody may ask who reaches this service")
        status = _serve(settings)
    except StartRefused as error:
        _give_up(STARTUP_FAILURE if isinstance(error, AddressTaken) else 2, str(error))
    logs.settle()
    sys.exit(status)


def _give_up(status: int, *sentences: str) -> Any:
    logs.settle()
    sys.stderr.writelines(f"error: {sentence}\n" for sentence in sentences)
    sys.exit(status)


def _serve(settings: Settings) -> int:
    options: dict[str, Any] = {
        "http": GuardedProtocol,
        "ws": "none",
        "timeout_keep_alive": settings.keep_alive_seconds,
        "loop": "uvloop",
        "log_config": None,
        "access_log": False,
        "server_header": False,
        # Nothing here depends on the client's address, which a proxy's headers would tell.
        "proxy_headers": False,
        "timeout_graceful_shutdown": graceful_seconds(settings.stop_seconds),
        **tls.options(settings),
    }
    descriptors.allow(settings.max_connections)
    sockets = listeners.bind(settings.host, settings.port)
    settings, administration = _bind_administration(settings)
    listeners.listen([*sockets, *administration])
    scheme = "https" if settings.tls_cert_file else "http"
    where = listeners.address_of(sockets[0], settings.host)
    log.info("running on %s://%s (Press CTRL+C to quit)", scheme, where)
    if settings.workers == 1:
        return _run(settings, options, [*sockets, *administration])
    return Supervisor(settings, options, [*sockets, *administration]).run()


def _run(settings: Settings, options: dict[str, Any], sockets: list[socket.socket]) -> int:
    app = create_app(settings)
    server = Server(
        uvicorn.Config(app, **options),
        partial(_say_not_ready, app),
        settings.drain_seconds,
        settings.stop_seconds,
    )
    server.run(sockets)
    return 0 if server.started else STARTUP_FAILURE


def _say_not_ready(app: FastAPI) -> None:
    app.state.draining = True


def _bind_administration(settings: Settings) -> tuple[Settings, list[socket.socket]]:
    """Bind the listener that the app tells apart by its port, if there is to be one."""
    if settings.admin_port is None:
        return settings, []
    try:
        bound = listeners.bind(settings.admin_host, settings.admin_port)
    except StartRefused as error:
        raise type(error)(f"The listener for administration: {error}") from None
    port = bound[0].getsockname()[1]
    log.info("administration on port %d of %s", port, settings.admin_host)
    return settings.model_copy(update={"admin_port": port}), bound
