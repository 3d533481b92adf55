"""Several processes behind one port count as one service."""

import time
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import DEFAULTS
from tests.worlds import serving
from training import golden

PNG = golden.samples("pets", seed=5)[0].data


def counted(text: str) -> float:
    """Return the number of answered /classify requests in an exposition."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "striate_requests_total"
        and sample.labels["route"] == "/classify"
        and sample.labels["status"] == "200"
    )


def test_any_worker_counts_for_all(models_dir: Path) -> None:
    """With two workers every scrape has every request, whichever of the two answered it."""
    with serving(models_dir, engine="openvino", workers="2", **DEFAULTS) as server:
        answers = [
            httpx.post(f"{server.url}/classify", files={"file": PNG}, timeout=30).json()["results"][0]
            for _ in range(20)
        ]
        # A request is counted when its answer is out, which may be a moment after the client has it.
        until = time.monotonic() + 30
        while counted(httpx.get(f"{server.url}/metrics").text) < 20 and time.monotonic() < until:
            pass
        scrapes = [httpx.get(f"{server.url}/metrics").text for _ in range(8)]
    assert len({answer["label"] for answer in answers}) == 1
    assert [counted(text) for text in scrapes] == [20] * 8
    assert 'striate_model_version{engine="openvino",model="tiny-classification"' in scrapes[0]


def test_a_misspelt_setting_is_an_error(tmp_path: Path) -> None:
    """A STRIATE_ variable that is no setting ends the start with its name; nothing is ignored silently."""
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-m", "service"],
        env={"STRIATE_MAX_PIXEL": "1", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "STRIATE_MAX_PIXEL" in done.stderr
