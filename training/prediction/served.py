"""The model that answers for `predict`, found among versions and runs, and alive as it is in the service."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from service.configuration.settings import Settings
from service.decoding.pool import Hands
from service.errors import StriateError
from service.inference.predictor import Predictor
from service.manifest import Manifest, manifest_path
from service.telemetry.metrics import Metrics
from service.versions import policy
from service.versions.listing import Listing
from service.versions.loader import Loader


class PredictError(Exception):
    """There is nothing to answer, nobody to answer it, or no place for the answers. The text says which."""


@contextmanager
def found(model: str, models_dir: Path, runs_dir: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Give a version's folder, and what answers say of it beside its name; PredictError where there is none.

    `model` is a version's folder, a run's, which is exported into a place of its own meanwhile, or the name
    of a model or else of a run. `name/3` is a version, too.
    """
    named = Path(model)
    for folder in (named, models_dir / named):
        if manifest_path(folder).is_file():
            yield folder, {}
            return
    if not (named / "recipe.json").is_file() and (version := _live(model, models_dir)):
        yield version, {}
        return
    run = next((each for each in (named, runs_dir / named) if (each / "recipe.json").is_file()), None)
    if run is None:
        raise PredictError(
            f"There is no model {model}: give a version's folder, a run's, or one of these names: "
            f"{', '.join(_names(models_dir, runs_dir)) or 'none are there yet'}."
        )
    # Only these need TensorFlow, whose import takes seconds.
    from training.export import export
    from training.fit.runs import open_run

    with tempfile.TemporaryDirectory(prefix="striate-predict-") as place:
        opened = open_run(run)
        yield export(opened, Path(place)), {"name": opened.recipe.name, "run": str(run)}


def _live(model: str, models_dir: Path) -> Path | None:
    """Return the folder of the version that the service would have live of a model of that name."""
    if not models_dir.is_dir():
        return None
    versions = Listing(models_dir).scan().get(model)
    if not versions:
        return None
    wanted = max(versions)
    file = models_dir / model / policy.FILE
    if file.is_file():
        wanted = policy.parse(file.read_bytes()).stable or wanted
    if wanted not in versions:
        raise PredictError(
            f"{file} asks for version {wanted}; there are {', '.join(map(str, sorted(versions)))}."
        )
    return versions[wanted]


def _names(models_dir: Path, runs_dir: Path) -> list[str]:
    models = Listing(models_dir).scan() if models_dir.is_dir() else {}
    return sorted({*models, *(path.parent.name for path in runs_dir.glob("*/recipe.json"))})


@asynccontextmanager
async def living(folder: Path) -> AsyncIterator[Predictor]:
    """Bring a version to life as the service does, with every check, and the engine that it would choose."""
    try:
        # The service's own settings, from its variables; but nobody waits here.
        settings = Settings(host="127.0.0.1", workers=1, deadline_ms=600_000)
        manifest = Manifest.model_validate_json(manifest_path(folder).read_bytes())
    except ValidationError as error:
        what = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()[:3])
        raise PredictError(f"{folder} cannot be used: {error.title}: {what}.") from error
    metrics, hands = Metrics(), Hands(settings)
    hands.start()
    try:
        loader = Loader(settings, hands, metrics)
        live = loader.bring_to_life(manifest.name, manifest.version, folder)
    except StriateError as error:
        hands.shutdown()
        raise PredictError(f"{folder} cannot be used: {error.detail}") from error
    try:
        yield live.predictor
    finally:
        await live.predictor.close()
        hands.shutdown()
