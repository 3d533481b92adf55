"""`python -m service`: settings from the command line and the environment, then uvicorn."""

import logging

import uvicorn
from pydantic_settings import CliApp, SettingsConfigDict

from service.app import create_app
from service.settings import Settings


class _CommandLine(Settings):
    """Serve the models in a folder over HTTP. Every option can also be set as STRIATE_<OPTION>."""

    model_config = SettingsConfigDict(cli_prog_name="python -m service", cli_kebab_case=True)


def main() -> None:
    """Parse, configure logging, serve until SIGTERM or SIGINT."""
    settings = CliApp.run(_CommandLine)
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        http="httptools",
        loop="uvloop",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=30,
    )


if __name__ == "__main__":
    main()
