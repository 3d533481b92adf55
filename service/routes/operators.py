"""Who may operate: what is asked for beside a route's own role."""

from starlette.requests import Request

from service import addresses
from service.context import context_of
from service.errors import Forbidden, LocalOnly


def require_operator(request: Request) -> None:
    """Refuse all but operators something of a route that others may ask, too."""
    access = context_of(request).access
    if access.hides(request.scope, "operate"):
        raise Forbidden("Only the listener for administration, at STRIATE_ADMIN_PORT, does this.")
    # A key that may has been counted at the door.
    if not (access.keys_needed and access.may(request.scope, "operate")):
        access.check(request.scope, "operate")
    require_local(request)


def is_operator(request: Request) -> bool:
    """Whether `require_operator` would let the request in; counts nothing."""
    access = context_of(request).access
    if access.keys_needed and not access.may(request.scope, "operate"):
        return False
    try:
        require_operator(request)
    except (Forbidden, LocalOnly):
        return False
    return True


def require_local(request: Request) -> None:
    """Where no keys are needed, refuse whoever came by a name that somebody has bound to this machine.

    A key with the role operate, or that the client is on this machine and no proxy in between, has been asked
    for before (`Access.check`).
    """
    if context_of(request).access.keys_needed:
        return
    if not addresses.is_loopback(request.url.hostname or ""):
        raise LocalOnly("This address answers only requests from the machine itself, to localhost.")
