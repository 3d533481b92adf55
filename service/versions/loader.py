"""One version on disk -> one that lives. The checks, in this order: the manifest fits its schema and its
folder; there is no file that it does not list and no symbolic link; every file has its sha256; the graph
holds only operations that compute; the engine loads it; the golden replay holds.
"""

import logging
import time
from pathlib import Path

from service import engines, memory
from service.configuration.settings import Settings
from service.decoding.pool import Hands
from service.engines import Check, Engine, Name, Precision, Run
from service.errors import StriateError, VersionRefused
from service.images import codec
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
        for precision in (tried := precisions or self.precisions):
            try:
                # The last one has to hold; whether another does is seen before all its ways are timed.
                early = _golden_check(goldens, manifest) if precision != tried[-1] else engines.unchecked
                with memory.in_blocks():
                    return self._try(folder, manifest, precision, goldens, early)
            except golden.Deviates as error:
                reason = error.detail
            log.info("%s/%d does not hold in %s: %s", name, version, precision, reason)
            # What was compiled for it is gone with the exception.
            memory.give_back()
        raise VersionRefused(f"The golden replay failed: {reason}.")

    def _try(
        self, folder: Path, manifest: Manifest, precision: Precision, goldens: golden.Goldens, early: Check
    ) -> Live:
        started = time.perf_counter()
        predictor = self._start(folder, manifest, precision, early)
        deviations = golden.check(goldens, _replay(predictor, goldens), manifest)
        # Of the models that are live, some may hardly ever be asked.
        predictor.engine.rest()
        return Live(predictor, deviations, time.perf_counter() - started, folder)

    def _start(self, folder: Path, manifest: Manifest, precision: Precision, early: Check) -> Predictor:
        threads, batch = self._settings.engine_threads, self._settings.max_batch
        try:
            loaded: Engine = engines.load(self.engine, folder, precision, threads, batch, early)
        except golden.Deviates:
            raise
        except Exception as error:  # whatever a framework raises, the version is not to be used
            raise VersionRefused(
                f"{self.engine} cannot load it: {_first_line(error)}",
                "passing" if _passing(error) else "lasting",
            ) from error
        return Predictor(manifest, loaded, self._settings, self._hands, self._metrics)


def _golden_check(goldens: golden.Goldens, manifest: Manifest) -> Check:
    """Return a check that raises Deviates, image by image in one thread; the replay is still to follow."""

    def check(run: Run) -> None:
        try:
            tensors = [codec.read(data, manifest.input, 2**28, whole=False)[1] for data in goldens.encoded]
        except StriateError:
            # The replay says what is wrong with it.
            return
        answers = [run(tensor[None], True) for tensor in tensors]
        rows = [{name: values[0] for name, values in each.items()} for each in answers]
        golden.check(goldens, rows, manifest)

    return check


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
