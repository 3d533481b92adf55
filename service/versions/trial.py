"""A version's trial: it is loaded and replayed in a process of its own, which may crash, hang or eat memory.

`python -m service.versions.trial` is the child. It gets its task as JSON on stdin and answers with one line
of JSON.
"""

import contextlib
import ctypes
import json
import logging
import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from service.configuration.settings import Settings
from service.engines import Precision
from service.errors import VersionRefused

log = logging.getLogger("service")

_ANSWER = "striate-trial "
_NEEDED = ("models_dir", "engine", "precision", "engine_threads", "max_batch", "max_pixels")
"""The settings that a trial depends on; it is told no others, which may be secrets."""
_HOME = str(Path(__file__).resolve().parents[2])
"""Where this package is, so that the child has the same, wherever this process has it from."""

_GPU = Path("/dev/nvidiactl")

_DIES_WITH_PARENT = 1
"""PR_SET_PDEATHSIG of prctl(2)."""


class Trials:
    """Runs trials, one at a time. `stop` ends the one that runs, and all that come after."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._stopped = False
        self._process: subprocess.Popen[bytes] | None = None

    def stop(self) -> None:
        """Kill the child, if there is one. From any thread."""
        with self._lock:
            self._stopped = True
            if self._process is not None:
                self._process.kill()

    def run(self, name: str, version: int, folder: Path) -> list[Precision]:
        """Try the version; return the precision that held. VersionRefused says why it is not to be used."""
        settings = self._settings.model_dump(mode="json", include=set(_NEEDED))
        task = {"settings": settings, "name": name, "version": version, "folder": str(folder.resolve())}
        task["memory"] = self._settings.trial_memory_bytes
        with self._lock:
            if self._stopped:
                raise VersionRefused("The service is stopping.", "passing")
            process = self._process = subprocess.Popen(
                [sys.executable, "-m", "service.versions.trial"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=_environment(),
                cwd=_HOME,
                start_new_session=True,
            )
        seconds = self._settings.load_timeout_seconds
        try:
            output, _ = process.communicate(json.dumps(task).encode(), timeout=seconds)
        except subprocess.TimeoutExpired:
            raise VersionRefused(f"Its trial took longer than {seconds:g} s.", "passing") from None
        finally:
            process.kill()
            process.communicate()
            with self._lock:
                self._process = None
        return _read(process.returncode, output)


def _environment() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.upper().startswith("STRIATE_")}
    kept.pop("PROMETHEUS_MULTIPROC_DIR", None)
    return kept | {"PYTHONPATH": os.pathsep.join(filter(None, (_HOME, kept.get("PYTHONPATH", ""))))}


def _read(code: int, output: bytes) -> list[Precision]:
    lines = [line for line in output.decode("utf-8", "replace").splitlines() if line.startswith(_ANSWER)]
    if code < 0:
        # The kernel and C++ end a process so where memory has run out.
        kind: Any = "passing" if -code in {signal.SIGKILL, signal.SIGABRT} else "lasting"
        raise VersionRefused(f"Its trial was ended by {signal.Signals(-code).name}.", kind)
    if code or not lines:
        raise VersionRefused(f"Its trial ended with exit code {code} and without an answer.", "passing")
    answer = json.loads(lines[-1][len(_ANSWER) :])
    if "refused" in answer:
        raise VersionRefused(answer["refused"], answer["kind"])
    return [answer["precision"]]


def main() -> None:
    """Try the version that stdin names, within limits."""
    task = json.load(sys.stdin)
    settings = Settings.model_validate(task["settings"] | {"decode_threads": 1, "decode_isolation": "thread"})
    _die_with_parent()
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_DATA, task["memory"])
    # Only now, so that the engine's import is within the limits.
    from service.decoding.pool import Hands
    from service.telemetry.metrics import Metrics
    from service.versions.loader import Loader

    answer: dict[str, Any]
    with Hands(settings) as hands:
        try:
            loader = Loader(settings, hands, Metrics())
            # Importing TensorFlow looks for a folder that it can write to.
            _limit(resource.RLIMIT_FSIZE, 0)
            live = loader.bring_to_life(task["name"], task["version"], Path(task["folder"]))
            answer = {"precision": live.predictor.engine.precision}
        except VersionRefused as error:
            answer = {"refused": error.detail, "kind": error.kind}
        except MemoryError:
            answer = {"refused": "Its trial took more memory than allowed.", "kind": "passing"}
    sys.stdout.write(f"\n{_ANSWER}{json.dumps(answer)}\n")
    sys.stdout.flush()
    # Some engines take long to unload, or crash at it; nothing of it is needed any more.
    os._exit(0)


def _limit(kind: int, most: int) -> None:
    """Bound what this process may take. A GPU's driver maps and writes what it needs: no bounds then."""
    if _GPU.exists():
        return
    _, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _die_with_parent() -> None:
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(_DIES_WITH_PARENT, signal.SIGKILL)


if __name__ == "__main__":
    main()
