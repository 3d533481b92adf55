"""An answer's head goes out together with its body: one system call, and one wake-up of the client.

uvicorn writes the two apart, and uvloop sends what is written at once. ASGI asks that the head wait for the
first part of the body (ASGI HTTP specification, version 2.5, "Response Start").
"""

import asyncio

_INTERIM = b"HTTP/1.1 100"


class Cork:
    """The transport of one answer, as far as uvicorn's cycle uses one."""

    __slots__ = ("_head", "_held", "_transport", "is_closing")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head, self._held = b"", False
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        """Hold the head, which is written first; send it with what follows."""
        if self._held:
            self._flush(data)
        elif data.startswith(_INTERIM):
            self._transport.write(data)
        else:
            self._head, self._held = data, True

    def close(self) -> None:
        """Close the connection after what was written."""
        self.end()
        self._transport.close()

    def _flush(self, data: bytes) -> None:
        if self._head:
            self._transport.writelines((self._head, data))
            self._head = b""
        else:
            self._transport.write(data)

    def end(self) -> None:
        """Send a head that no body follows."""
        if self._head:
            self._transport.write(self._head)
            self._head = b""
