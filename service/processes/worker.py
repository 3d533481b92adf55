"""One of several processes behind the same sockets. Its supervisor tells it when to accept connections."""

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.config import STARTUP_FAILURE

from service.app import create_app
from service.configuration.settings import Settings, StartRefused
from service.processes import listeners
from service.processes.member import ACCEPT, ALIVE, DRAIN, NOT_READY, PAUSE, READY
from service.processes.server import Server
from service.telemetry import logs, tally

log = logging.getLogger("service")

BEAT_SECONDS = 1.0
"""How often it says that it is alive."""

ORPHAN_SECONDS = 5.0
"""How long requests in flight may take when the supervisor is gone."""


@dataclass(frozen=True)
class Job:
    """What a worker gets: all of it can be handed to another process."""

    settings: Settings
    options: dict[str, Any]
    """uvicorn's."""
    sockets: list[socket.socket]
    channel: socket.socket
    counts: tally.Tally | None
    """The memory in which all count; None where each counts for itself."""
    region: int


def work(job: Job) -> None:
    """Serve until told to stop. The main function of a process."""
    # Ctrl-C is sent to all processes of a terminal; the supervisor says what is to be done.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    logs.configure(job.settings.log_level)
    if job.counts is not None:
        tally.share(job.counts, job.region)
    link = Link(job.channel)
    try:
        app = create_app(job.settings)
    except StartRefused as error:
        log.error("%s", error)
        logs.settle()
        sys.exit(STARTUP_FAILURE)
    server = WorkerServer(uvicorn.Config(app, **job.options), app, job, link)
    link.server = server
    if job.counts is None:
        app.state.context.metrics.counted_together.set(0)
    server.run()
    if not server.started:
        sys.exit(STARTUP_FAILURE)


class Link:
    """The worker's end of the channel."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self.server: WorkerServer | None = None
        self.heard = b""
        """The last word, for a server that is not there yet."""
        threading.Thread(target=self._hear, name="supervisor", daemon=True).start()

    def say(self, word: bytes) -> None:
        """Send a word, unless the supervisor is gone or has not listened for long."""
        try:
            self._channel.send(word, socket.MSG_DONTWAIT)
        except OSError:
            return

    def _hear(self) -> None:
        while words := self._read():
            self.heard = words[-1:]
            if self.server is not None:
                self.server.obey(self.heard)
        if self.server is None:
            os._exit(1)
        self.server.orphaned()

    def _read(self) -> bytes:
        try:
            return self._channel.recv(64)
        except OSError:
            return b""


class WorkerServer(Server):
    """Starts its app at once, and accepts connections when it is told to."""

    def __init__(self, config: uvicorn.Config, app: FastAPI, job: Job, link: Link) -> None:
        # One that retires has others beside it, which are ready: DRAIN alone says that the service is not.
        super().__init__(config, lambda: None, 0, job.settings.stop_seconds)
        self._app = app
        self._sockets = job.sockets
        self._link = link
        self._said, self._spoke = b"", 0.0

    def _drain(self) -> None:
        self._app.state.draining = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the app without a listener."""
        await super().startup([])
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        if self._link.heard:
            await self._follow(self._link.heard)

    def obey(self, word: bytes) -> None:
        """Do what the supervisor says. From any thread."""
        if self._loop is not None and self.started:
            self._loop.call_soon_threadsafe(lambda: asyncio.ensure_future(self._follow(word)))

    async def _follow(self, word: bytes) -> None:
        if word == ACCEPT and not self.servers and not self.should_exit:
            self.servers = [await self._accept(each) for each in self._sockets]
        elif word == PAUSE:
            self._pause()
        elif word == DRAIN:
            self._drain()

    async def _accept(self, listener: socket.socket) -> asyncio.Server:
        assert self._loop is not None
        config = self.config
        # A copy: what is closed here is listened on by others.
        return await self._loop.create_server(
            self._protocol, sock=listener.dup(), ssl=config.ssl, backlog=listeners.BACKLOG
        )

    def _protocol(self) -> asyncio.Protocol:
        made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made

    def _pause(self) -> None:
        for server in self.servers:
            server.close()
        self.servers = []

    def orphaned(self) -> None:
        """End, as nobody is left who would: the next service may want the port. From any thread."""
        log.error("the supervisor is gone: this worker ends")
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(ORPHAN_SECONDS)
        os._exit(1)

    async def on_tick(self, counter: int) -> bool:
        """Say how it stands, ten times a second at most."""
        repository = self._app.state.context.repository
        state = b"" if repository.loading else READY if repository.ready else NOT_READY
        now = time.monotonic()
        if state != self._said or now - self._spoke >= BEAT_SECONDS:
            self._link.say(state or ALIVE)
            self._said, self._spoke = state, now
        return await super().on_tick(counter)

    async def empty(self, sockets: list[socket.socket]) -> None:
        """Leave who waits to be accepted to the others, which have the same sockets."""
        self._pause()
