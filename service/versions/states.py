"""What each version of a model is doing, in words that operators and clients of other servers are told."""

from dataclasses import dataclass
from typing import Literal

from service.versions.repository import Slot

State = Literal["available", "standby", "draining", "waiting", "refused", "live", "loading"]


@dataclass(frozen=True)
class VersionState:
    """`available` lies on disk alone; `standby` is in memory and answers who asks for it by its number."""

    state: State
    reason: str = ""
    """Why it is waiting or refused; for operators."""


def of(slot: Slot) -> dict[int, VersionState]:
    """Return the state of every version that is known, by number."""
    states = {version: VersionState("available") for version in slot.on_disk}
    states |= {version: VersionState("standby") for version in slot.loaded}
    states |= {version: VersionState("draining") for version in slot.draining}
    states |= {version: VersionState("waiting", reason) for version, reason in slot.waiting.items()}
    for version, reason in slot.refused.items():
        standing = version in states and states[version].state == "standby"
        states[version] = VersionState("standby" if standing else "refused", reason)
    live = {slot.policy.labels[label] for label in slot.policy.labels} & slot.loaded.keys()
    if slot.live is not None:
        live.add(slot.live.version)
    for version in live:
        states[version] = VersionState("live", states[version].reason if version in states else "")
    if slot.loading is not None:
        before = states.get(slot.loading, VersionState("loading"))
        states[slot.loading] = VersionState("loading", before.reason)
    return dict(sorted(states.items()))
