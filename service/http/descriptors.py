"""How many files and connections this process may have open at a time, by the system's limit."""

import logging
import resource
from contextlib import suppress

log = logging.getLogger("service")

BESIDES = 192
"""Descriptors for all but the connections that are answered: models, decoders, files that are being read, and
connections that are only told that there are too many."""


def allow(connections: int) -> None:
    """Raise the limit of this process, and of those it starts, to what so many connections need, as far as
    the system lets it.

    The usual limit, 1,024, is a soft one, kept low for programs that use select(2); nothing here does.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + BESIDES
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        # macOS tells no limit, and has one.
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def connections(most: int) -> int:
    """Return how many connections there is room for, of `most`.

    Where descriptors ran out before, nobody would be accepted any more, and no idle connection make room.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= most + BESIDES:
        return most
    fewer = max(soft - BESIDES, soft // 2)
    if fewer >= most:
        return most
    log.warning(
        "max_connections is %d, but %d descriptors (ulimit -n) are enough for %d: so many it is",
        most,
        soft,
        fewer,
    )
    return fewer
