"""Below a prefix: behind a real proxy that takes it off the path, as a browser and programs see it."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from service.app import create_app
from service.configuration.settings import Settings
from tests import browser
from tests.service import wire
from tests.worlds import Server, serving


class Proxy(ThreadingHTTPServer):
    """Takes `/vision/striate` off each path and hands the rest on, with the headers that it is given."""

    prefix = "/vision/striate"
    block_on_close = False

    def __init__(self, upstream: str, added: dict[str, str]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream, self.added = httpx.URL(upstream), added


class _Handler(BaseHTTPRequestHandler):
    server: Proxy

    def _pass_on(self) -> None:
        proxy = self.server
        if not self.path.startswith(proxy.prefix + "/"):
            self.send_error(404, "not the service's")
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        upstream = http.client.HTTPConnection(proxy.upstream.host, proxy.upstream.port, timeout=30)
        headers = {**dict(self.headers), **proxy.added, "Host": proxy.upstream.netloc.decode()}
        upstream.request(self.command, self.path.removeprefix(proxy.prefix), body, headers)
        answer = upstream.getresponse()
        content = answer.read()
        upstream.close()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            self.send_header(name, value)
        # A browser that goes on to the next page waits for nothing of this one.
        with suppress(ConnectionError):
            self.end_headers()
            self.wfile.write(content)

    do_GET = do_POST = do_HEAD = _pass_on  # noqa: N815 - as http.server calls them

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def proxying(server: Server, **added: str) -> Iterator[str]:
    """Run a proxy in front of the server; give the address below which it shows it."""
    with Proxy(server.url, {name.replace("_", "-"): value for name, value in added.items()}) as proxy:
        thread = threading.Thread(target=proxy.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{proxy.server_port}{proxy.prefix}"
        finally:
            proxy.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def server(digits_dir: Path) -> Iterator[Server]:
    """A server that trusts a proxy on this machine."""
    with serving(digits_dir, engine="openvino", trusted_proxies="127.0.0.1,::1") as running:
        yield running


@pytest.fixture(scope="module")
def address(server: Server) -> Iterator[str]:
    """Where a browser sees that server."""
    with proxying(server, X_Forwarded_Prefix=Proxy.prefix) as shown:
        yield shown


def test_every_link_leads_back_below_the_prefix(address: str) -> None:
    """Each link of the index, as a document and as a page, and each of the pages' links, is answered."""
    root = httpx.URL(address).path
    index = httpx.get(f"{address}/").json()
    assert {link["href"].removeprefix(root) for link in index["links"]} >= {"/classify", "/summary", "/docs"}
    assert all(link["href"].startswith(f"{root}/") for link in index["links"])
    for link in index["links"]:
        if link["method"] == "GET":
            assert httpx.get(httpx.URL(address).join(link["href"])).status_code == 200
    for path, target in (
        ("/", "/models"),
        ("/models", "/models/digits"),
        ("/models/digits", "/models"),
        ("/summary", "/summary?model=digits"),
        ("/summary?model=digits", "/summary"),
    ):
        page = httpx.get(address + path, headers={"Accept": "text/html"}).text
        assert f'href="{root}{target}"' in page
    assert httpx.get(f"{address}/openapi.json").json()["servers"] == [{"url": root}]
    assert httpx.post(f"{address}/classify", files={"file": wire.PNG}).json()["model"]["name"] == "digits"


@browser.needed
def test_try_it_out_works_below_the_prefix(address: str, tmp_path: Path) -> None:
    """In a real browser, /docs shows the endpoints, and what it sends arrives below the prefix."""
    with browser.browsing(tmp_path) as page:
        page.open(f"{address}/docs")
        shown = page.run(
            """
            const find = async text => {
                let at;
                while (!(at = document.querySelector(text))) await step();
                return at;
            };
            (await find('[data-path="/livez"]')).closest('.opblock').querySelector('button').click();
            (await find('.try-out__btn')).click();
            (await find('.execute')).click();
            const url = (await find('.request-url pre')).innerText;
            const status = (await find('.live-responses-table tbody .response-col_status')).innerText;
            const body = (await find('.live-responses-table .highlight-code')).innerText;
            return [url.trim(), status.trim(), body];
            """
        )
    assert shown[0] == f"{address}/livez"
    assert shown[1] == "200"
    assert '"status": "alive"' in shown[2]


@browser.needed
def test_a_browser_finds_its_way_from_the_address_alone(address: str, tmp_path: Path) -> None:
    """From GET / by its links to a model's page, each within its Content-Security-Policy."""
    with browser.browsing(tmp_path) as page:
        page.open(f"{address}/")
        follow = "const link = [...document.links].find(each => each.href.endsWith(%r)); return link.href"
        page.open(page.run(follow % "/models"))
        page.open(page.run(follow % "/models/digits"))
        assert page.run("return document.querySelector('h1').innerText") == "digits 1"
        assert (
            page.run("return getComputedStyle(document.querySelector('table')).borderCollapse") == "collapse"
        )


PATHS = (
    "/",
    "/livez",
    "/openapi.json",
    "/summary",
    "/models",
    "/static/main.js",
    "/static-offline-docs/swagger-ui.css",
)


async def asked(settings: Settings, path: str, peer: str = "10.0.0.1", **headers: str) -> httpx.Response:
    transport = httpx.ASGITransport(app=create_app(settings), client=(peer, 5))
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        return await http.get(path, headers=raw)


async def root_of(settings: Settings, peer: str = "10.0.0.1", **headers: str) -> str:
    """Return the path before each link of the index."""
    links = (await asked(settings, "/", peer, **headers)).json()["links"]
    (root,) = {link["href"].rpartition("/")[0] for link in links}
    return str(root)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("/striate", "/striate"),
        ("/striate/", "/striate"),
        ("/a/b-c/d.e_f~1", "/a/b-c/d.e_f~1"),
        ("/", ""),
        ("", ""),
        ("/client, /proxy", "/proxy"),
        ("striate", "/own"),
        ("//evil.example", "/own"),
        ("/a//evil.example", "/own"),
        ("/\\evil.example", "/own"),
        ("https://evil.example", "/own"),
        ("/a/../b", "/own"),
        ("/..", "/own"),
        ("/.hidden", "/own"),
        ("/a?b", "/own"),
        ("/a#b", "/own"),
        ("/%2f%2fevil.example", "/own"),
        ('/"><script>alert(1)</script>', "/own"),
        ("/\u00e4", "/own"),
        ("/" + "a" * 256, "/own"),
    ],
)
async def test_only_a_clean_prefix_counts(tmp_path: Path, given: str, expected: str) -> None:
    """What a trusted proxy sends is taken where it is a clean path; else the setting holds."""
    settings = Settings(models_dir=tmp_path, root_path="/own", trusted_proxies="10.0.0.0/8")
    assert await root_of(settings, X_Forwarded_Prefix=given) == expected


async def test_a_prefix_counts_from_trusted_proxies_only(tmp_path: Path) -> None:
    """Anybody else's is not read, also where an IPv4 address comes mapped into IPv6."""
    settings = Settings(models_dir=tmp_path, trusted_proxies="10.0.0.0/8")
    for peer, expected in (
        ("10.1.2.3", "/a"),
        ("::ffff:10.1.2.3", "/a"),
        ("192.0.2.1", ""),
        ("127.0.0.1", ""),
    ):
        assert await root_of(settings, peer, X_Forwarded_Prefix="/a") == expected, peer
    assert await root_of(Settings(models_dir=tmp_path), X_Forwarded_Prefix="/a") == ""


async def test_the_setting_holds_whether_the_proxy_strips_or_not(tmp_path: Path) -> None:
    """Each address is found with the prefix and without; what only begins like it is not below it."""
    settings = Settings(models_dir=tmp_path, root_path="/striate/")
    for path in ("/", "/livez", "/openapi.json", "/docs", "/static-offline-docs/swagger-ui.css"):
        stripped, whole = await asked(settings, path), await asked(settings, f"/striate{path}")
        assert stripped.status_code == whole.status_code == 200, path
        assert stripped.content == whole.content
    assert (await asked(settings, "/striate")).json() == (await asked(settings, "/")).json()
    assert await root_of(settings) == "/striate"
    for path in ("/striatex", "/striate/nosuch", "/striate/striate/livez"):
        assert (await asked(settings, path)).status_code == 404


async def test_a_prefix_may_be_named_as_an_address_is(tmp_path: Path) -> None:
    """A proxy may show the service below /docs; its own /docs is then /docs/docs."""
    settings = Settings(models_dir=tmp_path, trusted_proxies="10.0.0.1")
    assert (
        (await asked(settings, "/docs", X_Forwarded_Prefix="/docs"))
        .headers["content-type"]
        .startswith("text/html")
    )
    assert (await asked(settings, "/livez", X_Forwarded_Prefix="/docs")).status_code == 200
    assert await root_of(settings, X_Forwarded_Prefix="/docs") == "/docs"


@pytest.mark.parametrize("text", ["striate", "//a", "/a/../b", "https://a.example", "/a b", "/a?b"])
def test_a_root_path_that_is_none_stops_the_start(text: str) -> None:
    """With words that say how one is written."""
    with pytest.raises(ValueError, match="/striate or /vision/striate"):
        Settings(root_path=text)
