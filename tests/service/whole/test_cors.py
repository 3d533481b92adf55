"""Pages of other origins: who may ask from a browser, and that they can read whatever is answered."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from service import addresses
from service.access import keys
from service.app import create_app
from service.configuration.settings import Settings
from tests import browser
from tests.service import wire
from tests.worlds import Server, serving

APP = "https://app.example"


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>A page</title>")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def page_server() -> Iterator[str]:
    """Serve an empty page; give its origin."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@dataclass(frozen=True)
class World:
    """A server that needs keys, a key to predict, and the origins of two pages, of which one may ask."""

    server: Server
    key: str
    friend: str
    stranger: str


@pytest.fixture(scope="module")
def world(digits_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    file = tmp_path_factory.mktemp("keys") / "keys.toml"
    key, entry = keys.new(("predict",))
    file.write_text(entry)
    options = {"keys_file": str(file), "auth_failures_per_minute": "1", "max_body_bytes": "4096"}
    with (
        page_server() as friend,
        page_server() as stranger,
        serving(digits_dir, engine="openvino", cors_origins=f"{APP},{friend}/", **options) as server,
    ):
        yield World(server, key, friend, stranger)


def test_a_preflight_needs_no_key(world: World) -> None:
    """What a browser asks before it sends a key is answered with all that a page may send."""
    asked = {
        "Origin": APP,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-api-key,x-request-timeout-ms",
    }
    for path in ("/classify", "/summary", "/nosuch"):
        answer = httpx.options(world.server.url + path, headers=asked)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == APP
        assert answer.headers["access-control-allow-methods"] == "GET, HEAD, POST"
        assert "Origin" in answer.headers["vary"]
        assert "access-control-allow-credentials" not in answer.headers
        assert answer.headers["x-request-id"]
    for wrong in ({"Origin": "https://other.example"}, {"Access-Control-Request-Method": "DELETE"}):
        answer = httpx.options(f"{world.server.url}/classify", headers=asked | wrong)
        assert answer.status_code == 400
    refused = httpx.options(f"{world.server.url}/classify", headers=asked | {"Origin": "null"})
    assert "access-control-allow-origin" not in refused.headers


def test_every_answer_can_be_read_by_a_page(world: World) -> None:
    """Those too that are given before a route is reached: 401, 404, 405, 413, 415, 422 and 429."""
    right = {"X-API-Key": world.key, "Origin": APP, "Content-Type": "image/png"}
    asked: dict[int, tuple[str, str, bytes, dict[str, str]]] = {
        200: ("POST", "/classify", wire.PNG, {}),
        404: ("GET", "/nosuch", b"", {}),
        405: ("DELETE", "/classify", b"", {}),
        413: ("POST", "/classify", bytes(5000), {}),
        415: ("POST", "/classify", b"no image", {}),
        422: ("POST", "/classify?topk=3", wire.PNG, {}),
        403: ("GET", "/metrics", b"", {}),
        401: ("POST", "/classify", b"", {"X-API-Key": "a.b"}),
        429: ("POST", "/classify", b"", {"X-API-Key": "a.b"}),
    }
    for status, (method, path, body, headers) in asked.items():
        answer = httpx.request(method, world.server.url + path, content=body, headers=right | headers)
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == APP
        assert answer.headers["vary"] == "Origin"
        exposed = answer.headers["access-control-expose-headers"].split(", ")
        assert {"X-Request-ID", "Retry-After", "Server-Timing"} <= set(exposed)


async def test_503_and_errors_can_be_read_by_a_page(tmp_path: Path) -> None:
    """A service without models says so to a page, too."""
    app = create_app(Settings(models_dir=tmp_path, cors_origins="*"))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://127.0.0.1") as http:
        answer = await http.post("/classify", content=wire.PNG, headers={"Origin": "https://any.example"})
    assert answer.status_code == 503
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["retry-after"]


def test_other_origins_are_let_in_nowhere(world: World) -> None:
    """Near misses of an allowed origin get no header that lets their page read anything."""
    port = httpx.URL(world.friend).port
    for origin in (
        "http://app.example",
        f"{APP}.evil.example",
        f"{APP}:444",
        f"https://127.0.0.1:{port}",
        "null",
    ):
        answer = httpx.get(f"{world.server.url}/livez", headers={"Origin": origin})
        assert "access-control-allow-origin" not in answer.headers, origin


async def test_no_page_administers_without_keys(tmp_path: Path) -> None:
    """Where no keys are needed, a page may ask and not operate, whatever its origin (I6)."""
    app = create_app(Settings(models_dir=tmp_path, cors_origins=APP))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        assert (await http.get("/summary", headers={"Origin": APP})).status_code != 403
        assert (await http.get("/admin/models", headers={"Origin": APP})).status_code == 403


@browser.needed
def test_a_page_asks_from_a_real_browser(world: World, tmp_path: Path) -> None:
    """With its key and an image it gets the answer and its id; a page of another origin learns nothing."""
    script = f"""
        const image = Uint8Array.from({list(wire.PNG)});
        const headers = {{"X-API-Key": "{world.key}", "Content-Type": "image/png"}};
        try {{
            const options = {{method: "POST", headers, body: image}};
            const answer = await fetch("{world.server.url}/classify", options);
            return [answer.status, (await answer.json()).model.name, answer.headers.get("X-Request-ID")];
        }} catch (error) {{ return error.name }}
    """
    with browser.browsing(tmp_path) as page:
        page.open(f"{world.friend}/")
        status, name, request_id = page.run(script)
        page.open(f"{world.stranger}/")
        nothing = page.run(script)
    assert (status, name) == (200, "digits")
    assert re.fullmatch("[0-9a-f]{32}", request_id)
    assert nothing == "TypeError"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("*", ("*",)),
        ("https://a.example", ("https://a.example",)),
        (" HTTPS://A.example/ , http://localhost:3000 ", ("https://a.example", "http://localhost:3000")),
        ("https://a.example:443,http://b:80,http://c:443", ("https://a.example", "http://b", "http://c:443")),
        ("http://[::1]:8080", ("http://[::1]:8080",)),
    ],
)
def test_origins_are_read_as_browsers_send_them(text: str, expected: tuple[str, ...]) -> None:
    """In small letters, without a slash and without the scheme's own port."""
    assert addresses.origins(Settings(cors_origins=text).cors_origins) == expected


@pytest.mark.parametrize(
    "text", ["null", "a.example", "https://a.example/path", "https://*.a.example", "*,http://b"]
)
def test_what_is_no_origin_stops_the_start(text: str) -> None:
    """A mistake would otherwise let nobody in, or everybody."""
    with pytest.raises(ValueError, match=r"origins are written|stands alone"):
        Settings(cors_origins=text)
