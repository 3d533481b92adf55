"""What the handlers of one app share."""

from dataclasses import dataclass, field

from starlette.requests import Request

from service.access.rules import Access
from service.admission import Memory
from service.bodies.intake import BodyLimits
from service.configuration.settings import Settings
from service.dialects import Most
from service.tasks.task import Face
from service.telemetry.metrics import Metrics
from service.versions import defaults
from service.versions.defaults import Default
from service.versions.measuring import Measuring
from service.versions.repository import Repository


@dataclass(frozen=True)
class Context:
    """Made by `create_app`, one per app."""

    settings: Settings
    repository: Repository
    metrics: Metrics
    memory: Memory
    limits: BodyLimits
    most: Most
    access: Access
    defaults: dict[Face, Default]
    measuring: Measuring = field(default_factory=Measuring)

    @classmethod
    def of(cls, settings: Settings, repository: Repository, metrics: Metrics, access: Access) -> "Context":
        """Return a context with a memory and limits of its own, as the settings say."""
        limits = BodyLimits(settings.max_body_bytes, settings.max_images)
        memory = Memory(settings.max_held_bytes)
        most = Most(min(settings.max_rows, settings.max_queue), settings.max_images, settings.max_body_bytes)
        return cls(settings, repository, metrics, memory, limits, most, access, defaults.of(settings))


def context_of(request: Request) -> Context:
    """Return the context of the request's app."""
    context: Context = request.app.state.context
    return context
