"""The process and its host: blocked logs, few descriptors, being stopped, no home, no calls to anybody."""

import ast
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import httpx
import numpy as np
import pytest

import service
from tests.conftest import DEFAULTS
from tests.processes import until
from tests.service.answers import JPEG
from tests.worlds import serving

RAW = {"Content-Type": "image/jpeg"}
AUDIT = """
import sys

def hook(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.system"):
        if not (event == "socket.getaddrinfo" and arguments[0] in ("127.0.0.1", None)):
            print("AUDIT", event, arguments[-1], file=sys.stderr, flush=True)

sys.addaudithook(hook)
"""


def free_port() -> int:
    """Return a free port below those that the kernel gives to connections."""
    while True:
        port = random.SystemRandom().randrange(20000, 32000)
        with socket.socket() as found, suppress(OSError):
            found.bind(("127.0.0.1", port))
            return port


def wait_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    def ready() -> bool:
        assert process.poll() is None
        with suppress(httpx.TransportError):
            return client.get("/readyz").status_code == 200
        return False

    with httpx.Client(base_url=url) as client:
        until(ready)


def test_a_blocked_log_stops_nobody(models_dir: Path) -> None:
    """(H13) With stderr a pipe that is full and not read, at the chattiest level, requests are answered."""
    port = free_port()
    environment = os.environ | {
        "STRIATE_MODELS_DIR": str(models_dir),
        "STRIATE_PORT": str(port),
        "STRIATE_ENGINE": "openvino",
        "STRIATE_LOG_LEVEL": "debug",
        "STRIATE_DEFAULT_CLASSIFY": "tiny-classification",
    }
    read, write = os.pipe()
    os.set_blocking(write, False)
    try:
        while True:
            os.write(write, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(write, True)
    process = subprocess.Popen([sys.executable, "-m", "service"], env=environment, stderr=write)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_ready(url, process)
        for _ in range(20):
            assert httpx.post(f"{url}/classify", content=JPEG, headers=RAW, timeout=5).status_code == 200
            assert httpx.post(f"{url}/classify", content=b"x", headers=RAW, timeout=5).status_code == 415
    finally:
        process.kill()
        process.wait()
        os.close(read)
        os.close(write)


def test_few_descriptors_are_survived(models_dir: Path) -> None:
    """(H9) More connections than descriptors: no crash, no busy loop; afterwards all is answered again."""
    with serving(models_dir, engine="openvino", **DEFAULTS) as server:
        pid = server.process.pid
        used = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 16, used + 16))
        parts = urlsplit(server.url)
        crowd = [socket.create_connection((parts.hostname or "", parts.port or 0)) for _ in range(40)]
        ticks = cpu_ticks(pid)
        time.sleep(0.5)  # what is measured is a span of time
        assert (cpu_ticks(pid) - ticks) / os.sysconf("SC_CLK_TCK") < 0.25
        for each in crowd:
            each.close()
        with httpx.Client(base_url=server.url, timeout=10) as client:
            assert client.post("/classify", content=JPEG, headers=RAW).status_code == 200


def cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_being_stopped_and_continued_is_survived(models_dir: Path) -> None:
    """(H12) Stopped for longer than the deadline and continued: who waited gets an answer or a 504, and the
    next request is answered.
    """
    with serving(models_dir, engine="openvino", deadline_ms="200", **DEFAULTS) as server:
        parts = urlsplit(server.url)
        head = (
            f"POST /classify HTTP/1.1\r\nHost: a\r\nContent-Type: image/jpeg\r\nContent-Length: {len(JPEG)}"
        )
        with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10) as waiting:
            server.process.send_signal(signal.SIGSTOP)
            waiting.sendall(head.encode() + b"\r\n\r\n" + JPEG)
            time.sleep(0.5)  # what is tested is a span of time
            server.process.send_signal(signal.SIGCONT)
            assert waiting.recv(12) in (b"HTTP/1.1 200", b"HTTP/1.1 503", b"HTTP/1.1 504")
        # Others may be so busy that an answer takes longer than the deadline.
        until = time.monotonic() + 30
        answer = httpx.post(f"{server.url}/classify", content=JPEG, headers=RAW, timeout=10)
        while answer.status_code != 200 and time.monotonic() < until:
            answer = httpx.post(f"{server.url}/classify", content=JPEG, headers=RAW, timeout=10)
        assert answer.status_code == 200


def test_no_home_and_no_temporary_folder_are_needed(models_dir: Path, tmp_path: Path) -> None:
    """(H8, B19) Without HOME, in a folder that cannot be written, with no temporary folder: it serves, and no
    file appears anywhere near it.
    """
    port = free_port()
    bare = tmp_path / "bare"
    bare.mkdir()
    environment = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(Path(service.__file__).parents[1]),
        "TMPDIR": str(tmp_path / "nowhere"),
        "STRIATE_MODELS_DIR": str(models_dir),
        "STRIATE_PORT": str(port),
        "STRIATE_ENGINE": "openvino",
        "STRIATE_DEFAULT_CLASSIFY": "tiny-classification",
    }
    bare.chmod(0o555)
    process = subprocess.Popen(
        [sys.executable, "-m", "service"], env=environment, cwd=bare, stderr=subprocess.DEVNULL
    )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_ready(url, process)
        answer = httpx.post(f"{url}/classify", files={"file": JPEG}, timeout=10)
        assert answer.status_code == 200
    finally:
        process.kill()
        process.wait()
    assert list(bare.iterdir()) == []
    assert not (tmp_path / "nowhere").exists()


def test_a_full_disk_stops_nobody(models_dir: Path) -> None:
    """(H7) Where no file can grow by a byte and the log's device is full, every request is answered, with
    several parts and with images that other uploads would spool to a disk.
    """
    port = free_port()
    environment = os.environ | {
        "STRIATE_MODELS_DIR": str(models_dir),
        "STRIATE_PORT": str(port),
        "STRIATE_ENGINE": "openvino",
        "STRIATE_LOG_LEVEL": "debug",
        "STRIATE_DEFAULT_CLASSIFY": "tiny-classification",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    # What a process may write to any one file: the same error as a full disk, without the right to mount one.
    full = ["prlimit", "--fsize=0", sys.executable, "-m", "service"]
    noise = np.random.default_rng(0).integers(0, 256, (1024, 1024, 3), np.uint8)
    large = cv2.imencode(".png", noise)[1].tobytes()
    with Path("/dev/full").open("wb") as device:
        process = subprocess.Popen(full, env=environment, stderr=device)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_ready(url, process)
        for data in (JPEG, large):
            assert httpx.post(f"{url}/classify", files={"file": data}, timeout=10).status_code == 200
            assert httpx.post(f"{url}/classify", files={"file": data[:300]}, timeout=10).status_code == 422
        assert httpx.get(f"{url}/metrics").status_code == 200
    finally:
        process.terminate()
        assert process.wait(10) in (0, -signal.SIGTERM)


def test_nobody_is_called(models_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """(H14) From start to stop the service opens no connection, asks no name server and starts no program."""
    (tmp_path / "sitecustomize.py").write_text(AUDIT)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path(service.__file__).parents[1]}")
    with serving(models_dir, engine="openvino", **DEFAULTS) as server:
        assert httpx.post(f"{server.url}/classify", files={"file": JPEG}).status_code == 200
    assert not [line for line in server.log if "AUDIT" in line]


def test_a_taken_port_ends_the_start(models_dir: Path) -> None:
    """(H18) A start that fails says why and ends with a status that a supervisor sees."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        environment = os.environ | {
            "STRIATE_MODELS_DIR": str(models_dir),
            "STRIATE_PORT": str(taken.getsockname()[1]),
            "STRIATE_ENGINE": "openvino",
        }
        done = subprocess.run(
            [sys.executable, "-m", "service"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 3
    assert "address already in use" in done.stderr


def test_no_clock_that_can_jump_is_read() -> None:
    """(H11) Deadlines and intervals are of the monotonic clock: no module reads the wall clock, but those
    that know dates: when a key expires, and when a model was asked last.
    """
    wall = {("time", "time"), ("datetime", "now"), ("datetime", "utcnow")}
    readers = [
        f"{path.name}:{node.lineno}"
        for path in Path(service.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and (node.value.id, node.attr) in wall
        and path.name not in {"keys.py", "statistics.py"}
    ]
    assert not readers
