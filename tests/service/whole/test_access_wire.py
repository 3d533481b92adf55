"""Who may ask for what, on a real port: keys, listeners, TLS, headers of answers, and what leaks nowhere."""

import base64
import io
import json
import re
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from service.access import keys
from service.access.keys import Role
from tests.service import making
from tests.worlds import Server, serving
from training import golden

ROOT = Path(__file__).resolve().parents[3]
PNG = golden.samples("digits", seed=3)[0].data


@dataclass(frozen=True)
class Guarded:
    """A server that needs keys, and a key of each role."""

    server: Server
    keys: dict[Role, str]

    def client(self, role: Role | None = None) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.keys[role]}"} if role else {}
        return httpx.Client(base_url=self.server.url, headers=headers, timeout=30)


def key_file(folder: Path) -> tuple[Path, dict[Role, str]]:
    file = folder / "keys.toml"
    made: dict[Role, tuple[str, str]] = {}
    roles: tuple[Role, ...] = ("predict", "operate", "metrics")
    for role in roles:
        made[role] = keys.new((role,))
    file.write_text("".join(entry for _, entry in made.values()))
    return file, {role: key for role, (key, _) in made.items()}


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with one small model."""
    folder = tmp_path_factory.mktemp("models")
    making.first("digits", folder)
    return folder


DIGITS = {"engine": "openvino", "default_classify": "digits"}


@pytest.fixture(scope="module")
def guarded(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    file, made = key_file(tmp_path_factory.mktemp("keys"))
    options = DIGITS | {"keys_file": str(file), "auth_failures_per_minute": "100000", "docs": "on"}
    with serving(digits, **options) as server:
        yield Guarded(server, made)


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert (body["status"], body["code"]) == (status, code)
    assert body["request_id"] == response.headers["x-request-id"]
    assert len(response.content) < 1024
    return body


def exchange(url: str, sent: bytes) -> bytes:
    """Send bytes and return all that comes back until the server has answered or closed."""
    host, _, port = url.partition("://")[2].partition(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(sent)
        received = connection.recv(65536)
        while b"\r\n\r\n" not in received and (more := connection.recv(65536)):
            received += more
    return received


# Keys


def test_a_key_of_the_role_is_let_in(guarded: Guarded) -> None:
    """Both ways to send a key work, and it opens its role's routes only (I1, I5)."""
    with guarded.client("predict") as client:
        assert client.post("/classify", files={"file": PNG}).status_code == 200
        assert client.get("/summary").status_code == 200
        problem(client.get("/metrics"), 403, "forbidden")
    with guarded.client("metrics") as client:
        assert client.get("/metrics").status_code == 200
        problem(client.post("/classify", files={"file": PNG}), 403, "forbidden")
    with guarded.client() as client:
        headers = {"X-API-Key": guarded.keys["predict"]}
        assert client.post("/classify", files={"file": PNG}, headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "/classify"),
        ("POST", "/localize"),
        ("POST", "/segment"),
        ("POST", "/explain"),
        ("GET", "/summary"),
        ("GET", "/metrics"),
        ("HEAD", "/summary"),
        ("HEAD", "/metrics"),
        # The app's own matching takes these for the same routes.
        ("POST", "/classify%0A"),
        ("GET", "/summary%0A"),
        ("GET", "/%73ummary"),
    ],
)
def test_nothing_but_the_probes_is_open(guarded: Guarded, method: str, target: str) -> None:
    """Without a key every other route is 401 with the scheme, however its path is written (I1)."""
    with guarded.client() as client:
        response = client.request(method, target)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == 'Bearer realm="striate"'


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ([("Authorization", "")], ""),
        ([("Authorization", "Bearer wrong.key")], ""),
        ([("Authorization", "Bearer KEY"), ("Authorization", "Bearer KEY")], ""),
        ([("Authorization", "Bearer KEY"), ("X-API-Key", "KEY")], ""),
        ([], "?key=KEY"),
        ([("X-API-Key", "KEY")], "?api_key=KEY"),
        ([("X-API-Key", "KEY" + "x" * 10_000)], ""),
    ],
)
def test_wrong_keys_are_refused(guarded: Guarded, headers: list[tuple[str, str]], query: str) -> None:
    """A wrong, double or overlong key, or one in the address, is a 401 that repeats nothing of it (I1)."""
    key = guarded.keys["predict"]
    sent = [(name, value.replace("KEY", key)) for name, value in headers]
    with guarded.client() as client:
        response = client.post(f"/classify{query.replace('KEY', key)}", content=PNG, headers=sent)
    problem(response, 401, "unauthorized")
    assert response.headers["www-authenticate"] == 'Bearer realm="striate", error="invalid_token"'
    assert key not in response.text


def test_a_megabyte_of_key_is_refused(guarded: Guarded) -> None:
    """It costs its sender more than us: refused as a key or already as a head (I1, A7)."""
    head = b"GET /summary HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + b"x" * 2**20 + b"\r\n\r\n"
    try:
        received = exchange(guarded.server.url, head)
    except ConnectionError:
        # Answered and closed before all of it was sent.
        received = b""
    assert not received or received.split()[1] in (b"401", b"431")
    with guarded.client() as client:
        assert client.get("/livez").status_code == 200


def test_the_body_of_a_refused_request_is_never_asked_for(guarded: Guarded) -> None:
    """A client that waits for 100 Continue gets its 401 instead, with 0 bytes of the body read (A21, I1)."""
    for path, expected in ((b"/classify", b"401"), (b"/classify?key=1", b"401"), (b"/metrics", b"401")):
        head = b"POST " if path != b"/metrics" else b"GET "
        head += path + b" HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 1000000\r\n"
        received = exchange(guarded.server.url, head + b"Expect: 100-continue\r\n\r\n")
        assert received.startswith(b"HTTP/1.1 " + expected)
        assert b"100 Continue" not in received
        # What the client sends next is not taken for the body that it kept.
        assert b"\r\nconnection: close\r\n" in received


def test_probes_are_open_and_tell_no_more_than_they_must(guarded: Guarded) -> None:
    """Without a key /readyz tells only whether; the role operate also sees which models and why not."""
    with guarded.client() as client:
        assert client.get("/livez").status_code == 200
        assert client.get("/readyz").json() == {"status": "ready"}
        assert client.get("/readyz", headers={"X-API-Key": "wrong.key"}).json() == {"status": "ready"}
    with guarded.client("predict") as client:
        assert client.get("/readyz").json() == {"status": "ready"}
    with guarded.client("operate") as client:
        assert client.get("/readyz").json()["models"]["digits"]["live"] == 1


def test_openapi_says_what_needs_a_key(guarded: Guarded) -> None:
    """The document names both schemes, and each operation but the probes asks for one."""
    with guarded.client() as client:
        document = client.get("/openapi.json").json()
    assert set(document["components"]["securitySchemes"]) == {"bearer", "header"}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert ("security" in operation) == (path not in {"/livez", "/readyz"})
            assert ("401" in operation["responses"]) == ("security" in operation)


def test_wrong_keys_end_in_429_with_a_time(digits: Path, tmp_path: Path) -> None:
    """After too many wrong keys comes 429 with a time; a key past its own rate gets the same (I4, F10)."""
    file, made = key_file(tmp_path)
    options = {"keys_file": str(file), "auth_failures_per_minute": "2", "key_requests_per_second": "0.01"}
    with serving(digits, **DIGITS, **options) as server, httpx.Client(base_url=server.url) as client:
        wrong = [client.get("/summary", headers={"X-API-Key": "a.b"}) for _ in range(3)]
        right = [client.get("/summary", headers={"X-API-Key": made["predict"]}) for _ in range(2)]
        other = client.get("/metrics", headers={"X-API-Key": made["metrics"]})
    assert [response.status_code for response in wrong] == [401, 401, 429]
    assert [response.status_code for response in right] == [200, 429]
    assert 1 <= int(wrong[2].headers["retry-after"]) <= 30
    assert 1 <= int(right[1].headers["retry-after"]) <= 100
    assert other.status_code == 200


# Where it starts and listens


def started(tmp_path: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {f"STRIATE_{name.upper()}": value for name, value in settings.items()}
    return subprocess.run(
        [sys.executable, "-m", "service"],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "STRIATE_PORT": "0", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"host": "0.0.0.0"}, "STRIATE_KEYS_FILE"),
        ({"host": "0.0.0.0", "workers": "2"}, "STRIATE_KEYS_FILE"),
        ({"host": "0.0.0.0"}, "Not only this machine"),
        ({"auth": "on"}, "STRIATE_AUTH is on"),
        ({"auth": "on"}, "STRIATE_AUTH=off"),
        ({"keys_file": "/nonexistent/keys.toml"}, "cannot be read"),
        ({"tls_cert_file": "/nonexistent/a", "tls_key_file": "/nonexistent/b"}, "in PEM"),
        ({"tls_cert_file": __file__, "tls_key_file": __file__}, "in PEM"),
        ({"admin_port": "0", "admin_host": "192.0.2.1", "auth": "off"}, "administration"),
    ],
)
def test_a_start_that_cannot_be_safe_ends_with_a_sentence(
    tmp_path: Path, settings: dict[str, str], words: str
) -> None:
    """Open to others without keys, or with keys or certificates that do not load: exit 2 and one sentence."""
    done = started(tmp_path, **settings)
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert words in line
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("workers", ["1", "2"])
def test_administration_has_its_own_port(digits: Path, tmp_path: Path, workers: str) -> None:
    """With an admin port, metrics and docs are there, and 404 with any key or method on the other (I6)."""
    file, made = key_file(tmp_path)
    options = {"keys_file": str(file), "admin_port": "0", "workers": workers, "docs": "on"}
    everything = {"X-API-Key": made["metrics"]}
    with serving(digits, **DIGITS, **options) as server:
        log = "".join(server.log)
        found = re.search(r"administration on port (\d+) of 127\.0\.0\.1", log)
        assert found
        with httpx.Client(base_url=server.url, headers=everything) as public:
            for path in ("/metrics", "/metrics%0A", "/docs", "/openapi.json", "/admin/models", "/nosuch"):
                for method in ("GET", "POST", "HEAD", "OPTIONS"):
                    assert public.request(method, path).status_code == 404, (method, path)
            forged = public.get("/metrics", headers={"Host": f"127.0.0.1:{found[1]}"})
            problem(forged, 404, "not_found")
            assert public.get("/livez").status_code == 200
            assert public.get("/summary").status_code == 403
        with httpx.Client(base_url=f"http://127.0.0.1:{found[1]}") as admin:
            assert admin.get("/metrics", headers=everything).status_code == 200
            assert admin.get("/metrics").status_code == 401
            assert admin.get("/docs").status_code == 200
            assert admin.get("/livez").status_code == 200


@pytest.mark.parametrize("workers", ["1", "2"])
def test_tls_by_settings(digits: Path, certificate: tuple[Path, Path], workers: str) -> None:
    """With a certificate the port speaks TLS 1.2 and up, and nothing else (A19)."""
    cert, key = certificate
    options = {"tls_cert_file": str(cert), "tls_key_file": str(key), "workers": workers}
    trusting = ssl.create_default_context(cafile=str(cert))
    with serving(digits, **DIGITS, **options) as server:
        address = server.url.partition("://")[2]
        with httpx.Client(base_url=f"https://{address}", verify=trusting, timeout=30) as client:
            assert client.post("/classify", files={"file": PNG}).status_code == 200
        versions = {
            version: _handshakes(server.url, version)
            for version in (ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
        }
        plain = httpx.get(f"http://{address}/livez", timeout=5)
        assert "https" in problem(plain, 400, "malformed_request")["detail"]
    assert list(versions.values()) == [False, True, True]


def _handshakes(url: str, version: ssl.TLSVersion) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    # As lenient as a client of long ago; the server must not be.
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.options &= ~(ssl.OP_NO_TLSv1_1 | ssl.OP_NO_TLSv1)
    with (
        pytest.warns(DeprecationWarning, match="TLSv1_1")
        if version < ssl.TLSVersion.TLSv1_2
        else nullcontext()
    ):
        context.minimum_version = context.maximum_version = version
    host, _, port = url.partition("://")[2].partition(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        try:
            with context.wrap_socket(connection):
                return True
        except OSError:
            return False


# What answers carry


def _answers(guarded: Guarded) -> Iterator[httpx.Response]:
    """One answer of every kind: each route, each way to fail."""
    with guarded.client("predict") as client:
        yield client.post("/classify", files={"file": PNG})
        yield client.post("/classify?nosuch=1", files={"file": PNG})
        yield client.post("/classify", content=b"x", headers={"Content-Type": "image/png"})
        yield client.post("/classify", content=b"")
        yield client.post("/classify?model=nosuch", files={"file": PNG})
        yield client.get("/summary")
        yield client.get("/summary", headers={"Accept": "text/html"})
        yield client.get("/summary?model=digits", headers={"Accept": "text/html"})
        yield client.get("/summary?model=digits", headers={"Accept": "text/plain"})
        for path in ("/livez", "/readyz", "/metrics", "/classify", "/nosuch", "/docs", "/openapi.json"):
            for method in ("GET", "HEAD", "OPTIONS", "DELETE", "TRACE"):
                yield client.request(method, path, headers={"Origin": "https://evil.example"})
    with guarded.client("metrics") as client:
        yield client.get("/metrics")
        yield client.get("/static-offline-docs/swagger-ui-bundle.js")
    with guarded.client() as client:
        yield client.post("/classify", files={"file": PNG})
        yield client.post("/classify", files={"file": PNG}, headers={"X-API-Key": "a.b"})


def test_every_answer_has_the_safe_headers(guarded: Guarded) -> None:
    """No answer may be guessed at or kept, tells the server's make, or is open to other sites (I13, I14)."""
    for response in _answers(guarded):
        headers = response.headers
        assert headers["x-content-type-options"] == "nosniff", response.url
        assert headers["cache-control"] == "no-store", response.url
        assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", headers["x-request-id"])
        assert not {"server", "x-powered-by", "set-cookie"} & set(headers), response.url
        assert not [name for name in headers if name.startswith("access-control-")], response.url


def test_every_page_is_fenced_in(guarded: Guarded) -> None:
    """A page runs only what is its own, and no other site may frame it or learn its address (I13)."""
    pages = [
        each for each in _answers(guarded) if each.headers.get("content-type", "").startswith("text/html")
    ]
    assert len(pages) >= 3
    for response in pages:
        policy = dict(
            part.strip().partition(" ")[::2]
            for part in response.headers["content-security-policy"].split(";")
        )
        assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert "unsafe" not in policy["script-src"]
        assert "http" not in response.headers["content-security-policy"]
        assert response.headers["x-frame-options"] == "DENY"
        assert response.headers["referrer-policy"] == "no-referrer"


def test_docs_can_be_off(digits: Path) -> None:
    """With docs=off there is neither the page nor the document nor their files (I8)."""
    with serving(digits, **DIGITS, docs="off") as server:
        for path in ("/docs", "/openapi.json", "/redoc", "/static-offline-docs/swagger-ui-bundle.js"):
            problem(httpx.get(server.url + path), 404, "not_found")


@pytest.mark.parametrize(
    "given", [b"a" * 10_000, b"a\x1b[31m", b'"}', b"a b", b"", b"a\tb", b"\xe2\x80\xae", b"..%0d%0aX:1"]
)
def test_forged_request_ids_are_replaced(guarded: Guarded, given: bytes) -> None:
    """An id that could forge a line of a log or a header is replaced by one of our own (I9)."""
    head = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Request-ID: " + given + b"\r\n\r\n"
    received = exchange(guarded.server.url, head)
    if received.startswith(b"HTTP/1.1 200"):
        assert re.search(rb"\r\nx-request-id: [0-9a-f]{32}\r\n", received)
    else:
        assert received.startswith((b"HTTP/1.1 400", b"HTTP/1.1 431"))


@pytest.mark.parametrize(
    "given",
    [
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-0000000000000000-00",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00F067AA0BA902B7-01",
        "00-" + "4" * 5000,
        "",
    ],
)
def test_no_traceparent_fails_a_request(guarded: Guarded, given: str) -> None:
    """Whatever stands in traceparent, the request is answered; nothing here reads it (I10)."""
    with guarded.client("predict") as client:
        response = client.post(
            "/classify", files={"file": PNG}, headers={"traceparent": given, "tracestate": given}
        )
    assert response.status_code == 200


# What leaks nowhere

CANARY = "QuenyaCanary7f3a"


def _photo() -> bytes:
    exif = Image.Exif()
    for tag in (0x010E, 0x013B, 0x8298, 0x9286):
        exif[tag] = CANARY
    photo = io.BytesIO()
    Image.new("RGB", (64, 64), (200, 30, 30)).save(photo, "JPEG", exif=exif, comment=CANARY.encode())
    return photo.getvalue()


def _bothersome(key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Good and bad requests that carry the canary wherever a client can put it."""
    photo = _photo()
    text = base64.b64encode(CANARY.encode() * 3).decode()
    right = {"Authorization": f"Bearer {key}"}
    yield "/classify", {"content": photo, "headers": right | {"Content-Type": "image/jpeg"}}
    yield "/classify", {"files": {"file": (f"{CANARY}.jpg", photo)}, "headers": right}
    yield "/classify", {"files": {CANARY: (f"{CANARY}.jpg", photo)}, "headers": right}
    yield "/classify", {"content": photo[:600], "headers": right | {"Content-Type": "image/jpeg"}}
    yield "/classify", {"json": {"image": base64.b64encode(photo).decode()}, "headers": right}
    for document in ({"image": text}, {"image": CANARY}, {CANARY: text}, {"images": [CANARY, 1]}):
        yield "/classify", {"json": document, "headers": right}
    yield "/classify", {"content": CANARY.encode(), "headers": right | {"Content-Type": "application/json"}}
    boundary = {"Content-Type": f"multipart/form-data; boundary={CANARY}"}
    yield "/classify", {"content": CANARY.encode(), "headers": right | boundary}
    yield "/classify", {"content": photo, "headers": right | {"Content-Type": f"image/{CANARY}"}}
    yield "/classify", {"content": photo, "headers": right | {"Content-Type": CANARY}}
    yield "/classify", {"content": photo, "headers": right | {"Content-Encoding": CANARY}}
    yield "/classify", {"content": photo, "headers": right | {"Accept": f"text/{CANARY}"}}
    for query in (f"model={CANARY}", f"{CANARY}=1", f"top_k={CANARY}", f"key={CANARY}"):
        yield f"/classify?{query}", {"content": photo, "headers": right | {"Content-Type": "image/jpeg"}}
    yield f"/{CANARY}", {"headers": right}
    yield "/classify", {"content": photo, "headers": {"Authorization": f"Bearer {CANARY}.{CANARY}"}}
    yield "/classify", {"content": photo, "headers": {"X-API-Key": CANARY, "Cookie": CANARY}}
    yield "/metrics", {"headers": right | {"User-Agent": CANARY, "X-Forwarded-For": CANARY}}


_TELLING = re.compile(
    r"Traceback|File \"|/home/|/usr/|/tmp/|site-packages|\.py\b|object at 0x|PIL|Pillow|orjson|pydantic|"
    r"starlette|uvicorn|httptools|libjpeg|zlib|openvino|Errno|Exception",
    re.IGNORECASE,
)


def test_neither_logs_nor_errors_repeat_what_clients_send(digits: Path, tmp_path: Path) -> None:
    """At the loudest log level no key, EXIF text, base64, file or form name is in any log line, none but the
    name of a form's part or of an option is in an error, and no error holds a path, a trace or a library's
    words (I11, I12).
    """
    file, made = key_file(tmp_path)
    options = {"keys_file": str(file), "log_level": "debug"}
    with serving(digits, **DIGITS, **options) as server:
        answers = [
            httpx.post(server.url + path, timeout=30, **request)
            for path, request in _bothersome(made["predict"])
        ]
        metrics = httpx.get(f"{server.url}/metrics", headers={"X-API-Key": made["metrics"]}).text
    errors = [response for response in answers if response.status_code != 200]
    assert len(errors) >= 15
    assert len(answers) - len(errors) >= 3
    for response in errors:
        assert response.status_code < 500
        assert not _TELLING.search(response.text), response.text
    seen = {"log": "".join(server.log), "metrics": metrics}
    seen |= {f"answer {number}": response.text for number, response in enumerate(answers)}
    # The two names that an error tells, for nobody finds the fault without.
    told = [where for where, text in seen.items() if f"'{CANARY}'" in text]
    assert [json.loads(seen.pop(where))["code"] for where in told] == ["malformed_body", "invalid_parameter"]
    forbidden = [CANARY, base64.b64encode(CANARY.encode() * 3).decode()[:16], "Bearer"]
    forbidden += [key.partition(".")[2] for key in made.values()]
    assert "service" in seen["log"]
    for where, text in seen.items():
        for canary in forbidden:
            # What a key is sent as stands in the sentence that asks for one.
            if canary != "Bearer" or where == "log":
                assert canary.lower() not in text.lower(), where
