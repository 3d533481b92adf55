"""What may be asked of a path in its query, frozen, and what OpenAPI says of it: one model for each path."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from service.schemas import Score


class _Asked(BaseModel):
    """Query parameters; an unknown one is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model: str | None = Field(
        None, min_length=1, max_length=64, description="A live model's name; see /summary."
    )
    version: int | None = Field(None, ge=1, description="A live version; an error where it is not live.")
    label: str | None = Field(
        None,
        min_length=1,
        max_length=32,
        description="A label of the model's policy, such as stable or canary, instead of a version.",
    )


class _Options(_Asked):
    """What may be asked of all answers."""

    threshold: Score | None = Field(
        None, description="The least probability that counts, instead of the model's own."
    )


class ClassifyOptions(_Options):
    """Options of /classify."""

    top_k: int = Field(5, ge=1, le=1000, description="How many classes to give at most.")


class PictureOptions(_Options):
    """Options of answers that can be drawn."""

    overlay: bool = Field(
        False, description="With `Accept: image/png`: the photo with the answer drawn on it."
    )


class LocalizeOptions(PictureOptions):
    """Options of /localize; `max_objects`, `labels` and `tile` are for models that find all objects."""

    max_objects: int | None = Field(
        None, ge=1, le=10_000, description="How many objects to give at most, the best; all without it."
    )
    labels: str | None = Field(
        None,
        min_length=1,
        max_length=4000,
        description="Give objects of these labels alone, separated by commas; of all without it.",
    )
    tile: int | None = Field(
        None,
        ge=64,
        le=4096,
        description="For photos much larger than those that the model was trained on: look at parts of so "
        "many pixels' width, each as at a photo of its own, and merge their boxes.",
    )


class SegmentOptions(PictureOptions):
    """Options of /segment."""

    mask: Literal["png", "rle", "polygons", "none"] = Field("png", description="How to give the mask.")
    instances: bool = Field(
        False,
        description="Whether to list the separate objects, each with box, area, score and mask; with "
        "`overlay=true` their outlines are drawn.",
    )


class ExplainOptions(_Asked):
    """Options of /explain."""

    target: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="The label whose score is explained; without it, the best one's.",
    )
    grid: int = Field(
        8,
        ge=2,
        le=16,
        description="Rows and columns of the map. The model is asked (grid - 1) * (grid - 1) + 1 times.",
    )


Options = ClassifyOptions | LocalizeOptions | SegmentOptions
