"""GET /: what who comes with nothing but the address is led to, and what every address takes."""

from pathlib import Path

import httpx
import pytest

from service.app import create_app
from service.configuration.settings import Settings
from tests.service import wire
from tests.worlds import Server


def test_the_index_leads_to_every_address(guarded: Server) -> None:
    """As a document for programs, as a page for browsers; each GET that it names is there."""
    document = httpx.get(f"{guarded.url}/")
    assert document.headers["content-type"] == "application/json"
    links = {link["href"]: link["method"] for link in document.json()["links"]}
    assert set(links) == {
        *(
            "/classify",
            "/localize",
            "/segment",
            "/explain",
            "/summary",
            "/livez",
            "/readyz",
            "/metrics",
            "/docs",
        ),
        *("/openapi.json", "/models"),
    }
    page = httpx.get(f"{guarded.url}/", headers={"Accept": "text/html,*/*;q=0.8"})
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for href, method in links.items():
        if method == "GET":
            assert httpx.get(guarded.url + href).status_code == 200
    for href in ("/models", "/docs", "/static/main.js", "/static/style.css"):
        assert f'="{href}"' in page.text
        assert httpx.get(guarded.url + href).status_code == 200
    assert httpx.get(f"{guarded.url}/", headers={"Accept": "image/png"}).status_code == 406


async def test_the_index_names_what_its_listener_has(tmp_path: Path) -> None:
    """Where administration has a port of its own, or the docs are off, they are not named here."""
    for settings in (
        Settings(models_dir=tmp_path, admin_port=9001),
        Settings(models_dir=tmp_path, docs="off"),
    ):
        transport = httpx.ASGITransport(app=create_app(settings))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
            hrefs = {link["href"] for link in (await http.get("/")).json()["links"]}
        assert "/docs" not in hrefs
        assert ("/metrics" in hrefs) == (settings.admin_port is None)
        assert "/classify" in hrefs


PAGES = (
    *("/", "/livez", "/readyz", "/summary", "/metrics", "/admin/models", "/docs", "/openapi.json"),
    *("/models", "/models/digits", "/models/digits/samples/0", "/static/style.css"),
)
FILE = "/static-offline-docs/swagger-ui.css"


@pytest.mark.parametrize("path", [*PAGES, FILE, "/summary?model=digits", "/nosuch"])
def test_head_is_get_without_its_body(guarded: Server, path: str) -> None:
    """The same status and headers, also of pages and files, and the connection goes on."""
    with httpx.Client(base_url=guarded.url) as client:
        for accept in ("*/*", "text/html"):
            got, headed = (
                client.request(method, path, headers={"Accept": accept}) for method in ("GET", "HEAD")
            )
            assert headed.status_code == got.status_code
            assert headed.content == b""
            changing = {
                "date",
                "x-request-id",
                "content-length" if path in {"/metrics", "/readyz"} else "date",
            }
            assert {name: value for name, value in headed.headers.items() if name not in changing} == {
                name: value for name, value in got.headers.items() if name not in changing
            }
        assert client.get("/livez").status_code == 200


@pytest.mark.parametrize("method", ["OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "QUERY"])
def test_every_405_names_what_is_taken(guarded: Server, method: str) -> None:
    """All methods of an address, HEAD among them where GET is, in a fixed order (RFC 9110, 15.5.6)."""
    allowed = dict.fromkeys((*PAGES, FILE, "/summary%0A"), "GET, HEAD")
    allowed |= {
        "/admin/models": "GET, HEAD, POST",
        "/classify": "POST",
        "/localize": "POST",
        "/segment": "POST",
        "/explain": "POST",
    }
    with httpx.Client(base_url=guarded.url) as client:
        for path, methods in allowed.items():
            answer = client.request(method, path)
            assert (answer.status_code, answer.headers["allow"]) == (405, methods), path
            assert answer.json()["code"] == "method_not_allowed"
        for path in ("/classify", "/localize", "/segment"):
            for other in ("GET", "HEAD"):
                answer = client.request(other, path)
                assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
        for path in (*PAGES, FILE):
            if path != "/admin/models":
                answer = client.post(path, content=wire.PNG)
                assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
