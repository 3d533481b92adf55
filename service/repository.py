"""The folder `models/` -> live predictors. The highest version of each model that passes its checks is live.

The checks, in this order: the manifest fits its schema and its folder; there is no file that it does not list
and no symbolic link; every file has its sha256; the engine loads it; the golden replay holds.
"""

import hashlib
import logging
import re
import time
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from service import engines, golden
from service.decoding import Hands
from service.engines import Engine
from service.errors import ModelNotFound, NotReady, StriateError, VersionNotFound, VersionRefused, WrongTask
from service.golden import Deviation
from service.manifest import Manifest, Task, manifest_path
from service.metrics import Metrics
from service.predictor import Predictor
from service.settings import Settings
from service.tasks import Row

log = logging.getLogger("service")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_VERSION = re.compile(r"[1-9][0-9]{0,15}")


@dataclass(frozen=True)
class Live:
    """A live version: its predictor, and how close its golden answers came."""

    predictor: Predictor
    deviations: list[Deviation]


@dataclass
class Slot:
    """What is known of one model: the live version, and why others are not."""

    live: Live | None = None
    refused: dict[int, str] = field(default_factory=dict)


class Repository:
    """The live models. `load` fills it, from a thread; everything else only reads."""

    def __init__(self, settings: Settings, hands: Hands, metrics: Metrics) -> None:
        self._settings = settings
        self._hands = hands
        self._metrics = metrics
        self.slots: dict[str, Slot] = {}
        self.loading = True
        self.complaint = "The models are still being loaded."
        """Why the service is not ready; empty when it is."""

    @property
    def ready(self) -> bool:
        """Whether every model has a live version."""
        return not self.complaint

    def live(self) -> list[Live]:
        """Return the live versions, by name."""
        return [slot.live for _, slot in sorted(self.slots.items()) if slot.live]

    def find(self, name: str, version: int | None, task: Task | None) -> Predictor:
        """Return the live predictor of that name; ModelNotFound, VersionNotFound, WrongTask or NotReady."""
        slot = self.slots.get(name)
        if slot is None or slot.live is None:
            if self.loading or not self.live():
                raise NotReady(self.complaint)
            names = ", ".join(live.predictor.manifest.name for live in self.live())
            raise ModelNotFound(f"There is no live model of that name. There are: {names}.")
        predictor = slot.live.predictor
        manifest = predictor.manifest
        if version is not None and version != manifest.version:
            raise VersionNotFound(f"The live version of {manifest.name} is {manifest.version}.")
        if task is not None and manifest.task != task:
            able = [
                live.predictor.manifest.name for live in self.live() if live.predictor.manifest.task == task
            ]
            raise WrongTask(
                f"The model {manifest.name} does {manifest.task}. "
                f"Models for {task}: {', '.join(able) or 'none'}."
            )
        return predictor

    def load(self) -> None:
        """Read the folder and bring the best version of each model to life. Blocks; call it in a thread."""
        try:
            self._load()
        finally:
            self.loading = False

    def _load(self) -> None:
        try:
            engine = engines.choose(self._settings.engine)
            precisions = engines.precisions(engine, self._settings.precision)
        except engines.EngineUnavailable as error:
            self.complaint = str(error)
            log.error("%s", error)
            return
        for name, versions in _scan(self._settings.models_dir).items():
            slot = self.slots.setdefault(name, Slot())
            for version, folder in sorted(versions.items(), reverse=True):
                try:
                    slot.live = self._bring_to_life(name, version, folder, engine, precisions)
                except VersionRefused as error:
                    slot.refused[version] = error.detail
                    log.error("refused %s/%d: %s", name, version, error.detail)
                else:
                    break
            self._metrics.refused_versions.labels(name).set(len(slot.refused))
        self.complaint = self._find_complaint()
        if self.complaint:
            log.error("not ready: %s", self.complaint)
        else:
            log.info("ready: %d models live", len(self.slots))

    def _find_complaint(self) -> str:
        if not self.slots:
            return "There are no models in STRIATE_MODELS_DIR: expected <name>/<version>/ folders there."
        dead = [name for name, slot in sorted(self.slots.items()) if slot.live is None]
        return f"No version passed its checks: {', '.join(dead)}." if dead else ""

    def _bring_to_life(
        self, name: str, version: int, folder: Path, engine: engines.Name, precisions: list[engines.Precision]
    ) -> Live:
        manifest = read_manifest(name, version, folder)
        check_files(folder, manifest)
        goldens = golden.read(folder, manifest)
        for precision in precisions:
            started = time.perf_counter()
            predictor = self._start(folder, manifest, engine, precision)
            deviations = golden.compare(goldens, _replay(predictor, goldens), manifest)
            bad = [each for each in deviations if each.difference > each.allowed]
            if not bad:
                self._announce(predictor, deviations, time.perf_counter() - started)
                return Live(predictor, deviations)
            reason = "; ".join(
                f"{each.output} of golden sample {each.sample} is off by {each.difference:.4f}, "
                f"allowed {each.allowed:g}"
                for each in bad
            )
            log.info("%s/%d does not hold in %s: %s", name, version, precision, reason)
        raise VersionRefused(f"The golden replay failed: {reason}.")

    def _start(
        self, folder: Path, manifest: Manifest, engine: engines.Name, precision: engines.Precision
    ) -> Predictor:
        try:
            loaded: Engine = engines.load(
                engine, folder, precision, self._settings.engine_threads, self._settings.max_batch
            )
        except Exception as error:  # whatever a framework raises, the version is not to be used
            raise VersionRefused(f"{engine} cannot load it: {_first_line(error)}") from error
        return Predictor(manifest, loaded, self._settings, self._hands, self._metrics)

    def _announce(self, predictor: Predictor, deviations: list[Deviation], seconds: float) -> None:
        manifest, engine = predictor.manifest, predictor.engine
        self._metrics.live_version.labels(manifest.name, engine.name, engine.precision).set(manifest.version)
        log.info(
            "live %s/%d: %s, %s, %s (%s), in %.2f s; golden answers within %s",
            manifest.name,
            manifest.version,
            manifest.task,
            engine.name,
            engine.precision,
            engine.plan,
            seconds,
            ", ".join(f"{each.output} {each.difference:.4f}" for each in deviations),
        )

    async def close(self) -> None:
        """Drain and stop every predictor."""
        for live in self.live():
            await live.predictor.close()


def _scan(models_dir: Path) -> dict[str, dict[int, Path]]:
    """Find <name>/<version>/ folders; whatever is named otherwise is passed over."""
    found: dict[str, dict[int, Path]] = {}
    if not models_dir.is_dir():
        return found
    for home in sorted(models_dir.iterdir()):
        if not home.is_dir() or not _NAME.fullmatch(home.name):
            continue
        versions = {
            int(path.name): path for path in home.iterdir() if _VERSION.fullmatch(path.name) and path.is_dir()
        }
        if versions:
            found[home.name] = versions
    return found


def read_manifest(name: str, version: int, folder: Path) -> Manifest:
    """Read the manifest of `models/<name>/<version>`; VersionRefused says what is wrong with it."""
    try:
        manifest = Manifest.model_validate_json(manifest_path(folder).read_bytes())
    except OSError:
        raise VersionRefused("assets.extra/manifest.json is missing or unreadable.") from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise VersionRefused(f"manifest.json: {place}: {first['msg']}.") from error
    if (manifest.name, manifest.version) != (name, version):
        raise VersionRefused(
            f"manifest.json is of {manifest.name}/{manifest.version}, not of {name}/{version}."
        )
    return manifest


def check_files(folder: Path, manifest: Manifest) -> None:
    """Compare the folder with the manifest's list: no file more, none less, each with its sha256."""
    own = manifest_path(folder).relative_to(folder).as_posix()
    found = set()
    for path in folder.rglob("*"):
        relative = path.relative_to(folder).as_posix()
        if path.is_symlink():
            raise VersionRefused(f"{relative} is a symbolic link; a version holds plain files only.")
        if path.is_file() and relative != own:
            found.add(relative)
    if foreign := found - manifest.files.keys():
        raise VersionRefused(f"{min(foreign)} is not in the manifest's list of files.")
    if missing := manifest.files.keys() - found:
        raise VersionRefused(f"{min(missing)} is missing.")
    for relative, expected in sorted(manifest.files.items()):
        with (folder / relative).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != expected:
                raise VersionRefused(f"{relative} is not what was exported: its sha256 differs.")


def _replay(predictor: Predictor, goldens: golden.Goldens) -> list[Row]:
    try:
        return predictor.rows(goldens.encoded)
    except StriateError as error:
        raise VersionRefused(f"The golden replay failed: {error.detail}") from error
    except Exception as error:  # whatever a framework raises, the version is not to be used
        raise VersionRefused(f"The engine fails on the golden samples: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:200]}"
