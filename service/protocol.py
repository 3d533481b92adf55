"""HTTP/1.1 on a connection: uvicorn's httptools protocol, with the limits and deadlines that it lacks.

httptools is the one parser: it is as fast as C, and refuses what request smuggling is made of (two lengths, a
length beside chunks, bare line feeds). What it lets through is refused here: heads without end, hosts that
are missing or double, transfer codings other than chunked, clients that send nothing, or one byte at a time,
or do not read (RFC 9112; "Slowloris" and "R-U-Dead-Yet"). Every refusal is a problem document and closes the
connection.

It builds on private parts of uvicorn, whose version is pinned; tests/service/test_protocol.py is the guard.
"""

import asyncio
import random
import re
from dataclasses import dataclass, field
from typing import Any

import httptools
import orjson
from prometheus_client import Counter
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from service.admission import retry_after
from service.errors import (
    HeadTooLarge,
    MalformedRequest,
    NotImplementedHere,
    ProtocolError,
    RequestTimeout,
    Stopping,
    TargetTooLong,
    TooManyConnections,
)
from service.settings import Settings

SLICE = 4096
"""Bytes of a head that are given to the parser at a time, where there are more than a head may have."""

LAST_MOMENT_SECONDS = 1.0
"""How long a body may still come in when the service stops."""

_HOST = re.compile(rb"[A-Za-z0-9.\-_~%:\[\]]*")
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


@dataclass
class Guard:
    """What the connections of one server share: their limits, their number, and the count of refusals."""

    settings: Settings
    refusals: Counter
    open: int = 0
    codes: dict[str, Counter] = field(default_factory=dict)

    def count(self, code: str) -> None:
        """Count one refusal."""
        if code not in self.codes:
            self.codes[code] = self.refusals.labels(code)
        self.codes[code].inc()


class Protocol(HttpToolsProtocol):
    """One connection. `app_state["guard"]` is the server's Guard, from the app's lifespan."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._guard: Guard = self.app_state["guard"]
        self._limits = self._guard.settings
        self._counted = False
        self._refusal: ProtocolError | None = None
        # Where in a request the client is: before or in its head, in its body, or behind its end.
        self._in_head, self._in_body = True, False
        self._head_bytes = self._body_bytes = 0
        self._body_since = 0.0
        self._reading: asyncio.TimerHandle | None = None
        self._writing: asyncio.TimerHandle | None = None
        self._unwritten = 0
        # The request that is being answered; `self.cycle` is the one that was read last.
        self._answering: Any = None
        self._task: asyncio.Task[None] | None = None

    # ---- the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, or refuse it where there are too many."""
        super().connection_made(transport)
        if self._guard.open >= self._limits.max_connections:
            self._refuse(TooManyConnections("There are too many connections. Try again shortly."))
            return
        self._guard.open += 1
        self._counted = True
        self._reading = self.loop.call_later(self._limits.head_seconds, self._head_too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of everything; a request that is still being answered is given up."""
        if self._counted:
            self._guard.open -= 1
        self._stop_reading_clock()
        self._stop_writing_clock()
        answering, task = self._answering, self._task
        super().connection_lost(exc)
        # uvicorn leaves it running after a reset, and with it all that the connection holds.
        self._unset_keepalive_if_required()
        self.pipeline.clear()
        if answering is not None and not answering.response_complete and task is not None:
            answering.disconnected = True
            answering.scope["state"]["gone"] = True
            task.cancel()

    def shutdown(self) -> None:
        """Stop with the server: what is here is answered; a body that is still coming has a moment."""
        super().shutdown()
        if self._in_body and not self.transport.is_closing():
            self._stop_reading_clock()
            self._reading = self.loop.call_later(LAST_MOMENT_SECONDS, self._give_up_body)

    def _give_up_body(self) -> None:
        self._reading = None
        if self._in_body:
            self._refuse(Stopping("The service is stopping. Send the request again, elsewhere or later."))

    # ---- reading

    def data_received(self, data: bytes) -> None:
        """Feed the parser, a head in slices, so that it never holds more than a head may have."""
        self._unset_keepalive_if_required()
        try:
            if self._in_head and self._head_bytes + len(data) > self._limits.max_head_bytes:
                data = self._feed_head(data)
            if self._in_head:
                self._head_bytes += len(data)
            if data:
                self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # The parser takes what follows for another protocol; we speak no other (RFC 9110, section 7.8).
            self.cycle.keep_alive = False
            return
        except httptools.HttpParserError:
            self._refuse(self._refusal or MalformedRequest("The request is not valid HTTP/1.1 (RFC 9112)."))
            return
        self._set_reading_clock()

    def _feed_head(self, data: bytes) -> bytes:
        """Feed slices until the head is whole; return what is left."""
        while data and self._in_head:
            if self._head_bytes >= self._limits.max_head_bytes:
                self._stop_parsing(HeadTooLarge(f"A head may have {self._limits.max_head_bytes:,} bytes."))
            self._head_bytes += len(data[:SLICE])
            self.parser.feed_data(data[:SLICE])
            data = data[SLICE:]
        return data

    def _stop_parsing(self, refusal: ProtocolError) -> None:
        self._refusal = refusal
        raise httptools.HttpParserError(refusal.code)

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 1

    def on_url(self, url: bytes) -> None:
        """Take a piece of the target."""
        super().on_url(url)
        if len(self.url) > self._limits.max_target_bytes:
            self._stop_parsing(TargetTooLong(f"A target may have {self._limits.max_target_bytes:,} bytes."))

    def on_headers_complete(self) -> None:
        """Check what the parser lets through, then begin to answer."""
        if refusal := self._fault():
            self._stop_parsing(refusal)
        self._in_head, self._in_body = False, True
        self._body_bytes, self._body_since = 0, self.loop.time()
        self._stop_reading_clock()
        super().on_headers_complete()

    def _fault(self) -> ProtocolError | None:
        """Return what is wrong with a head, None where nothing is."""
        if len(self.headers) > self._limits.max_headers:
            return HeadTooLarge(f"A head may have {self._limits.max_headers} fields.")
        if self.parser.get_method().decode("ascii", "replace") not in _METHODS:
            return NotImplementedHere("The method is not one that is known here.")
        hosts = [value for name, value in self.headers if name == b"host"]
        needed = self.parser.get_http_version() == "1.1"
        if len(hosts) > 1 or (needed and not hosts) or (hosts and not _HOST.fullmatch(hosts[0])):
            return MalformedRequest("A request needs one valid Host field (RFC 9112, section 3.2).")
        codings = [value for name, value in self.headers if name == b"transfer-encoding"]
        if codings and (not needed or any(name == b"content-length" for name, _ in self.headers)):
            return MalformedRequest("Transfer-Encoding cannot stand beside Content-Length or in HTTP/1.0.")
        if len(codings) > 1 or (codings and codings[0].strip().lower() != b"chunked"):
            return NotImplementedHere("The only Transfer-Encoding that is taken is 'chunked'.")
        return None

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        self._in_head, self._in_body, self._head_bytes = True, False, 0
        super().on_message_complete()

    # ---- clocks

    def _set_reading_clock(self) -> None:
        if self._in_body:
            if self._reading is None:
                self._reading = self.loop.call_later(self._limits.body_grace_seconds, self._body_check)
        elif self._head_bytes:
            if self._reading is None:
                self._reading = self.loop.call_later(self._limits.head_seconds, self._head_too_slow)
        else:
            self._stop_reading_clock()

    def _stop_reading_clock(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _head_too_slow(self) -> None:
        self._reading = None
        self._refuse(RequestTimeout(f"A request's head has to be here in {self._limits.head_seconds:g} s."))

    def _body_check(self) -> None:
        """Refuse a body that takes too long or comes too slowly; otherwise look again a little later."""
        self._reading = None
        elapsed = self.loop.time() - self._body_since
        expected = self._limits.min_body_bytes_per_second * (elapsed - self._limits.body_grace_seconds)
        late = elapsed >= self._limits.body_seconds or self._body_bytes < expected
        if late and not self.flow.read_paused:
            self._refuse(RequestTimeout("The request's body comes too slowly."))
            return
        wait = min(1.0, self._limits.body_grace_seconds, max(0.01, self._limits.body_seconds - elapsed))
        self._reading = self.loop.call_later(wait, self._body_check)

    def pause_writing(self) -> None:
        """Begin to watch a client that does not read."""
        super().pause_writing()
        self._watch_writing()

    def resume_writing(self) -> None:
        """Stop watching: the client reads."""
        self._stop_writing_clock()
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection; one whose client has not read its answer may still do so for a while."""
        super().timeout_keep_alive_handler()
        if self.transport.get_write_buffer_size():
            self._watch_writing()

    def _watch_writing(self) -> None:
        self._stop_writing_clock()
        self._unwritten = self.transport.get_write_buffer_size()
        self._writing = self.loop.call_later(self._limits.write_seconds, self._write_check)

    def _write_check(self) -> None:
        """Drop a client that has read less than a slow line would have carried."""
        self._writing = None
        left = self.transport.get_write_buffer_size()
        least = self._limits.min_body_bytes_per_second * self._limits.write_seconds
        if left and self._unwritten - left < min(least, self._unwritten):
            self._guard.count("write_timeout")
            self.transport.abort()
        elif left:
            self._watch_writing()

    def _stop_writing_clock(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None

    # ---- answering

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._answering = cycle
        self._task = task = self.loop.create_task(cycle.run_asgi(app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: whoever asks for another protocol gets this one."""

    def send_400_response(self, msg: str) -> None:
        """Refuse as all else is refused; uvicorn's own text is not sent."""
        self._refuse(MalformedRequest("The request is not valid HTTP/1.1 (RFC 9112)."))

    def _refuse(self, error: ProtocolError) -> None:
        """Answer with a problem document and close, unless an answer is on its way already."""
        self._guard.count(error.code)
        self._stop_reading_clock()
        if self.transport.is_closing():
            return
        answering = self._answering
        if answering is not None and not answering.response_complete:
            if self.pipeline or answering is not self.cycle or not self._in_body:
                # What is wrong is a later request: the one before it is answered, and then all ends.
                self.pipeline.clear()
                answering.keep_alive = False
                self.flow.pause_reading()
                return
            if answering.response_started:
                self.transport.close()
                return
        self.transport.write(self._problem(error))
        self.transport.close()
        if self.transport.get_write_buffer_size():
            self._watch_writing()

    def _problem(self, error: ProtocolError) -> bytes:
        request_id = f"{random.getrandbits(128):032x}"
        body = orjson.dumps({**error.problem(), "request_id": request_id})
        headers = [
            *self.server_state.default_headers,
            (b"content-type", b"application/problem+json"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
            (b"x-request-id", request_id.encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"cache-control", b"no-store"),
        ]
        if error.status == 503:
            headers.append((b"retry-after", b"%d" % retry_after(2)))
        fields = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
        return STATUS_LINE[error.status] + fields + b"\r\n" + body
