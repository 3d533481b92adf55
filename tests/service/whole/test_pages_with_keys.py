"""Pages where keys are needed, in a browser: one is asked for, goes along, and is kept nowhere."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from service.access import keys
from tests import browser
from tests.pages import chromium, run_all, visiting
from tests.service import making
from tests.worlds import Server, serving

pytestmark = browser.needed
__all__ = ["chromium"]

EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def odd_digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with one small model, whose texts would like to be markup."""
    folder = tmp_path_factory.mktemp("models")
    version = making.first("digits", folder)
    labels = [f"{EVIL}{number}" for number in range(10)]
    making.edit(version, labels=labels, description=f"Digits {EVIL}")
    return folder


@pytest.fixture(scope="module")
def locked(odd_digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str, str]]:
    """A server that needs keys and is seen below a path, a key that may predict, and one that may not."""
    key, entry = keys.new(("predict",))
    other, another = keys.new(("metrics",))
    file = tmp_path_factory.mktemp("keys") / "keys.toml"
    file.write_text(f"{entry}\n{another}")
    options = {"default_classify": "digits", "keys_file": str(file), "root_path": "/striate"}
    with serving(odd_digits, engine="openvino", **options) as server:
        yield server, key, other


def test_with_keys_below_a_prefix(locked: tuple[Server, str, str], chromium: Browser, tmp_path: Path) -> None:
    """A key is asked for, kept by nothing that lasts, and goes along from page to page; labels and
    descriptions stay text; what only operators may know is not shown.
    """
    server, key, _ = locked
    address = f"{server.url}/striate"
    with visiting(chromium, server.url) as visit:
        page = visit.page
        page.goto(f"{address}/")
        page.locator("#key-text").fill("wrong.key")
        page.keyboard.press("Enter")
        expect(page.locator("#key-problem")).to_contain_text("This key is not let in")
        page.locator("#key-text").fill(key)
        page.keyboard.press("Enter")
        page.locator(".sample img[src^=blob]").first.wait_for()
        page.locator(".sample").first.click()
        expect(page.locator("#said b")).to_contain_text(EVIL)
        assert key not in page.content()
        run_all(visit, tmp_path, STRIATE_KEY=key)
        page.click("text=About digits")
        expect(page.locator("#layers")).to_contain_text("(3*3*1 + 1) * 32 = 320")
        expect(page.locator(".lead")).to_have_text(f"Digits {EVIL}")
        expect(page.locator("#samples .words").first).to_contain_text(EVIL)
        assert page.url == f"{address}/models/digits"
        page.go_back()
        page.locator(".sample img[src^=blob]").first.wait_for()
        assert page.locator("img[src=x]").count() == 0
        kept = "[localStorage.length, sessionStorage.length, document.cookie]"
        assert page.evaluate(kept) == [0, 0, ""]
        # Of each 401 a browser itself tells on the console.
        assert all("401" in each for each in visit.complaints)
        visit.complaints.clear()


def test_a_models_page_asks_for_a_key(locked: tuple[Server, str, str], chromium: Browser) -> None:
    """It tells nothing before, and all that is told to who may predict afterwards; a key for something else
    is forgotten, and another asked for.
    """
    server, key, other = locked
    with visiting(chromium, server.url) as visit:
        visit.page.goto(f"{server.url}/striate/models/digits")
        expect(visit.page.locator("h1")).to_have_text("A key is needed")
        assert "digits" not in visit.text("#main")
        visit.page.locator("#key-text").fill(other)
        visit.page.keyboard.press("Enter")
        expect(visit.page.locator("#main .problem")).to_contain_text("it takes one with the role predict")
        visit.page.click("#main .problem button")
        visit.page.locator("#key-text").fill(key)
        visit.page.keyboard.press("Enter")
        expect(visit.page.locator("h1")).to_have_text("digits 1")
        visit.complaints.clear()
