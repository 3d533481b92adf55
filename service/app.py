"""`create_app(settings)`: builds the parts, wires them, owns their lives; decides nothing."""

import gc
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib import metadata

from fastapi import FastAPI

from service.access.rules import Access
from service.configuration.settings import Settings
from service.context import Context
from service.decoding.pool import Hands
from service.http import problems, tls
from service.http.connection import Guard
from service.http.limits import ConnectionLimits
from service.http.middleware import Observed, below_prefix, crossing
from service.pages import rendering
from service.pages.shelf import Shelf
from service.priority import step_back, step_back_natives
from service.routes import admin, docs, explain, health, index, models, openapi, pages, predict, tfs, v2
from service.routes.direct import Shortcut, add_routes
from service.telemetry import logs
from service.telemetry.metrics import Metrics
from service.versions.repository import Repository
from service.versions.watcher import Watcher

_DIALECTS = {"v2": v2, "tfs": tfs}
"""The faces to clients of other servers, by the names that the setting has for them."""


def _settle(niceness: int) -> None:
    """Have what computes step back, and the garbage collector pass over all that stays for good.

    The engines' threads inherit their priority from the one that loads, which is this one: the models that
    come to life at the start are loaded at full priority, as nobody waits behind them, later ones at this.
    The collector would otherwise look at every object of every library while requests wait, each full round.
    """
    step_back(niceness)
    step_back_natives(niceness)
    gc.collect()
    gc.freeze()
    # What requests leave behind holds no cycles: a young round each 700 objects finds nothing.
    gc.set_threshold(10_000, 20, 20)


def _add_faces(app: FastAPI, settings: Settings, access: Access) -> None:
    problems.install(app)
    app.state.shelf = Shelf()
    spoken = [face for dialect, face in _DIALECTS.items() if dialect in settings.dialects_spoken]
    for face in (predict, explain, models, health, admin, index, pages, *spoken):
        add_routes(app, face.router)
    openapi.complete(app, settings.max_images, keys_needed=access.keys_needed)


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return an app of its own; without settings, they come from the environment.

    It answers /livez at once, and /readyz when the models, loaded in the background, are live.
    """
    if settings is None:
        # By uvicorn's --factory or in a worker: nobody else has set this process up.
        settings = Settings()
        logs.configure(settings.log_level)
    metrics = Metrics()
    access = Access(settings)
    hands = Hands(settings)
    repository = Repository(metrics)
    watcher = Watcher(settings, repository, hands, metrics)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Guard]]:
        # A thread that has decoded or computed waits so long for the loop to let it go on; Python's own 5 ms
        # are longer than most of what is done here.
        sys.setswitchinterval(0.0005)
        rendering.prepare()
        hands.start()
        watcher.start(partial(_settle, settings.engine_niceness))
        access.start()
        try:
            # What a lifespan yields is what uvicorn makes each connection with.
            yield {
                "guard": Guard(
                    ConnectionLimits.of(settings), metrics, tls.context(settings), settings.root_path
                )
            }
        finally:
            access.close()
            await watcher.stop()
            await repository.close()
            hands.shutdown()
            logs.settle()

    app = docs.application(
        shown=settings.docs_shown,
        title="Striate",
        summary="Posted images in, answers that a person can read out.",
        version=metadata.version("striate"),
        lifespan=lifespan,
        redirect_slashes=False,
        # Its spans and counters would repeat ours; looking for a provider costs each request 10 microseconds.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.draining = False
    app.state.context = Context.of(settings, repository, metrics, access)
    _add_faces(app, settings, access)
    # Around all that FastAPI builds, its own answers to bugs too. To add middleware after this is an error.
    shortcut = Shortcut(app, app.build_middleware_stack())
    app.middleware_stack = Observed(crossing(below_prefix(shortcut, settings), settings), metrics)
    return app
