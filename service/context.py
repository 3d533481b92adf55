"""What the handlers of one app share."""

from dataclasses import dataclass

from starlette.requests import Request

from service.access import Access
from service.metrics import Metrics
from service.repository import Repository
from service.settings import Settings


@dataclass(frozen=True)
class Context:
    """Made by `create_app`, one per app."""

    settings: Settings
    repository: Repository
    metrics: Metrics
    access: Access


def context_of(request: Request) -> Context:
    """Return the context of the request's app."""
    context: Context = request.app.state.context
    return context
