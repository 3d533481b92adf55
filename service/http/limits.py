"""What one connection, and all together, may take."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

from service.configuration.settings import Settings
from service.http import descriptors


@dataclass(frozen=True)
class ConnectionLimits:
    """Bytes, counts and seconds; the names are those of the settings."""

    max_connections: int
    max_head_bytes: int
    max_headers: int
    max_target_bytes: int
    head_seconds: float
    body_seconds: float
    body_grace_seconds: float
    min_body_bytes_per_second: int
    keep_alive_seconds: float
    write_seconds: float

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Take them from the settings, connections as far as there are descriptors for them."""
        found = {name: getattr(settings, name) for name in cls.__dataclass_fields__}
        return cls(**found | {"max_connections": descriptors.connections(settings.max_connections)})

    @cached_property
    def shortest_seconds(self) -> float:
        """The shortest time limit: whatever begins now ends no sooner."""
        times = (self.head_seconds, self.body_seconds, self.body_grace_seconds, self.keep_alive_seconds)
        return min(*times, self.write_seconds, 5.0)
