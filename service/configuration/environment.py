"""Variables of the environment that are settings, and those that only look so."""

import re
from collections.abc import Mapping

from pydantic_settings import EnvSettingsSource

PREFIX = "STRIATE_"

_ADDRESS = r"[0-9.]+|[0-9A-Fa-f:]+"
_PROTOCOL = "tcp|udp|sctp"
_INJECTED = {
    "SERVICE_HOST": _ADDRESS,
    "SERVICE_PORT(_[A-Z0-9_]+)?": r"\d+",
    f"PORT(_\\d+_({_PROTOCOL.upper()}))?": rf"({_PROTOCOL})://({_ADDRESS}|\[[0-9A-Fa-f:]+\]):\d+",
    f"PORT_\\d+_({_PROTOCOL.upper()})_PROTO": _PROTOCOL,
    f"PORT_\\d+_({_PROTOCOL.upper()})_PORT": r"\d+",
    f"PORT_\\d+_({_PROTOCOL.upper()})_ADDR": _ADDRESS,
}
"""What Kubernetes puts into containers' environments for a Service called striate, or striate-admin: the ends
of the names, and the values (https://kubernetes.io/docs/concepts/services-networking/service)."""


def injected(name: str, value: str) -> bool:
    """Tell whether a variable is one that Kubernetes makes for a Service, by its name and form."""
    return name.upper().startswith(PREFIX) and any(
        re.fullmatch(f"{PREFIX}([A-Z0-9_]+_)?{ending}", name.upper()) and re.fullmatch(form, value)
        for ending, form in _INJECTED.items()
    )


class Environment(EnvSettingsSource):
    """The environment, without what Kubernetes puts there."""

    def _load_env_vars(self) -> Mapping[str, str | None]:
        found = super()._load_env_vars()
        return {name: value for name, value in found.items() if not injected(name, value or "")}
