"""A real browser that goes to a page, does something there and tells what it sees."""

import fcntl
import itertools
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium")

needed = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: `make browser` installs it")
"""For tests that start one."""

# It reaches this machine only.
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


_TELLING = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")


class Browser:
    """One page of a Chromium, told what to do by its DevTools protocol, as documents ended by a zero byte."""

    def __init__(self, sending: int, receiving: int) -> None:
        self._sending = sending
        self._receiving = os.fdopen(receiving, "rb", buffering=0)
        self._numbers = itertools.count(1)
        self._rest = b""
        self.console: list[str] = []
        """What pages have said on the console, errors of their scripts and refused requests among it."""
        target = self._call("Target.createTarget", {"url": "about:blank"})["targetId"]
        attached = self._call("Target.attachToTarget", {"targetId": target, "flatten": True})
        self._session: str = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._call(f"{domain}.enable", {}, self._session)

    def look_as(self, width: int, height: int, scheme: str) -> None:
        """Have a screen of so many pixels from now on, for pages in the colour scheme "dark" or "light"."""
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._call("Emulation.setDeviceMetricsOverride", screen, self._session)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._call("Emulation.setEmulatedMedia", {"features": features}, self._session)

    def open(self, url: str) -> None:
        """Go to a page, and return when it has loaded."""
        self._call("Page.navigate", {"url": url}, self._session)
        self.run("while (document.readyState != 'complete') await step(); return 0", url)

    def run(self, script: str, url: str = "") -> Any:
        """Return what the body of an async function returns; `step()` waits until the page has gone on."""
        helper = "const step = () => new Promise(done => setTimeout(done, 20));"
        # The page before may still be there when the first look is taken.
        arrived = f"while (location.href != {json.dumps(url)}) await step();" if url else ""
        expression = f"(async () => {{ {helper} {arrived} {script} }})()"
        while True:
            told = self._call(
                "Runtime.evaluate",
                {"expression": expression, "awaitPromise": True, "returnByValue": True},
                self._session,
                lenient=bool(url),
            )
            if told is not None:
                assert "exceptionDetails" not in told, told
                return told["result"].get("value")

    def _call(
        self, method: str, parameters: dict[str, Any], session: str = "", *, lenient: bool = False
    ) -> Any:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._sending, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self._rest:
                received = self._receiving.read(65536)
                assert received, "the browser has ended"
                self._rest += received
            text, _, self._rest = self._rest.partition(b"\0")
            answer = json.loads(text)
            if answer.get("method") in _TELLING:
                self.console.append(json.dumps(answer["params"]))
            if answer.get("id") == number:
                if lenient and "error" in answer:
                    return None
                assert "error" not in answer, answer
                return answer["result"]

    def close(self) -> None:
        """Let go of the pipe."""
        self._receiving.close()
        os.close(self._sending)


def _moved(descriptor: int) -> int:
    copy = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(descriptor)
    return copy


@contextmanager
def browsing(profile: Path) -> Iterator[Browser]:
    """Start a browser that listens on a pipe."""
    assert CHROMIUM
    (theirs_in, ours_out), (ours_in, theirs_out) = os.pipe(), os.pipe()
    # Out of the way of the two that it wants.
    theirs_in, theirs_out = _moved(theirs_in), _moved(theirs_out)
    # Chromium reads its orders from descriptor 3 and answers on 4.
    command = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
    arguments = [CHROMIUM, *OPTIONS, "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen(
        ["bash", "-c", command, "bash", *arguments],
        pass_fds=(theirs_in, theirs_out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        browser = Browser(ours_out, ours_in)
        try:
            yield browser
        finally:
            browser.close()
    finally:
        process.terminate()
        process.wait(30)
