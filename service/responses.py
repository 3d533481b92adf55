"""Whole responses, by which OpenAPI is told and tests validate what was answered: answers for one or several
images, and problems.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from service.schemas import (
    Box,
    Classification,
    Detection,
    GroupedClassification,
    Localization,
    MultilabelClassification,
    Score,
    Segmentation,
)


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class ModelVersion(_Answer):
    """The model that made the answer."""

    name: str
    version: int


class Problem(_Answer):
    """What went wrong and what would be right (RFC 9457)."""

    type: str
    title: str
    status: int
    code: str = Field(description="Stable, for programs.")
    detail: str = Field(description="For people.")
    error: str = Field(description="The same, by the name that clients of other servers know.")
    request_id: str | None = None


RETRY_AFTER: dict[str, Any] = {
    "Retry-After": {
        "description": "After how many seconds to try again.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    }
}
"""What OpenAPI says of the headers of a 503."""


class Failure(_Answer):
    """One image of several that could not be answered."""

    error: Problem


class ClassifyResponse(_Answer):
    """One result per image, in order."""

    model: ModelVersion
    results: tuple[Classification | GroupedClassification | MultilabelClassification | Failure, ...]


class LocalizeResponse(_Answer):
    """One result per image, in order: with `objects` by a model that finds all of them."""

    model: ModelVersion
    results: tuple[Localization | Detection | Failure, ...]


class Explanation(_Answer):
    """What mattered for a label's score, found by covering one part of the image after the other."""

    label: str = Field(description="The label whose score this is about.")
    score: Score = Field(description="Its score for the image as it is.")
    least_score: Score = Field(description="Its score with the one part covered that matters most.")
    map: tuple[tuple[FiniteFloat, ...], ...] = Field(
        description="Row by row from the top: by how much the log-odds of the score fall, on average, while "
        "a patch that reaches over this cell is covered. Near 0 where nothing there mattered, negative where "
        "it spoke against the label."
    )
    box: Box = Field(
        description="What the map lies over, in pixels of the upright posted image: what of it the model "
        "looks at."
    )
    box_normalized: Box = Field(description="The same in fractions of the image.")
    width: int
    height: int
    meaning: str = Field(description="What the map says, for people.")


class ExplainResponse(_Answer):
    """One result, for the one image."""

    model: ModelVersion
    results: tuple[Explanation]


class SegmentResponse(_Answer):
    """One result per image, in order."""

    model: ModelVersion
    results: tuple[Segmentation | Failure, ...]
