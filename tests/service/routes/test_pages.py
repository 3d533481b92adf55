"""Pages over HTTP: what each address gives to programs and browsers, and to whom."""

from pathlib import Path

import httpx
import numpy as np
import pytest

from service.access import keys
from service.access.keys import Role
from service.app import create_app
from service.configuration.settings import Settings
from tests.service import making, wire
from tests.worlds import Server

HTML = {"Accept": "text/html"}


def test_models_are_listed_for_the_page_that_tries_them(guarded: Server) -> None:
    """Each with its path, what may be chosen, and where its samples are, byte by byte as exported."""
    (told,) = httpx.get(f"{guarded.url}/models").json()["models"]
    assert (told["name"], told["version"], told["versions"]) == ("digits", 1, [1])
    assert (told["task"], told["path"], told["default"], told["labels"]) == (
        "classification",
        "classify",
        True,
        10,
    )
    assert told["familiarity"] == 0.01
    with np.load(making.shipped("digits") / "assets.extra" / "golden.npz") as archive:
        for number, address in enumerate(told["samples"]):
            sample = httpx.get(guarded.url + address)
            assert sample.content == archive[f"data_{number}"].tobytes()
            assert sample.headers["content-type"] in {"image/png", "image/jpeg", "image/webp"}


@pytest.mark.parametrize("path", ["/", "/models", "/models/digits"])
def test_pages_run_and_load_what_is_the_services_own(guarded: Server, path: str) -> None:
    """Nothing inline, no other host, no frame around them."""
    page = httpx.get(guarded.url + path, headers=HTML)
    assert page.headers["content-security-policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers["x-content-type-options"] == "nosniff"
    for inline in ("<style", " style=", "<script>", " onclick", "javascript:"):
        assert inline not in page.text


def test_files_are_sent_again_only_when_they_changed(guarded: Server) -> None:
    """By their digest; what is no file of pages is not found, wherever it may lie."""
    found = httpx.get(f"{guarded.url}/static/main.js")
    assert found.headers["content-type"] == "text/javascript; charset=utf-8"
    again = httpx.get(f"{guarded.url}/static/main.js", headers={"If-None-Match": found.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    for name in ("nosuch.js", "..%2Frendering.py", "%2Fetc%2Fhostname", "base.html"):
        assert httpx.get(f"{guarded.url}/static/{name}").status_code == 404


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/models/nosuch", 404, "model_not_found"),
        ("/models/digits?version=9", 404, "version_not_found"),
        ("/models/digits?nosuch=1", 422, "invalid_parameter"),
        ("/models/digits/samples/99", 404, "not_found"),
        ("/models/digits/samples/0?version=9", 404, "version_not_found"),
        ("/models/digits/samples/0?nosuch=1", 422, "invalid_parameter"),
        ("/models/digits/samples/-1", 404, "not_found"),
        ("/models/digits/samples/x", 404, "not_found"),
    ],
)
def test_what_is_not_there_is_told(guarded: Server, path: str, status: int, code: str) -> None:
    """As a problem document, with its status."""
    answer = httpx.get(guarded.url + path)
    assert answer.status_code == status
    assert (answer.json()["status"], answer.json()["code"]) == (status, code)


async def test_pages_are_there_beside_a_port_for_administration(tmp_path: Path) -> None:
    """They are for everybody; where no model is live, they say why."""
    app = create_app(Settings(models_dir=tmp_path, admin_port=9001))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        page = await http.get("/models", headers=HTML)
        assert page.status_code == 200
        assert "The models are still being loaded." in page.text
        assert '"/docs"' not in page.text
        assert (await http.get("/static/main.js")).status_code == 200


@pytest.mark.parametrize(
    ("headers", "offered"),
    [({}, True), ({"X-Forwarded-For": "192.0.2.9"}, False), ({"Host": "striate.example"}, False)],
)
def test_to_measure_is_offered_to_whom_it_is_allowed(
    guarded: Server, headers: dict[str, str], offered: bool
) -> None:
    """Without keys to this machine alone, and by no name that somebody gave it; others see the rest."""
    page = httpx.get(f"{guarded.url}/models/digits", headers=HTML | headers)
    assert page.status_code == 200
    assert ("Measure it here" in page.text) == offered
    if not offered:
        asked = f"{guarded.url}/summary?model=digits&measure=true"
        assert httpx.get(asked, headers=headers).status_code == 403


async def test_what_is_wrong_is_for_those_who_operate(tmp_path: Path) -> None:
    """Who may only predict is told that something is, not which model or why."""
    roles: tuple[Role, ...] = ("predict", "operate")
    made = {role: keys.new(roles[: at + 1]) for at, role in enumerate(roles)}
    file = tmp_path / "keys.toml"
    file.write_text("\n".join(entry for _, entry in made.values()))
    app = create_app(Settings(models_dir=tmp_path, auth="on", keys_file=file))
    repository = app.state.context.repository
    repository.loading, repository.complaint = False, "secret-model: policy.json: 7 is no label."
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        for role, (key, _) in made.items():
            head = {"Authorization": f"Bearer {key}"}
            told = (await http.get("/models", headers=head)).json()["complaint"]
            page = (await http.get("/models", headers=head | HTML)).text
            assert told == (repository.complaint if role == "operate" else "Not every model is live.")
            assert told in page
            assert ("secret-model" in page) == (role == "operate")


def test_an_answer_tells_where_its_time_went(guarded: Server) -> None:
    """In Server-Timing, stage by stage, together no longer than the whole."""
    header = httpx.post(
        f"{guarded.url}/classify", content=wire.PNG, headers={"Content-Type": "image/png"}
    ).headers
    times = dict(part.strip().split(";dur=") for part in header["server-timing"].split(","))
    assert list(times) == ["decode", "queue", "engine", "encode", "total"]
    *stages, total = map(float, times.values())
    assert stages[2] > 0
    assert sum(stages) <= total + 0.05
    assert "server-timing" not in httpx.get(f"{guarded.url}/livez").headers
