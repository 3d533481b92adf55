"""Whole responses, by which OpenAPI is told and tests validate what was answered: answers for one or several
images, and problems.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from service.schemas import (
    Classification,
    Detection,
    GroupedClassification,
    Localization,
    MultilabelClassification,
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


class SegmentResponse(_Answer):
    """One result per image, in order."""

    model: ModelVersion
    results: tuple[Segmentation | Failure, ...]
