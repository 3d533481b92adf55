"""What a browser shows: rendered by a real one."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.worlds import Server

CHROMIUM = shutil.which("chromium")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: `make browser` installs it")


def rendered(url: str, profile: Path) -> str:
    """Return the page's document after its scripts have run, in a browser that reaches this machine only."""
    assert CHROMIUM
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        f"--user-data-dir={profile}",
        "--virtual-time-budget=20000",
        "--dump-dom",
        url,
    ]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=140).stdout


def test_docs_render_without_another_host(openvino_server: Server, tmp_path: Path) -> None:
    """/docs shows every endpoint in a browser that cannot reach any other server."""
    page = rendered(f"{openvino_server.url}/docs", tmp_path)
    for path in ("/classify", "/localize", "/segment", "/summary", "/readyz"):
        assert f'data-path="{path}"' in page


def test_summary_page_explains_the_model(openvino_server: Server, tmp_path: Path) -> None:
    """The page of a model shows its table; the page of all leads to it."""
    page = rendered(f"{openvino_server.url}/summary?model=tiny-segmentation", tmp_path)
    assert "<code>(3*3*3 + 1) * 16 = 448</code>" in page
    assert "1,941" in page
    overview = rendered(f"{openvino_server.url}/summary", tmp_path)
    assert 'href="/summary?model=tiny-segmentation"' in overview
