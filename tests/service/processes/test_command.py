"""The start from the command line: wrong settings are told in sentences, and Ctrl-C is no accident."""

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from service.configuration.environment import injected
from service.configuration.settings import Settings
from tests.processes import children, until
from tests.service.wire import PNG
from tests.worlds import Server, serving

KUBERNETES = {
    "STRIATE_SERVICE_HOST": "10.96.0.17",
    "STRIATE_SERVICE_PORT": "8000",
    "STRIATE_SERVICE_PORT_HTTP": "8000",
    "STRIATE_PORT": "tcp://10.96.0.17:8000",
    "STRIATE_PORT_8000_TCP": "tcp://10.96.0.17:8000",
    "STRIATE_PORT_8000_TCP_PROTO": "tcp",
    "STRIATE_PORT_8000_TCP_PORT": "8000",
    "STRIATE_PORT_8000_TCP_ADDR": "10.96.0.17",
    # Of a Service named striate-admin, in a cluster of IPv6.
    "STRIATE_ADMIN_PORT": "tcp://[fd00:10:96::9]:9000",
    "STRIATE_ADMIN_SERVICE_HOST": "fd00:10:96::9",
    "STRIATE_ADMIN_PORT_9000_UDP": "udp://[fd00:10:96::9]:9000",
}
"""What a container is given beside Services of these names."""


def start(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Start the service with these words and STRIATE_ variables, and wait for its end."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("STRIATE_")}
    return subprocess.run(
        [sys.executable, "-m", "service", *words],
        env=environment | {f"STRIATE_{name.upper()}": value for name, value in variables.items()},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(("name", "value"), KUBERNETES.items())
def test_what_kubernetes_injects_is_no_setting(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """A variable in the form that Kubernetes gives one is passed over, whatever setting has that name."""
    for each in [each for each in os.environ if each.upper().startswith("STRIATE_")]:
        monkeypatch.delenv(each)
    monkeypatch.setenv(name, value)
    assert injected(name, value)
    assert Settings() == Settings.model_validate({})
    assert (Settings().port, Settings().admin_port) == (8000, None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STRIATE_PORT", "8000"),
        ("STRIATE_PORT", "tcp://x"),
        ("STRIATE_PORT", "tcp://10.0.0.1:8000/"),
        ("STRIATE_HOST", "10.96.0.17"),
        ("STRIATE_SERVICE_HOST", "example.org"),
        ("STRIATE_PORTS", "tcp://10.0.0.1:8000"),
        ("OTHER_PORT", "tcp://10.0.0.1:8000"),
    ],
)
def test_only_that_form_is_passed_over(name: str, value: str) -> None:
    """What only looks like it is read as a setting, or warned of."""
    assert not injected(name, value)


def test_beside_a_service_of_that_name_it_starts(digits_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With all of them in the environment it starts and says nothing of them; an unknown name is told with
    the nearest one that there is.
    """
    for name, value in KUBERNETES.items():
        if name != "STRIATE_PORT":
            monkeypatch.setenv(name, value)
    given = {name.removeprefix("STRIATE_").lower(): value for name, value in KUBERNETES.items()}
    given.pop("port")
    given |= {"max_pixel": "1", "engine": "openvino", "default_classify": "digits", "log_level": "Info"}
    with serving(digits_dir, **given) as server:
        assert httpx.post(f"{server.url}/classify", files={"file": PNG}).status_code == 200
    told = [line for line in server.log if "is no setting" in line]
    assert len(told) == 1
    assert "STRIATE_MAX_PIXEL is no setting and is passed over; the nearest is STRIATE_MAX_PIXELS" in told[0]


def test_every_wrong_value_has_its_sentence() -> None:
    """Each wrong setting gets one sentence with its name, its value and what is right; nothing that only
    follows from another is told; the status is 2.
    """
    wrong = {
        "port": "http",
        "workers": "0",
        "engine": "torch",
        "head_seconds": "inf",
        "max_pixels": "12.5",
        "keep_previous": "perhaps",
        "trusted_proxies": "10.0.0.0/99",
    }
    done = start(**wrong)
    assert done.returncode == 2
    assert sorted(done.stderr.splitlines()) == [
        "error: STRIATE_ENGINE (--engine) is 'torch': it must be one of auto, tensorflow, openvino.",
        "error: STRIATE_HEAD_SECONDS (--head-seconds) is 'inf': it must be a number above 0.",
        "error: STRIATE_KEEP_PREVIOUS (--keep-previous) is 'perhaps': it must be true or false.",
        "error: STRIATE_MAX_PIXELS (--max-pixels) is '12.5': it must be a whole number from 1024 "
        "to 268435456.",
        "error: STRIATE_PORT (--port) is 'http': it must be a whole number from 0 to 65535.",
        "error: STRIATE_TRUSTED_PROXIES (--trusted-proxies) is '10.0.0.0/99': networks are written like "
        "10.0.0.0/8,192.168.1.5,fd00::/8.",
        "error: STRIATE_WORKERS (--workers) is '0': it must be a whole number from 1 to 256.",
    ]


def test_every_contradiction_has_its_sentence() -> None:
    """Settings that contradict each other are all told at once, those on the command line too."""
    done = start("--admin-port", "8000", max_queue="4", max_images="8", tls_cert_file="x.pem")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "error: max_queue (4) is less than max_images (8): the largest request allowed could never enter.",
        "error: tls_cert_file and tls_key_file belong together: one is set, the other is not.",
        "error: admin_port and port are both 8000; they must differ.",
    ]


@pytest.mark.parametrize("text", ["INFO", "Warning", "debug", " Error "])
def test_levels_are_read_in_any_case(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log level, as every choice, is read in any case."""
    monkeypatch.setenv("STRIATE_LOG_LEVEL", text)
    monkeypatch.setenv("STRIATE_ENGINE", "OpenVINO")
    settings = Settings()
    assert (settings.log_level, settings.engine) == (text.strip().lower(), "openvino")


def test_what_is_empty_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty variable, as a compose file passes on what is not set, leaves the default."""
    for name in ("PORT", "HOST", "LOG_LEVEL", "ADMIN_PORT", "WORKERS"):
        monkeypatch.setenv(f"STRIATE_{name}", "")
    settings = Settings()
    assert (settings.port, settings.host, settings.admin_port) == (8000, "127.0.0.1", None)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_ends_without_a_traceback(digits_dir: Path, workers: str) -> None:
    """SIGINT to all processes of the terminal, as Ctrl-C sends it, ends them with status 130 and no more."""
    with serving(digits_dir, workers=workers, engine="openvino", default_classify="digits") as server:
        family = [server.process.pid, *children(server.process.pid)]
        for pid in family:
            os.kill(pid, signal.SIGINT)
        assert server.process.wait(30) == 130
    assert "Traceback" not in "".join(server.log)
    assert "KeyboardInterrupt" not in "".join(server.log)


def imports(pid: int) -> bool:
    """Tell whether a process is a worker, and no fork of its parent any more, that is amid its imports."""
    with suppress(OSError):
        worker = "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()
        return worker and "pydantic_core" in Path(f"/proc/{pid}/maps").read_text()
    return False


@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_during_the_start(digits_dir: Path, workers: str) -> None:
    """Ctrl-C while the models are being loaded, and workers import what they need, ends it so, too."""
    environment = os.environ | {
        "STRIATE_MODELS_DIR": str(digits_dir),
        "STRIATE_PORT": "0",
        "STRIATE_WORKERS": workers,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "service"],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    server = Server(process)
    line = server.read_until("running on")
    assert re.search(r"running on http://127\.0\.0\.1:\d+", line)
    until(lambda: workers == "1" or process.poll() is not None or any(map(imports, children(process.pid))))
    assert process.poll() is None
    # To all of them, as a terminal does.
    os.killpg(process.pid, signal.SIGINT)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in rest


LISTENERS = [
    {},
    {"workers": "2"},
    {"admin_port": "0"},
    {"workers": "2", "admin_port": "0", "admin_host": "::"},
]


@pytest.mark.parametrize("settings", LISTENERS, ids=str)
def test_two_colons_are_every_address(digits_dir: Path, settings: dict[str, str]) -> None:
    """HOST=:: is every address, IPv6's and IPv4's, with one listener, with workers, and with another port for
    the administration.
    """
    given = {"host": "::", "auth": "off", "engine": "openvino", "default_classify": "digits", **settings}
    environment = os.environ | {f"STRIATE_{name.upper()}": value for name, value in given.items()}
    environment |= {"STRIATE_MODELS_DIR": str(digits_dir), "STRIATE_PORT": "0"}
    process = subprocess.Popen(
        [sys.executable, "-m", "service"], env=environment, stderr=subprocess.PIPE, text=True
    )
    server = Server(process)
    try:
        found = re.search(r"running on http://\[::\]:(\d+)", server.read_until("running on"))
        assert found
        log = "".join(server.log)
        ports = [
            int(found[1]),
            *(int(port) for port in re.findall(r"administration on port (\d+) of ::", log)),
        ]
        server.read_until("service: ready")
        for port in ports:
            for host in ("127.0.0.1", "[::1]"):
                assert httpx.get(f"http://{host}:{port}/livez").status_code == 200
    finally:
        process.terminate()
        process.communicate(timeout=60)
