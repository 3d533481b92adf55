"""A connection's time and room: deadlines, a cap, an answer to what is no request, an end without loss.

Times are seconds of the loop's clock. A connection costs one timer, which looks at the state each few seconds
and when the next limit is due; a request costs none.
"""

import asyncio
import logging
import math
import random
from itertools import islice
from typing import Any

import orjson
from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle
from uvicorn.server import ServerState

from service.errors import ProtocolError, RequestTimeout, ShuttingDown, TooManyConnections
from service.http.connection import Connection, reset
from service.http.cork import Cork
from service.http.deadlines import BODY, IDLE, Writing
from service.http.problems import faced, path_of

log = logging.getLogger("service")

LINGER_SECONDS = 2.0
"""How long a connection is read on after an error: closed at once, the client might not see why."""

LATE_SECONDS = 0.25
"""A timer later than this was held up here, and what the client has sent meanwhile is still to be read."""

SAMPLE = 50
"""Of so many idle connections, picked without order, the oldest makes room: a flood shall cost no more."""

OVERFLOW = 64
"""Connections above the most allowed that are told so; further ones are cut."""


class GuardedProtocol(Connection):
    """One connection. uvicorn makes it with `http=GuardedProtocol`; the app's lifespan yields its `guard`."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        # An error that waits for the answers before it.
        self._refusal: ProtocolError | None = None
        self._writing = Writing()
        self._alarm: asyncio.TimerHandle | None = None
        self._rings = 0.0
        self._excused = False
        self._cork: Cork

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, or the place of an idle one, or refuse it."""
        super().connection_made(transport)
        self._reading.since = self.loop.time()
        self._set_alarm()
        if len(self.connections) > self._limits.max_connections:
            self._make_room()
        if getattr(self.server_state, "stopping", False):
            # It was accepted before the listener was closed, and comes to life only now.
            self.shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of everything, and of the request that is being answered: nobody waits for it."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        super().connection_lost(exc)
        self.pipeline.clear()
        self._deaf, self._unread = True, b""
        if self._running is None:
            return
        (cycle, task), self._running = self._running, None
        cycle.disconnected = True
        cycle.message_event.set()
        cycle.scope["state"]["gone"] = True
        if not cycle.response_started:
            # Not before it has run up to where it waits: then it is counted, and ends without a trace.
            self.loop.call_soon(task.cancel)

    def shutdown(self) -> None:
        """Finish what is complete; give what is on its way a moment, then refuse it."""
        self._reading.stops = self.loop.time()
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
        self._set_alarm()

    # Room

    @property
    def spare(self) -> tuple[bool, float] | None:
        """Its rank among the connections that may be closed for another, or None where it may not."""
        if self._reading.stage == BODY or self._running is not None or self._deaf:
            return None
        return self._reading.begun, self._reading.since

    def _make_room(self) -> None:
        others = (other for other in self.connections if isinstance(other, GuardedProtocol))
        ranks = ((other.spare, other) for other in others if other is not self)
        spare = ((rank, id(other), other) for rank, other in ranks if rank is not None)
        if few := list(islice(spare, SAMPLE)):
            oldest = min(few)[2]
            self._errors.labels("evicted").inc()
            self.connections.discard(oldest)
            oldest.transport.close()
            oldest._set_alarm()
        elif len(self.connections) > self._limits.max_connections + OVERFLOW:
            self.transport.abort()
        else:
            self._refuse(
                TooManyConnections("As many clients as allowed are being answered. Try again shortly.")
            )

    # Time

    def _set_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        now = self.loop.time()
        delay = min(max(self._due() - now, 0.005), self._limits.shortest_seconds)
        self._rings = now + delay
        self._alarm = self.loop.call_later(delay, self._ring)

    def _ring(self) -> None:
        now = self.loop.time()
        self._writing.watch(self.transport.get_write_buffer_size(), now)
        if self._held_up():
            self._reading.since = now
        if self._due() > now + 0.001:
            self._excused = False
        elif now - self._rings > LATE_SECONDS and not self._excused:
            self._excused = True
        else:
            self._expire(now)
        self._set_alarm()

    def _held_up(self) -> bool:
        """Whether it is not the client's fault that nothing is being received."""
        return bool(self._unread) or self.flow.read_paused

    def _due(self) -> float:
        """Return when the next limit is reached."""
        due = self._writing.due(self._limits)
        if self._deaf or self._held_up() or self.transport.is_closing():
            return due
        return min(due, self._reading.due(self._limits, answering=self._running is not None))

    def _expire(self, now: float) -> None:
        if self._writing.due(self._limits) <= now + 0.001:
            if self._writing.ends == math.inf:
                self._errors.labels("write_timeout").inc()
            reset(self.transport)
        elif not self._reading.begun:
            self.transport.close()
        elif self._reading.stops is not None:
            self._refuse(ShuttingDown("The service is being stopped. Send the request again."))
        else:
            self._refuse(RequestTimeout(self._reading.too_slow(self._limits)))

    def pause_writing(self) -> None:
        """Note since when the client takes nothing."""
        super().pause_writing()
        self._writing.pause(self.transport.get_write_buffer_size(), self.loop.time())

    # Answers

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        cycle.transport = self._cork = Cork(self.transport)  # type: ignore[assignment]
        task = self.loop.create_task(cycle.run_asgi(app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)
        self._running = cycle, task

    def on_response_complete(self) -> None:
        """Go on: with the next request, with the error that waits, or with reading."""
        self.server_state.total_requests += 1
        self._running = None
        self._cork.end()
        if self.transport.is_closing():
            return
        if self._reading.stage == IDLE or self.pipeline:
            self._reading.since = self.loop.time()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._refusal is not None:
            self._answer(self._refusal, None)
            return
        if self._unread and not self.pipeline:
            self._catch_up()
        if not self._unread:
            self.flow.resume_reading()

    def _refuse(self, error: ProtocolError) -> None:
        self._deaf = True
        self._errors.labels(error.code).inc()
        log.debug("a connection is ended: %s", error.code)
        receiving = self.cycle if self._reading.stage == BODY else None
        running = self._running[0] if self._running is not None else None
        if receiving is not None and receiving is running:
            self._end(running, error)
        elif running is not None:
            self._refusal = error
            if receiving is not None:
                self.pipeline.popleft()
        elif receiving is not None:
            # It has been answered long since; only the rest of its body was still coming.
            self.transport.close()
        else:
            self._answer(error, None)

    def _end(self, cycle: RequestResponseCycle, error: ProtocolError) -> None:
        """Answer a request in the app's place, which learns that its client is gone."""
        state = cycle.scope["state"]
        state["ended"] = error.status
        # The app may only be about to ask for the body: no 100 Continue after the answer.
        cycle.waiting_for_100_continue = False
        cycle.disconnected = True
        cycle.message_event.set()
        if cycle.response_started:
            self.transport.close()
        else:
            self._answer(error, state.get("request_id"))

    def _answer(self, error: ProtocolError, request_id: str | None) -> None:
        if self.transport.is_closing():
            return
        request_id = request_id or f"{random.getrandbits(128):032x}"
        problem, media_type = faced(path_of(self.url, self._prefix), error.problem())
        body = orjson.dumps({**problem, "request_id": request_id})
        headers = [
            *self.server_state.default_headers,
            (b"content-type", media_type.encode("ascii")),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
            (b"x-request-id", request_id.encode("ascii")),
            (b"x-content-type-options", b"nosniff"),
            (b"cache-control", b"no-store"),
        ]
        if error.status == 503:
            headers.append((b"retry-after", b"%d" % (1 + random.getrandbits(1))))
        lines = [name + b": " + value + b"\r\n" for name, value in headers]
        self.transport.write(b"".join((STATUS_LINE[error.status], *lines, b"\r\n", body)))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._writing.ends = self.loop.time() + LINGER_SECONDS
        self.flow.resume_reading()
        self._set_alarm()
