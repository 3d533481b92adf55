"""A connection's bytes -> requests, within bounds. Time and room are `protocol`'s.

One parser reads all requests: httptools, which is llhttp, for its speed and because it refuses what smuggling
needs (two lengths of a body, bare line feeds). What it and uvicorn's protocol around it lack is here: bounds
before anything is buffered, the rules in `framing`, and requests that ask for another protocol in vain.
"""

import asyncio
import socket
import ssl
import struct
from dataclasses import dataclass
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from service.errors import HeadTooLarge, MalformedRequest, ProtocolError, TargetTooLong, TooManyHeaders
from service.http import framing
from service.http.deadlines import BODY, HEAD, IDLE, Reading
from service.http.framing import NOTED, Header
from service.http.limits import ConnectionLimits
from service.telemetry.metrics import Metrics

BODY_SLICE = 64 * 1024
"""Bytes of a body that are copied at once; memory for more would be asked of the system each time."""

CHUNKS, CHUNK_BYTES = 1024, 64
"""A body may come in so many chunks more than pieces, and one more for each of these bytes."""

_NO_LINGER = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Guard:
    """What the connections of one app share; the app's lifespan yields it as `guard`."""

    limits: ConnectionLimits
    metrics: Metrics
    tls: ssl.SSLContext | None = None
    root_path: str = ""
    """The path below which proxies show the app."""


class Connection(HttpToolsProtocol):
    """Reads requests from one connection. The base class is private to uvicorn: tests guard each release."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        guard: Guard = app_state["guard"]
        self._tls, self._prefix = guard.tls, guard.root_path
        self._limits, self._errors = guard.limits, guard.metrics.protocol_errors
        self._slice = guard.limits.max_head_bytes
        # Without uvicorn's leniency for what follows a request with `Connection: close`.
        self.parser = httptools.HttpRequestParser(self)
        self.url, self.headers = b"", []
        self._noted: list[Header] = []
        # The noted headers of the request before, where they are nothing but a good Host.
        self._host: list[Header] | None = None
        self._reading = Reading()
        # A body's chunks, and what came since the last; the piece being parsed.
        self._chunks = self._bare_bytes = self._piece = 0
        # The body's Content-Length, 0 where it is chunked; None before it was asked for.
        self._length: int | None = None
        self._upgrading = False
        self._unread = b""
        # Nothing more is read once this is set: after `Connection: close`, or after an error.
        self._deaf = False
        # The request that is being answered.
        self._running: tuple[RequestResponseCycle, asyncio.Task[None]] | None = None

    def _refuse(self, error: ProtocolError) -> None:
        """Answer what is no request with an error, and end the connection."""
        raise NotImplementedError

    def data_received(self, data: bytes) -> None:
        """Parse what came in, in pieces of no more than a head may have."""
        if self._deaf:
            return
        if self._unread or len(data) > self._slice:
            self._unread += data
            self._catch_up()
        elif (taken := self._feed(data)) < len(data):
            self._unread = data[taken:]
            self._catch_up()

    def _catch_up(self) -> None:
        """Parse what was set aside, up to a request that has to wait for the one before it."""
        view, taken = memoryview(self._unread), 0
        while taken < len(view) and not self._deaf and not self.pipeline:
            taken += self._feed(view[taken : taken + self._next_slice()])
        self._unread = b"" if self._deaf else bytes(view[taken:])
        if self._unread:
            self.flow.pause_reading()

    def _next_slice(self) -> int:
        """Return how much may be parsed at once: what can only be body, or as much as a head may have."""
        if self._reading.stage != BODY:
            return self._slice
        if self._length is None:
            self._length = int(dict(self.headers).get(b"content-length", 0))
        return max(self._slice, min(self._length - self._reading.body_bytes, BODY_SLICE))

    def _feed(self, piece: bytes | memoryview) -> int:
        """Parse a piece; return how many of its bytes have been taken."""
        taken = self._piece = len(piece)
        fresh = self._reading.stage == IDLE
        if fresh:
            self._reading.begin(HEAD, self.loop.time())
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade as upgrade:
            taken = upgrade.args[0]
            self._ignore_upgrade()
        except httptools.HttpParserInvalidMethodError:
            self._refuse(framing.misfit(bytes(piece) if fresh or not self._reading.head_bytes else b""))
        except httptools.HttpParserError as error:
            self._refuse(_reason(error))
        if self._reading.stage != IDLE and not self._deaf:
            self._check_piece()
        return taken

    def _check_piece(self) -> None:
        """Refuse what has grown past its bounds and is still not complete."""
        if self._reading.stage == HEAD:
            self._reading.head_bytes += self._piece
            error = self._oversize()
            if error is None and self._reading.head_bytes > self._limits.max_head_bytes:
                error = self._too_large()
            if error is not None:
                self._refuse(error)
            return
        # One part of a body per piece is how it comes in, however small the network's packets are.
        self._chunks = max(0, self._chunks - 1)
        self._bare_bytes += self._piece
        if (
            self._bare_bytes > self._slice + self._piece
            or self._chunks > CHUNKS + self._reading.body_bytes // CHUNK_BYTES
        ):
            self._refuse(
                MalformedRequest("Send a body with Content-Length, or in larger chunks without extras.")
            )

    def _ignore_upgrade(self) -> None:
        """Read the head again without its wish for another protocol; what follows it is its body."""
        method, version = self.parser.get_method(), self.parser.get_http_version()
        self._upgrading = False
        self._reading.head_bytes = 0
        self.parser = httptools.HttpRequestParser(self)
        self._feed(framing.head_without_upgrade(method, self.url, version, self.headers))

    def on_message_begin(self) -> None:
        """Begin a request."""
        if self._deaf:
            raise MalformedRequest("Nothing is answered after a request with Connection: close.")
        super().on_message_begin()
        self._noted = []
        if self._reading.stage != HEAD:
            # Within a piece, behind another request: this piece is not all its own.
            self._reading.stage, self._reading.since, self._reading.head_bytes = (
                HEAD,
                self.loop.time(),
                1 - self._piece,
            )

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; what trails a body is not kept (RFC 9110, section 6.5.1)."""
        if self._reading.stage != HEAD:
            return
        name = name.lower()
        self.headers.append((name, value))
        if name in NOTED:
            self._noted.append((name, value))

    def on_headers_complete(self) -> None:
        """Check the head and start the request."""
        parser = self.parser
        method, version = parser.get_method(), parser.get_http_version()
        framing.check_line(method, self.url, version)
        if self._noted != self._host or version != "1.1":
            self._check_noted(version)
        self._check_size()
        if parser.should_upgrade():
            self._upgrading = True
            return
        super().on_headers_complete()
        self._reading.begin(BODY, self.loop.time())
        self._chunks = self._bare_bytes = 0
        self._length = None
        if self.expect_100_continue or self._reading.stops is not None:
            # Who gets an answer instead of 100 Continue may send the body or not: nothing can follow it.
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body."""
        self._reading.body_bytes += len(body)
        self._chunks += 1
        self._bare_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End the request."""
        if self._upgrading:
            return
        self._reading.stage = IDLE
        cycle = self.cycle
        if self.expect_100_continue and not cycle.response_started and self._reading.stops is None:
            cycle.keep_alive = self.parser.should_keep_alive()
        if cycle.response_complete:
            self._reading.since = self.loop.time()
        elif not cycle.keep_alive:
            self._deaf = True
        super().on_message_complete()

    def _check_noted(self, version: str) -> None:
        framing.check_noted(self._noted, version)
        self.expect_100_continue = version == "1.1" and any(
            name == b"expect" and value.lower() == b"100-continue" for name, value in self._noted
        )
        if len(self._noted) == 1 and version == "1.1":
            # As a rule the next request on this connection has the same.
            self._host = self._noted

    def _check_size(self) -> None:
        error = self._oversize()
        if error is None and self._reading.head_bytes + self._piece > self._limits.max_head_bytes:
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if size > self._limits.max_head_bytes:
                error = self._too_large()
        if error is not None:
            raise error

    def _oversize(self) -> ProtocolError | None:
        limits = self._limits
        if len(self.url) > limits.max_target_bytes:
            return TargetTooLong(f"At most {limits.max_target_bytes:,} bytes are allowed in an address.")
        if len(self.headers) > limits.max_headers:
            return TooManyHeaders(f"At most {limits.max_headers} headers are allowed here.")
        return None

    def _too_large(self) -> HeadTooLarge:
        return HeadTooLarge(f"At most {self._limits.max_head_bytes:,} bytes of headers are allowed here.")


def reset(transport: asyncio.WriteTransport) -> None:
    """End a connection at once.

    Closed in the usual way, the system would keep what was not taken, megabytes, for a client who takes
    nothing, and for longer than the connection was kept here.
    """
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    transport.abort()


def _reason(error: httptools.HttpParserError) -> ProtocolError:
    """Return what a callback of the parser raised, or that the parser did not like what it read."""
    if isinstance(error.__context__, ProtocolError):
        return error.__context__
    return MalformedRequest("What was received is not an HTTP/1.1 request of one clear meaning (RFC 9112).")
