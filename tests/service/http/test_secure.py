"""Connections that speak TLS: what does not shake hands, or not in time, costs no more than a plain one."""

import resource
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.service import wire
from tests.service.wire import connect, drain
from tests.worlds import Server, serving

MOST = 4
"""The most connections of the server whose handshakes have time."""

HELLO = bytes.fromhex("1603010200010001fc0303")
"""The first bytes of a handshake."""


@pytest.fixture(scope="module")
def patient(digits_dir: Path, certificate: tuple[Path, Path]) -> Iterator[Server]:
    """A server that takes few connections, each of which may be silent for a minute."""
    with secured(digits_dir, certificate, max_connections=str(MOST), head_seconds="60") as server:
        yield server


def secured(digits_dir: Path, certificate: tuple[Path, Path], **settings: Any):  # type: ignore[no-untyped-def]
    cert, key = (str(path) for path in certificate)
    return serving(
        digits_dir,
        engine="openvino",
        default_classify="digits",
        tls_cert_file=cert,
        tls_key_file=key,
        **settings,
    )


def trusting(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate[0]))


def ask(server: Server, certificate: tuple[Path, Path], request: bytes = wire.LAST) -> bytes:
    """Send a request over TLS; return what comes back."""
    context = trusting(certificate)
    with connect(server) as plain, context.wrap_socket(plain, server_hostname="127.0.0.1") as secure:
        secure.sendall(request)
        return drain(secure)


@pytest.mark.parametrize("first", [b"", b"\x16", HELLO])
def test_silent_handshakes_are_ended(digits_dir: Path, certificate: tuple[Path, Path], first: bytes) -> None:
    """(A1, A19) Who connects to a TLS port and does not shake hands is cut off after `head_seconds`, though
    nothing but its own timer looks at it; the next one is answered.
    """
    with secured(digits_dir, certificate, head_seconds="0.4") as server:
        silent = [connect(server) for _ in range(20)]
        for each in silent:
            each.sendall(first)
        # OpenSSL's own minute is longer than these sockets wait.
        assert [drain(each) for each in silent] == [b""] * 20
        assert ask(server, certificate).startswith(b"HTTP/1.1 200")
        text = ask(server, certificate, wire.LAST.replace(b"/livez", b"/metrics"))
        assert (b'striate_protocol_errors_total{code="tls_handshake"}' in text) == bool(first)
        for each in silent:
            each.close()


def test_silent_handshakes_give_way(patient: Server, certificate: tuple[Path, Path]) -> None:
    """(A6) Connections count from accept on: past the most that are allowed, one whose handshake is not done
    makes room for whoever comes.
    """
    silent = [connect(patient) for _ in range(3 * MOST)]
    for number, each in enumerate(silent):
        each.sendall(HELLO[: number % 3 * 5])
    for _ in range(3):
        assert ask(patient, certificate).startswith(b"HTTP/1.1 200")
    ended = [each for each in silent if _has_ended(each)]
    assert len(silent) - len(ended) <= MOST
    for each in silent:
        each.close()


def _has_ended(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return not connection.recv(1)
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


@pytest.mark.parametrize("request_", [wire.GET, wire.UPLOAD + wire.PNG, b"\r\n", b"\x80\x2e\x01", b"garbage"])
def test_what_is_no_tls_gets_a_plain_answer(patient: Server, request_: bytes) -> None:
    """(A19) Plain HTTP on a TLS port is told so in plain HTTP, once, and the connection is closed."""
    with connect(patient) as connection:
        connection.sendall(request_)
        connection.sendall(b"more\r\n\r\n")
        answer = drain(connection)
    assert wire.statuses(answer) == [400]
    assert b"connection: close" in answer
    assert b"https" in answer


def test_what_comes_with_the_handshake_is_read(patient: Server, certificate: tuple[Path, Path]) -> None:
    """A first request in the same packet as the end of the handshake is answered, and so is a handshake that
    comes byte by byte, a body of megabytes, and one connection's second request.
    """
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = trusting(certificate).wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    with connect(patient) as connection, pytest.raises(ssl.SSLWantReadError):
        session.do_handshake()
    with connect(patient) as connection:
        for byte in outgoing.read():
            connection.sendall(bytes([byte]))
        while True:
            try:
                session.do_handshake()
                break
            except ssl.SSLWantReadError:
                incoming.write(connection.recv(65536))
        large = wire.POST + b"Content-Length: 3000000\r\n\r\n" + bytes(3_000_000)
        session.write(wire.GET + wire.GET)
        connection.sendall(outgoing.read())
        session.write(large + wire.LAST)
        connection.sendall(outgoing.read())
        received = b""
        while received.count(b"HTTP/1.1 ") < 4:
            incoming.write(connection.recv(65536))
            while incoming.pending:
                try:
                    received += session.read(65536)
                except ssl.SSLWantReadError:
                    break
    assert wire.statuses(received) == [200, 200, 415, 200]


def test_a_stop_does_not_wait_for_handshakes(digits_dir: Path, certificate: tuple[Path, Path]) -> None:
    """(H2) A server that is told to stop does not wait for those who have not said a word over TLS."""
    with secured(digits_dir, certificate, head_seconds="60") as server:
        silent = [connect(server) for _ in range(5)]
        for each in silent[1:]:
            each.sendall(HELLO)
        assert ask(server, certificate).startswith(b"HTTP/1.1 200")
        server.process.terminate()
        assert [drain(each) for each in silent] == [b""] * 5
        assert server.process.wait(10) is not None
        for each in silent:
            each.close()


def pooled(server: Server, certificate: tuple[Path, Path]) -> socket.socket:
    """Return a connection that has been answered over TLS and waits for more, as those of a pool, which read
    nothing before they ask again; below TLS.
    """
    secure = trusting(certificate).wrap_socket(connect(server), server_hostname="127.0.0.1")
    secure.sendall(wire.GET)
    assert secure.recv(12) == b"HTTP/1.1 200"
    family, kind = secure.family, secure.type
    return socket.socket(family, kind, fileno=secure.detach())


def test_a_stop_does_not_wait_for_goodbyes(digits_dir: Path, certificate: tuple[Path, Path]) -> None:
    """(H2) Connections that wait for their next request end with the server, though their clients do not end
    TLS in form.
    """
    with secured(digits_dir, certificate) as server:
        waiting = [pooled(server, certificate) for _ in range(5)]
        server.process.terminate()
        # TLS itself would wait for half a minute, and the stop for nearly as long.
        assert server.process.wait(15) is not None
        for each in waiting:
            each.close()


def test_those_who_made_room_are_gone(patient: Server, certificate: tuple[Path, Path]) -> None:
    """(A6) Who has to make room costs nothing any more, though its client does not end TLS in form."""
    waiting = [pooled(patient, certificate) for _ in range(3 * MOST)]
    # Read to the end: the connections are closed.
    for each in waiting[: 2 * MOST]:
        each.settimeout(15)
        while each.recv(65536):
            pass
    for each in waiting:
        each.close()


def test_descriptors_are_enough_for_connections(digits_dir: Path, certificate: tuple[Path, Path]) -> None:
    """(A1, H9) Where the system allows few descriptors, so many fewer connections are kept: silent ones never
    use them up, and who comes then is answered.
    """
    few = ("sh", "-c", 'ulimit -n 256; exec "$@"', "sh")
    with secured(digits_dir, certificate, head_seconds="60", under=few) as server:
        assert "max_connections is 1000" in "".join(server.log)
        silent = [connect(server) for _ in range(300)]
        for _ in range(3):
            assert ask(server, certificate).startswith(b"HTTP/1.1 200")
        for each in silent:
            each.close()


def test_the_limit_of_descriptors_is_raised(digits_dir: Path, certificate: tuple[Path, Path]) -> None:
    """(H9) The soft limit, which many systems set to 1,024, does not bound connections."""
    low = ("sh", "-c", 'ulimit -S -n 100; exec "$@"', "sh")
    with secured(digits_dir, certificate, max_connections="700", under=low) as server:
        soft, _ = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
        assert soft >= 700
        assert "ulimit" not in "".join(server.log)
