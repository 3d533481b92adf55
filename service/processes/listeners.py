"""The sockets that the service listens on: bound before anything else, and closed without losing anybody."""

import errno
import os
import select
import socket
import struct
import sys
import time
from collections.abc import Sequence

from service.configuration.settings import StartRefused

BACKLOG = 2048
"""Connections that may wait to be accepted. The system allows fewer (net.core.somaxconn)."""

SETTLE_SECONDS = 0.1
"""How long a handshake that has begun may take to end, once no new ones are let in."""

EMPTY_SECONDS = 5.0
"""How long connections that wait to be accepted are waited for, at most."""

_ATTACH_FILTER = 26
"""SO_ATTACH_FILTER of Linux (asm-generic/socket.h), which Python does not name."""

# Classic BPF (socket(7)): of a segment's TCP flags, SYN without ACK asks for a new connection and is dropped.
_NO_NEW_ONES = b"".join(
    struct.pack("=HBBI", *instruction)
    for instruction in (
        (0x30, 0, 0, 13),  # load the flags
        (0x54, 0, 0, 0x12),  # of these SYN and ACK
        (0x15, 0, 1, 0x02),  # SYN alone?
        (0x06, 0, 0, 0),  # drop it
        (0x06, 0, 0, 0xFFFFFFFF),  # keep all others
    )
)


class AddressTaken(StartRefused):
    """The address cannot be listened on now."""


def bind(host: str, port: int) -> list[socket.socket]:
    """Bind every address of a host at one port, 0 for any free one. StartRefused where that cannot be.

    `::` is every address, IPv4's too, whatever the system's bindv6only says; an IPv4 client is then seen by
    its own address. A name is every address that it has here.
    """
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise StartRefused(f"The host {host!r} has no address here: {error.strerror}.") from None
    addresses = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
    bound: list[socket.socket] = []
    several = len(addresses) > 1
    try:
        for family, address in addresses:
            try:
                bound.append(_bind(family, (address[0], port, *address[2:]), alone=not several))
            except OSError as error:
                # A name may have an address of a family that this system lacks.
                if not several or error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                    raise
                continue
            port = bound[0].getsockname()[1]
    except OSError as error:
        close(bound)
        raise _refusal(host, port, error) from None
    if not bound:
        raise StartRefused(f"None of the addresses of {host} is this machine's.")
    return bound


def _bind(family: int, address: tuple[object, ...], *, alone: bool) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(not alone or address[0] != "::"))
        made.bind(address)
    except OSError:
        made.close()
        raise
    return made


def _refusal(host: str, port: int, error: OSError) -> StartRefused:
    reason = (error.strerror or os.strerror(error.errno or 0)).lower()
    # What another has now may be free later; what this machine does not have is a setting that is wrong.
    kind = AddressTaken if error.errno == errno.EADDRINUSE else StartRefused
    return kind(f"Port {port} of {host} cannot be listened on: {reason}.")


def address_of(listener: socket.socket, host: str) -> str:
    """Return the host as it stands in an address, with the port."""
    return f"{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"


def listen(listeners: Sequence[socket.socket]) -> None:
    """Let connections in; they wait to be accepted. StartRefused where another listens there."""
    for listener in listeners:
        try:
            listener.listen(BACKLOG)
        except OSError as error:
            host, port, *_ = listener.getsockname()
            raise _refusal(host, port, error) from None


def close(listeners: Sequence[socket.socket]) -> None:
    """Close them, in this process."""
    for listener in listeners:
        listener.close()


class Closing:
    """Lets no new connection in, in any process that has the sockets, and tells when the queues are empty.

    Closed at once, a listener would have the kernel reset whoever waits in its queue. So first a filter drops
    what would open a connection: that client's system asks again a second later, and is refused. On systems
    without such a filter those who come between the last look and the end are reset.
    """

    def __init__(self, listeners: Sequence[socket.socket]) -> None:
        self._listeners = [listener for listener in listeners if listener.fileno() >= 0]
        now = time.monotonic()
        self._settled, self._ends = now + SETTLE_SECONDS, now + EMPTY_SECONDS
        for listener in self._listeners:
            _keep_out(listener)

    def done(self) -> bool:
        """Tell whether nobody waits to be accepted any more, or has waited too long."""
        now = time.monotonic()
        if now < self._settled:
            return False
        return now >= self._ends or not waiting(self._listeners)


def waiting(listeners: Sequence[socket.socket]) -> bool:
    """Tell whether connections wait to be accepted."""
    poll = select.poll()
    for listener in listeners:
        poll.register(listener.fileno(), select.POLLIN)
    return any(events & select.POLLIN for _, events in poll.poll(0))


def _keep_out(listener: socket.socket) -> None:
    if sys.platform != "linux":
        return
    import ctypes

    code = ctypes.create_string_buffer(_NO_NEW_ONES, len(_NO_NEW_ONES))
    program = struct.pack("HxxxxxxP", len(_NO_NEW_ONES) // 8, ctypes.addressof(code))
    listener.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, program)
