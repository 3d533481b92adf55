"""`create_app(settings)`: builds the parts, wires them, owns their lives; decides nothing."""

import asyncio
import gc
import logging
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from importlib import metadata
from typing import Any

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from service import problems
from service.connection import Guard, Limits
from service.context import Context
from service.metrics import Metrics
from service.middleware import Observed
from service.priority import HANDS, step_back
from service.repository import Repository
from service.routes import health, models, predict
from service.routes.direct import Shortcut, add_routes
from service.settings import Settings


def configure_logging(settings: Settings) -> None:
    """Log to stderr, one line per message."""
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )


def _load(repository: Repository, niceness: int) -> None:
    """Load the models, and let the garbage collector pass over all that stays for good.

    Otherwise each of its full rounds looks at every object of every library while requests wait.
    """
    # Before an engine starts its threads, which inherit it.
    step_back(niceness)
    repository.load()
    gc.collect()
    gc.freeze()
    # What requests leave behind holds no cycles: a young round each 700 objects finds nothing.
    gc.set_threshold(10_000, 20, 20)


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return an app of its own; without settings, they come from the environment.

    It answers /livez at once, and /readyz when the models, loaded in the background, are live.
    """
    if settings is None:
        # By uvicorn's --factory or in a worker: nobody else has set this process up.
        settings = Settings()
        configure_logging(settings)
    metrics = Metrics()
    hands = ThreadPoolExecutor(
        settings.decode_threads,
        "hand",
        initializer=step_back,
        initargs=(min(HANDS, settings.engine_niceness),),
    )
    repository = Repository(settings, hands, metrics)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        # A thread that has decoded or computed waits so long for the loop to let it go on; Python's own 5 ms
        # are longer than most of what is done here.
        sys.setswitchinterval(0.0005)
        loader = ThreadPoolExecutor(1, thread_name_prefix="loader")
        loading = asyncio.get_running_loop().run_in_executor(
            loader, _load, repository, settings.engine_niceness
        )
        try:
            # What a lifespan yields is what uvicorn makes each connection with.
            yield {"guard": Guard(Limits.of(settings), metrics)}
        finally:
            await loading
            await repository.close()
            hands.shutdown()
            loader.shutdown()

    # Offline: /docs brings its own scripts instead of sending the browser to somebody else's server.
    app = FastAPIOffline(
        title="Striate",
        summary="Posted images in, answers that a person can read out.",
        version=metadata.version("striate"),
        lifespan=lifespan,
        redoc_url=None,
        redirect_slashes=False,
        # Its spans and counters would repeat ours; looking for a provider costs each request 10 microseconds.
        telemetry={"tracing": False, "metrics": False},
    )
    app.state.context = Context(settings, repository, metrics)
    problems.install(app)
    for face in (predict, models, health):
        add_routes(app, face.router)
    # Around all that FastAPI builds, its own answers to bugs too. To add middleware after this is an error.
    app.middleware_stack = Observed(Shortcut(app, app.build_middleware_stack()), metrics)
    return app
