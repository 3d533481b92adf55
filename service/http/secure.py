"""A connection that speaks TLS: taken at accept like any other, so that its handshake is counted and timed.

A server that is given a certificate hands a connection over only when its handshake is done: until then
nobody counts it or ends it, and what is no TLS gets no answer. So the first bytes are looked at here.
"""

import asyncio
from contextlib import suppress
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.errors import MalformedRequest
from service.http.protocol import GuardedProtocol

_HANDSHAKE = 0x16
"""The first byte of a TLS connection: the type of a record that shakes hands (RFC 8446, section 5.1)."""

_PLAIN, _SHAKING, _SECURE = range(3)

_NOT_TLS = "This port speaks TLS, and the request came without it: ask by https, not by http."


class SecureProtocol(GuardedProtocol):
    """One connection to a port with a certificate; the app's `guard` has the context.

    A handshake has `head_seconds`, and so has the first head after it.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._state = _PLAIN
        # What came in with the end of the handshake.
        self._early = b""
        self._handshake: asyncio.Task[None] | None = None
        # What is under TLS, and whether it has been closed here.
        self._plain: asyncio.Transport | None = None
        self._left = False

    def data_received(self, data: bytes) -> None:
        """Parse what came in, once it is what the client meant."""
        if self._state == _SECURE:
            super().data_received(data)
        elif self._state == _SHAKING:
            self._early += data
        elif not self._deaf:
            self._begin(data)

    def _begin(self, data: bytes) -> None:
        if data[0] != _HANDSHAKE:
            self._refuse(MalformedRequest(_NOT_TLS))
            return
        self._state, self._reading.shaking = _SHAKING, True
        # Nothing more may come in before it comes in through TLS.
        self.transport.pause_reading()
        self._handshake = self.loop.create_task(self._shake_hands(data))

    @property
    def _taking_leave(self) -> bool:
        """Whether all is said, and TLS waits only for the client to end it, too: half a minute by default.

        A client with a pool of connections does not before it asks again; nobody need wait (RFC 8446, 6.1).
        """
        said = self._state == _SECURE and self.transport.is_closing() and not self._left
        return said and not self.transport.get_write_buffer_size()

    def _due(self) -> float:
        return self.loop.time() if self._taking_leave else super()._due()

    def _expire(self, now: float) -> None:
        if self._state == _SHAKING:
            # There is no way yet to say why.
            self.transport.abort()
        elif self._taking_leave:
            assert self._plain is not None
            self._left = True
            self._plain.close()
            # The last bytes have to be taken, too.
            self._writing.ends = now + self._limits.write_seconds
        else:
            super()._expire(now)

    async def _shake_hands(self, data: bytes) -> None:
        plain, context = self.transport, self._tls
        assert context
        # This connection's own timer ends it before.
        seconds = self._limits.head_seconds + 60
        starting = asyncio.create_task(
            self.loop.start_tls(plain, self, context, server_side=True, ssl_handshake_timeout=seconds)
        )
        # It has set itself up by then, and the loop will tell it next that it has a connection.
        await asyncio.sleep(0)
        self.loop.call_soon(_feed, plain, data)
        secure: asyncio.Transport | None = None
        with suppress(OSError, EOFError):
            secure = await starting
        if secure is not None and not plain.is_closing():
            self._plain = plain
            self._go_on(secure)
            return
        if self in self.connections:
            self._errors.labels("tls_handshake").inc()
        plain.abort()
        # Before the end of a handshake nobody else says so.
        self.connection_lost(None)

    def _go_on(self, secure: asyncio.Transport) -> None:
        """Begin as a connection does, with what stands for it from now on."""
        self._state, self._reading.shaking = _SECURE, False
        HttpToolsProtocol.connection_made(self, secure)
        self._reading.since = self.loop.time()
        if self._reading.stops is not None:
            # As long as any other for its first byte: it could not come before.
            self._reading.stops = self._reading.since
        self._set_alarm()
        early, self._early = self._early, b""
        if early:
            self.data_received(early)


def _feed(transport: asyncio.Transport, data: bytes) -> None:
    """Give what was read before the handshake began to the protocol that has taken over."""
    # uvloop's is no subclass, but does all that one does.
    protocol = cast("asyncio.BufferedProtocol", transport.get_protocol())
    view = memoryview(data)
    while view and not transport.is_closing():
        room = memoryview(protocol.get_buffer(len(view)))
        taken = min(len(room), len(view))
        room[:taken] = view[:taken]
        protocol.buffer_updated(taken)
        view = view[taken:]
