"""Manifests for tests that need no model."""

from typing import Any

from service.manifest import Input, Manifest


def make_input(
    height: int = 32,
    width: int = 32,
    channels: int = 3,
    resize: str = "stretch",
    crop_share: float = 1.0,
    overlap: int = 0,
) -> Input:
    """Return the input of a model of that size."""
    colour = "grey" if channels == 1 else "rgb"
    return Input.model_validate(
        {
            "height": height,
            "width": width,
            "channels": channels,
            "colour": colour,
            "resize": resize,
            "crop_share": crop_share,
            "overlap": overlap,
            "normalisation": "pixels / 255",
        }
    )


def make_fields(**changes: Any) -> dict[str, Any]:
    """Return the fields of a small classification model's manifest, some of them changed."""
    layer = {
        "name": "scores",
        "type": "Dense",
        "output_shape": (None, 3),
        "parameters": 1234,
        "trainable_parameters": 1234,
        "inputs": ("pool",),
        "parameters_explained": "(410 + 1) * 3 = 1,233",
        "output_explained": "3 labels",
        "receptive_field": None,
        "multiply_adds": 4321,
        "note": "One score per label.",
    }
    fields: dict[str, Any] = {
        "format": 1,
        "name": "shapes",
        "version": 2,
        "task": "classification",
        "description": "Tells shapes apart.",
        "architecture": "tiny",
        "input": make_input().model_dump(),
        "labels": ("disc", "box", "star"),
        "threshold": 0.0,
        "layers": (layer,),
        "totals": {"parameters": 1234, "trainable": 1234, "non_trainable": 0, "multiply_adds": 4321},
        "evaluation": {
            "split": "test",
            "count": 10000,
            "headline": "accuracy",
            "figures": {"accuracy": 0.995},
            "per_class": {},
        },
        "recipe": {"seed": 0},
        "data": {
            "name": "drawn",
            "title": "Drawn shapes",
            "licence": "CC0",
            "homepage": "https://example.org",
            "split_rule": "every tenth is held out",
        },
        "tolerance": {"scores": 0.03, "box": 0.02, "mask": 0.01},
        "created": "2026-01-02T03:04:05Z",
        "packages": {"numpy": "2"},
        "files": {"saved_model.pb": "0" * 64},
    }
    if changes.get("task") == "detection":
        changes = {"detection": {"max_objects": 5}} | changes
    return fields | {"outputs": _outputs(fields | changes)} | changes


def with_familiarity(**changes: Any) -> dict[str, Any]:
    """Return what a manifest with familiarity has besides, for `make_fields`."""
    told = {
        "layers": ("pool",),
        "features": 128,
        "dimensions": 64,
        "centres": 16,
        "trained_on": 2048,
        "calibrated_on": 300,
        "level": 0.01,
        "split": "test",
        "count": 400,
        "false_alarms": 0.0125,
        "interval": (0.0054, 0.0288),
    }
    outputs = [*make_fields(**changes)["outputs"], {"name": "familiarity", "shape": (), "meaning": ""}]
    tolerance = make_fields()["tolerance"] | {"familiarity": 0.05}
    return {"format": 3, "familiarity": told, "outputs": outputs, "tolerance": tolerance} | changes


def _outputs(fields: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the outputs that the task needs for its labels."""
    count, spec = len(fields["labels"]), fields["input"]
    shapes: dict[str, tuple[int, ...]] = {"scores": (count,)}
    if fields["task"] == "localization":
        shapes["box"] = (4,)
    if fields["task"] == "detection":
        most = fields["detection"]["max_objects"]
        shapes = {"boxes": (most, 4), "scores": (most,), "labels": (most,)}
    if fields["task"] == "segmentation":
        shapes = {"mask": (spec["height"], spec["width"], 1 if count == 2 else count)}
    return [{"name": name, "shape": shape, "meaning": ""} for name, shape in shapes.items()]


def make_manifest(**changes: Any) -> Manifest:
    """Return the manifest of a small classification model, some fields of it changed."""
    return Manifest.model_validate(make_fields(**changes))
