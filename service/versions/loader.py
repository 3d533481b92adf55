"""One version on disk -> one that lives. The checks, in this order: the manifest fits its schema and its
folder; there is no file that it does not list and no symbolic link; every file has its sha256; the graph
holds only operations that compute; the engine loads it; the golden replay holds.
"""

import logging
import time
from pathlib import Path

from service import engines
from service.configuration.settings import Settings
from service.decoding.pool import Hands
from service.engines import Engine, Name, Precision
from service.errors import StriateError, VersionRefused
from service.inference.predictor import Predictor
from service.manifest import Manifest
from service.tasks.task import Row
from service.telemetry.metrics import Metrics
from service.versions import golden, integrity
from service.versions.repository import Live

log = logging.getLogger("service")


class Loader:
    """Brings versions to life with the engine that the settings choose."""

    def __init__(self, settings: Settings, hands: Hands, metrics: Metrics) -> None:
        """Choose the engine and import it, which takes seconds; EngineUnavailable says what is missing."""
        self._settings = settings
        self._hands = hands
        self._metrics = metrics
        self.engine: Name = engines.choose(settings.engine)
        self.precisions: list[Precision] = engines.precisions(self.engine, settings.precision)

    def bring_to_life(
        self, name: str, version: int, folder: Path, precisions: list[Precision] | None = None
    ) -> Live:
        """Check, load and test a version; VersionRefused says why it is not to be used."""
        manifest = integrity.examine(name, version, folder)
        goldens = golden.read(folder, manifest)
        reason = ""
        for precision in precisions or self.precisions:
            started = time.perf_counter()
            predictor = self._start(folder, manifest, precision)
            deviations = golden.compare(goldens, _replay(predictor, goldens), manifest)
            bad = [each for each in deviations if each.difference > each.allowed]
            if not bad:
                return Live(predictor, deviations, time.perf_counter() - started)
            reason = "; ".join(
                f"{each.output} of golden sample {each.sample} is off by {each.difference:.4f}, "
                f"allowed {each.allowed:g}"
                for each in bad
            )
            log.info("%s/%d does not hold in %s: %s", name, version, precision, reason)
        raise VersionRefused(f"The golden replay failed: {reason}.")

    def _start(self, folder: Path, manifest: Manifest, precision: Precision) -> Predictor:
        threads, batch = self._settings.engine_threads, self._settings.max_batch
        try:
            loaded: Engine = engines.load(self.engine, folder, precision, threads, batch)
        except Exception as error:  # whatever a framework raises, the version is not to be used
            raise VersionRefused(
                f"{self.engine} cannot load it: {_first_line(error)}",
                "passing" if _passing(error) else "lasting",
            ) from error
        return Predictor(manifest, loaded, self._settings, self._hands, self._metrics)


def _replay(predictor: Predictor, goldens: golden.Goldens) -> list[Row]:
    try:
        return predictor.rows(goldens.encoded)
    except StriateError as error:
        raise VersionRefused(f"The golden replay failed: {error.detail}") from error
    except Exception as error:  # whatever a framework raises, the version is not to be used
        raise VersionRefused(
            f"The engine fails on the golden samples: {_first_line(error)}",
            "passing" if _passing(error) else "lasting",
        ) from error


def _passing(error: Exception) -> bool:
    """Tell whether the same may well succeed later: memory was short, or a file could not be read."""
    short = "bad_alloc" in str(error) or type(error).__name__ == "ResourceExhaustedError"
    return short or isinstance(error, MemoryError | OSError)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:200]}"
