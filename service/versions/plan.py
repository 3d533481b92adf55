"""What to do about one model, decided from what is on disk, what is in memory and what is wanted. No I/O."""

from dataclasses import dataclass

from service.versions.policy import Policy


@dataclass(frozen=True)
class View:
    """What is known of one model. All are version numbers."""

    usable: frozenset[int]
    """On disk, and not failed before (or it is time to try again)."""
    loaded: frozenset[int]
    """In memory, checked, and the same as on disk where it still is there."""
    live: int | None
    """The one that answers; it may be outdated, and thus not in `loaded`."""
    previous: int | None
    """The one that answered before."""
    policy: Policy


@dataclass(frozen=True)
class Plan:
    """What is to be."""

    live: int | None
    """The one to answer requests without version and label."""
    canary: int | None
    """The one to answer its share of them."""
    keep: frozenset[int]
    """All that stay in memory."""
    load: int | None
    """The one to load next."""


def decide(view: View, *, keep_previous: bool) -> Plan:
    """Make the plan. A live version is only ever replaced by one that is loaded; none is unloaded before."""
    target = _target(view)
    asked = [target, *(version for _, version in sorted(view.policy.labels.items()))]
    load = next((each for each in asked if each in view.usable and each not in view.loaded), None)
    live = target if target in view.loaded else view.live
    canary = view.policy.labels.get("canary")
    shared = canary if view.policy.canary_share and canary in view.loaded else None
    previous = view.previous if live == view.live else view.live
    keep = {live, *(each for each in asked if each in view.loaded)}
    if keep_previous:
        keep.add(previous)
    return Plan(live, shared, frozenset(each for each in keep if each is not None), load)


def _target(view: View) -> int | None:
    if view.policy.stable is not None:
        return view.policy.stable
    # What is deleted on disk goes on: to go back is for the operator to say, by a policy.
    return max(view.usable | ({view.live} - {None}), default=None)  # type: ignore[type-var]
