"""multipart/form-data: a boundary and a body of any bytes. What is found stands in the body, in order."""

from collections.abc import Sequence

from tests.fuzz import Target, run

SEEDS = [
    b'b\n--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nxyz\r\n--b--\r\n',
    b'"b"\n--b\r\nContent-Disposition: form-data; filename="a"; name="file"\r\nX: y\r\n\r\n\r\n--b--',
    b"b\n--b--",
    b'b\nbefore\r\n--b \t\r\nContent-Disposition: form-data;\r\n name="file"\r\n\r\nxyz\r\n--b-- \r\nafter',
]


def load() -> tuple[Target, Sequence[bytes]]:
    """Return the target and what to start from."""
    from service.bodies import multipart
    from service.errors import IntakeError

    def target(data: bytes) -> None:
        head, _, body = data.partition(b"\n")
        try:
            boundary = multipart.boundary_of("multipart/form-data; boundary=" + head.decode("latin-1"))
            assert 1 <= len(boundary) <= multipart.MAX_BOUNDARY
            found = multipart.parts(body, boundary, 4)
        except IntakeError:
            return
        at = 0
        assert len(found) <= 4
        for part in found:
            if b"quoted-printable" in body.lower():
                continue
            assert b"\r\n--" + boundary not in part
            at = body.index(part, at) + len(part)

    return target, SEEDS


if __name__ == "__main__":
    run(load)
