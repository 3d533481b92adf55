"""Pages as people meet them: in a real browser, which reaches this machine only and tells what goes wrong."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright._impl._driver import compute_driver_executable
from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, Request, sync_playwright

from tests.browser import CHROMIUM, OPTIONS

WORDS = (
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
    *(each for each in OPTIONS if not each.startswith("--headless")),
)


def node() -> str:
    """Return the JavaScript engine that Playwright brings, to run code that a page gives."""
    found = compute_driver_executable()
    return shutil.which("node") or str(found[0] if isinstance(found, tuple) else found)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser for the tests of a file: Playwright's loop must not outlive them, beside tests with one."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=list(WORDS))
        yield started
        started.close()


class Visit:
    """A page with all that it asked for and complained of."""

    def __init__(self, page: Page, host: str) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.asked: list[Request] = []
        self._host = host
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", self._opened)
        page.on("request", self._requested)

    def _said(self, told: ConsoleMessage) -> None:
        if told.type in {"error", "warning"}:
            self.complaints.append(told.text)

    def _opened(self, dialog: Dialog) -> None:
        self.complaints.append(dialog.message)
        dialog.dismiss()

    def _requested(self, request: Request) -> None:
        self.asked.append(request)

    def posts(self) -> list[str]:
        """Return the addresses to which something was posted."""
        return [each.url for each in self.asked if each.method == "POST"]

    def check(self) -> None:
        """Assert that the page is fit for a screen reader and for the screen, and that it stayed here."""
        found = Axe().run(self.page)
        assert not found.violations_count, found.generate_report()
        width = self.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert width[0] <= width[1]
        foreign = [each.url for each in self.asked if not each.url.startswith((self._host, "blob:"))]
        assert not foreign

    def text(self, selector: str) -> str:
        """Return what is to be read in an element."""
        return self.page.locator(selector).inner_text()


@contextmanager
def visiting(
    browser: Browser, host: str, *, width: int = 1440, dark: bool = False, permissions: Sequence[str] = ()
) -> Iterator[Visit]:
    """Open a page of its own, and assert at the end that nothing went wrong that nobody expected."""
    context = browser.new_context(
        viewport={"width": width, "height": 800},
        color_scheme="dark" if dark else "light",
        permissions=list(permissions),
    )
    context.set_default_timeout(20_000)
    visit = Visit(context.new_page(), host)
    try:
        yield visit
        visit.check()
        assert not visit.complaints
    finally:
        context.close()


def dropped(visit: Visit, selector: str, kind: str, files: Sequence[tuple[str, str, bytes]]) -> None:
    """Have files (name, media type, bytes) dropped on an element, or pasted into the page."""
    listed = [[name, media, list(data)] for name, media, data in files]
    visit.page.evaluate(
        """([selector, kind, listed]) => {
            const data = new DataTransfer();
            for (const [name, type, bytes] of listed) {
                data.items.add(new File([new Uint8Array(bytes)], name, {type}));
            }
            const told = {bubbles: true, cancelable: true};
            document.querySelector(selector).dispatchEvent(kind === 'paste'
                ? new ClipboardEvent('paste', {...told, clipboardData: data})
                : new DragEvent('drop', {...told, dataTransfer: data}));
        }""",
        [selector, kind, listed],
    )


def shown_answer(visit: Visit) -> Any:
    return json.loads(visit.page.locator("#json").text_content() or "")


def run(command: list[str], folder: Path, **environment: str) -> Any:
    told = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return json.loads(told.stdout)


def run_all(visit: Visit, folder: Path, **environment: str) -> None:
    """Run the shown code in each language, as it stands: each gives the answer that is shown."""
    for tab, command in (
        ("curl", ["bash", "-c"]),
        ("python", [sys.executable, "-c"]),
        ("javascript", [node(), "--input-type=module", "-e"]),
    ):
        visit.page.click(f"#tab-{tab}")
        assert run([*command, visit.text("#code")], folder, **environment) == shown_answer(visit), tab
