"""The answers and the request options, frozen: what the handlers return and what OpenAPI says."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

Score = Annotated[FiniteFloat, Field(ge=0, le=1)]


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class ModelVersion(_Answer):
    """The model that made the answer."""

    name: str
    version: int


class LabelScore(_Answer):
    """A class and its probability."""

    label: str
    score: Score


class Classification(_Answer):
    """The most probable classes, best first, of at least the asked score."""

    label: str | None = Field(description="The best class; null where none reaches the threshold.")
    score: Score = Field(description="The best class's probability, whether it reaches the threshold or not.")
    top: tuple[LabelScore, ...]


class Box(_Answer):
    """A box: pixels of the upright posted image, or fractions of its width and height."""

    x_min: FiniteFloat
    y_min: FiniteFloat
    x_max: FiniteFloat
    y_max: FiniteFloat


class Localization(_Answer):
    """One class and one box."""

    label: str | None = Field(description="The class; null where its score is below the threshold.")
    score: Score
    box: Box = Field(description="In pixels of the upright posted image.")
    box_normalized: Box = Field(description="In fractions of width and height, 0 to 1.")
    width: int = Field(description="Of the upright posted image, in pixels.")
    height: int


class ClassArea(_Answer):
    """How much of the image one class covers."""

    label: str
    index: int = Field(description="The class's value in the PNG mask.")
    pixels: int
    fraction: FiniteFloat


class Rle(_Answer):
    """A binary mask in COCO's compressed run-length encoding; pycocotools decodes it."""

    label: str
    size: tuple[int, int] = Field(description="Height, width.")
    counts: str


class Polygons(_Answer):
    """The outlines of one class's regions, in pixels: each a flat list x0, y0, x1, y1, ..."""

    label: str
    outlines: tuple[tuple[float, ...], ...]
    holes: tuple[tuple[float, ...], ...] = Field(description="Outlines of what is not part of the regions.")


class PngMask(_Answer):
    """The mask as a picture."""

    encoding: Literal["png"] = "png"
    data: str = Field(description="Base64 of a palette PNG whose pixel values are class indices.")


class RleMask(_Answer):
    """The mask as run lengths."""

    encoding: Literal["rle"] = "rle"
    classes: tuple[Rle, ...] = Field(description="One per class, background left out.")


class PolygonMask(_Answer):
    """The mask as outlines."""

    encoding: Literal["polygons"] = "polygons"
    classes: tuple[Polygons, ...] = Field(description="One per class, background left out.")


Mask = Annotated[PngMask | RleMask | PolygonMask, Field(discriminator="encoding")]
"""The mask at the posted image's size, in the asked encoding."""


class Instance(_Answer):
    """One connected region of a class."""

    label: str
    box: Box
    area: int = Field(description="In pixels.")


class Segmentation(_Answer):
    """A class per pixel."""

    width: int
    height: int
    classes: tuple[ClassArea, ...]
    mask: Mask | None = Field(None, description="Null with mask=none.")
    instances: tuple[Instance, ...] | None = Field(None, description="With instances=true.")


class Problem(_Answer):
    """What went wrong and what would be right (RFC 9457)."""

    type: str
    title: str
    status: int
    code: str = Field(description="Stable, for programs.")
    detail: str = Field(description="For people.")
    request_id: str | None = None


class Failure(_Answer):
    """One image of several that could not be answered."""

    error: Problem


class ClassifyResponse(_Answer):
    """One result per image, in order."""

    model: ModelVersion
    results: tuple[Classification | Failure, ...]


class LocalizeResponse(_Answer):
    """One result per image, in order."""

    model: ModelVersion
    results: tuple[Localization | Failure, ...]


class SegmentResponse(_Answer):
    """One result per image, in order."""

    model: ModelVersion
    results: tuple[Segmentation | Failure, ...]


class _Options(BaseModel):
    """Query parameters; an unknown one is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model: str | None = Field(
        None, min_length=1, max_length=64, description="A live model's name; see /summary."
    )
    version: int | None = Field(None, ge=1, description="A live version; an error where it is not live.")
    threshold: Score | None = Field(
        None, description="The least probability that counts, instead of the model's own."
    )


class ClassifyOptions(_Options):
    """Options of /classify."""

    top_k: int = Field(5, ge=1, le=1000, description="How many classes to give at most.")


class LocalizeOptions(_Options):
    """Options of /localize."""

    overlay: bool = Field(
        False, description="With `Accept: image/png`: the photo with the answer drawn on it."
    )


class SegmentOptions(_Options):
    """Options of /segment."""

    mask: Literal["png", "rle", "polygons", "none"] = Field("png", description="How to give the mask.")
    instances: bool = Field(False, description="Whether to list the separate objects.")
    overlay: bool = Field(
        False, description="With `Accept: image/png`: the photo with the answer drawn on it."
    )


Result = Classification | Localization | Segmentation
Options = ClassifyOptions | LocalizeOptions | SegmentOptions
