"""The live models, as the page that tries them needs them: what may be chosen, and what may be shown."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from service import summary
from service.manifest import Manifest
from service.tasks.registry import TASKS
from service.tasks.task import Face
from service.versions.defaults import Default
from service.versions.repository import Live, Slot


def entry(slot: Slot, live: Live, defaults: Mapping[Face, Default], samples: list[str]) -> dict[str, Any]:
    """Return what is told of a live model, whose samples have these addresses."""
    manifest = live.predictor.manifest
    face = TASKS[manifest.task].face
    return {
        "name": manifest.name,
        "version": live.version,
        "versions": sorted({live.version, *slot.loaded}),
        "task": manifest.task,
        "path": face.path[1:],
        "default": defaults[face].model == manifest.name,
        "description": manifest.description,
        "figure": summary.headline(manifest),
        "labels": len(manifest.labels),
        "threshold": manifest.threshold,
        "label_thresholds": dict(zip(manifest.labels, manifest.label_thresholds, strict=False)),
        "tiles": manifest.input.resize == "tile",
        "familiarity": manifest.familiarity and manifest.familiarity.level,
        "samples": samples,
    }


def addresses(manifest: Manifest, root: str, count: int) -> list[str]:
    """Return where the samples of a version are."""
    place = f"{root}/models/{quote(manifest.name)}/samples"
    return [f"{place}/{number}?version={manifest.version}" for number in range(count)]
