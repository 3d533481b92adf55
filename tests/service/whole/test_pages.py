"""What a browser shows: rendered by a real one, which reaches this machine only."""

from pathlib import Path

from tests import browser
from tests.worlds import Server

pytestmark = browser.needed

ALL = "return document.documentElement.outerHTML"


def test_docs_render_without_another_host(openvino_server: Server, tmp_path: Path) -> None:
    """/docs shows every endpoint in a browser that cannot reach any other server."""
    with browser.browsing(tmp_path) as page:
        page.open(f"{openvino_server.url}/docs")
        # A script draws it.
        found = page.run(f"while (!document.querySelector('[data-path]')) await step(); {ALL}")
    for path in ("/classify", "/localize", "/segment", "/summary", "/readyz"):
        assert f'data-path="{path}"' in found


def test_summary_page_explains_the_model(openvino_server: Server, tmp_path: Path) -> None:
    """The page of a model shows its table; the page of all leads to it."""
    with browser.browsing(tmp_path) as page:
        page.open(f"{openvino_server.url}/summary?model=tiny-segmentation")
        found = page.run(ALL)
        assert "<code>(3*3*3 + 1) * 16 = 448</code>" in found
        assert "1,941" in found
        page.open(f"{openvino_server.url}/summary")
        assert 'href="/summary?model=tiny-segmentation"' in page.run(ALL)
