"""What is answered for one image, frozen, and what OpenAPI says of it.

It is a plain dataclass, which is built and written out in a fraction of the time of a pydantic model.
"""

from dataclasses import dataclass, fields
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import ConfigDict, Field, FiniteFloat
from pydantic.json_schema import SkipJsonSchema

Score = Annotated[FiniteFloat, Field(ge=0, le=1)]


def _required_nowhere(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


Familiarity = Annotated[
    Score | SkipJsonSchema[None],
    Field(
        description="How much the image is like those that the model was trained on: the share of its "
        "validation images that look at least as unusual to it. Of other images like those, a share of x is "
        "below x; what is of another kind is near 0. /summary tells the model's own level and how often it "
        "is wrong. Left out by models that do not know it.",
        json_schema_extra=_required_nowhere,
    ),
]
"""None where the model does not tell it, and then it is not written: see `written`."""


class _Part:
    """A part of an answer."""

    __slots__ = ()
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class LabelScore(_Part):
    """A class and its probability."""

    label: str
    score: Score


@dataclass(frozen=True, slots=True)
class Classification(_Part):
    """The most probable classes, best first, of at least the asked score."""

    label: Annotated[str | None, Field(description="The best class; null where none reaches the threshold.")]
    score: Annotated[
        Score, Field(description="The best class's probability, whether it reaches the threshold or not.")
    ]
    top: tuple[LabelScore, ...]
    familiarity: Familiarity = None


@dataclass(frozen=True, slots=True)
class GroupedClassification(_Part):
    """The same of a model whose labels have groups (breeds of cats and dogs), and the most probable group.

    The group may be certain where the label is not. Each is the most probable of its kind, so that with low
    scores the label may be of another group: .3 for one label against .1 for each of seven others.
    """

    label: Annotated[str | None, Field(description="The best class; null where none reaches the threshold.")]
    score: Annotated[
        Score, Field(description="The best class's probability, whether it reaches the threshold or not.")
    ]
    group: Annotated[
        str | None, Field(description="The best group; null where its score is below the threshold.")
    ]
    group_score: Annotated[Score, Field(description="The sum of the probabilities of the group's classes.")]
    top: tuple[LabelScore, ...]
    familiarity: Familiarity = None


@dataclass(frozen=True, slots=True)
class MultilabelClassification(_Part):
    """All that an image shows, by a model whose labels do not exclude each other."""

    label: Annotated[str | None, Field(description="The best label; null where none reaches its threshold.")]
    score: Annotated[Score, Field(description="Its probability, or the largest where none reaches its own.")]
    labels: Annotated[
        tuple[LabelScore, ...], Field(description="Every label of at least its own threshold, best first.")
    ]
    top: Annotated[tuple[LabelScore, ...], Field(description="The first `top_k` of them.")]
    familiarity: Familiarity = None


@dataclass(frozen=True, slots=True)
class Box(_Part):
    """A box: pixels of the upright posted image, or fractions of its width and height."""

    x_min: FiniteFloat
    y_min: FiniteFloat
    x_max: FiniteFloat
    y_max: FiniteFloat


@dataclass(frozen=True, slots=True)
class Localization(_Part):
    """One class and one box."""

    label: Annotated[str | None, Field(description="The class; null where its score is below the threshold.")]
    score: Score
    box: Annotated[Box, Field(description="In pixels of the upright posted image.")]
    box_normalized: Annotated[Box, Field(description="In fractions of width and height, 0 to 1.")]
    width: Annotated[int, Field(description="Of the upright posted image, in pixels.")]
    height: int
    familiarity: Familiarity = None


@dataclass(frozen=True, slots=True)
class DetectedObject(_Part):
    """One object of several: its class and its box."""

    label: str
    score: Score
    box: Annotated[Box, Field(description="In pixels of the upright posted image.")]
    box_normalized: Annotated[Box, Field(description="In fractions of width and height, 0 to 1.")]


@dataclass(frozen=True, slots=True)
class Detection(_Part):
    """All objects, and the best of them in the fields that an answer with one box has."""

    label: Annotated[
        str | None,
        Field(description="The best object's class; null, as its other fields, where none is found."),
    ]
    score: Score | None
    box: Box | None
    box_normalized: Box | None
    objects: Annotated[
        tuple[DetectedObject, ...], Field(description="Of at least the asked score, the best first.")
    ]
    counts: Annotated[
        dict[str, int],
        Field(description="How many of `objects` are of each class; classes without any left out."),
    ]
    width: Annotated[int, Field(description="Of the upright posted image, in pixels.")]
    height: int
    familiarity: Familiarity = None


@dataclass(frozen=True, slots=True)
class ClassArea(_Part):
    """How much of the image one class covers."""

    label: str
    index: Annotated[int, Field(description="The class's value in the PNG mask.")]
    pixels: int
    fraction: FiniteFloat


@dataclass(frozen=True, slots=True)
class Rle(_Part):
    """A binary mask in COCO's compressed run-length encoding; pycocotools decodes it."""

    label: str
    size: Annotated[tuple[int, int], Field(description="Height, width.")]
    counts: str


@dataclass(frozen=True, slots=True)
class Polygons(_Part):
    """The outlines of one class's regions, in pixels: each a flat list x0, y0, x1, y1, ..."""

    label: str
    outlines: tuple[tuple[float, ...], ...]
    holes: Annotated[
        tuple[tuple[float, ...], ...], Field(description="Outlines of what is not part of the regions.")
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class PngMask(_Part):
    """The mask as a picture."""

    encoding: Literal["png"] = "png"
    data: Annotated[str, Field(description="Base64 of a palette PNG whose pixel values are class indices.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class RleMask(_Part):
    """The mask as run lengths."""

    encoding: Literal["rle"] = "rle"
    classes: Annotated[tuple[Rle, ...], Field(description="One per class, background left out.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolygonMask(_Part):
    """The mask as outlines."""

    encoding: Literal["polygons"] = "polygons"
    classes: Annotated[tuple[Polygons, ...], Field(description="One per class, background left out.")]


Mask = Annotated[PngMask | RleMask | PolygonMask, Field(discriminator="encoding")]
"""The mask at the posted image's size, in the asked encoding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectPng(_Part):
    """One object as a picture of its box."""

    encoding: Literal["png"] = "png"
    data: Annotated[
        str,
        Field(description="Base64 of a palette PNG as large as the box: 1 where the object is, else 0."),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectRle(_Part):
    """One object in COCO's compressed run-length encoding; pycocotools decodes it."""

    encoding: Literal["rle"] = "rle"
    size: Annotated[tuple[int, int], Field(description="Height, width of the whole image.")]
    counts: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectPolygons(_Part):
    """The outlines of one object, in pixels of the whole image: each a flat list x0, y0, x1, y1, ..."""

    encoding: Literal["polygons"] = "polygons"
    outlines: tuple[tuple[float, ...], ...]
    holes: Annotated[
        tuple[tuple[float, ...], ...], Field(description="Outlines of what is not part of the object.")
    ]


ObjectMask = Annotated[ObjectPng | ObjectRle | ObjectPolygons, Field(discriminator="encoding")]
"""One object's mask, in the encoding asked for by `mask`."""


@dataclass(frozen=True, slots=True)
class Instance(_Part):
    """One object of a class; objects that touch are told apart by their shape."""

    label: str
    box: Annotated[
        Box, Field(description="In pixels of the upright posted image; x_max and y_max are exclusive.")
    ]
    area: Annotated[int, Field(description="In pixels.")]
    score: Annotated[Score, Field(description="The mean probability of its class over its pixels.")]
    mask: Annotated[ObjectMask | None, Field(description="As `mask` asks for; null with mask=none.")]


@dataclass(frozen=True, slots=True)
class Segmentation(_Part):
    """A class per pixel."""

    width: int
    height: int
    classes: tuple[ClassArea, ...]
    mask: Annotated[Mask | None, Field(description="Null with mask=none.")] = None
    instances: Annotated[
        tuple[Instance, ...] | None,
        Field(
            description="With instances=true: by class, the largest first; of more than 1,000 the largest."
        ),
    ] = None
    instance_count: Annotated[
        int | None,
        Field(description="With instances=true: how many there are, listed or not.", ge=0),
    ] = None
    familiarity: Familiarity = None


Result = (
    Classification
    | GroupedClassification
    | MultilabelClassification
    | Localization
    | Detection
    | Segmentation
)

_ALWAYS = {
    kind: tuple(each.name for each in fields(kind) if each.name != "familiarity") for kind in get_args(Result)
}


def written(answer: Result) -> Result | dict[str, Any]:
    """Return an answer as it is written out: without familiarity where its model does not tell it."""
    if answer.familiarity is not None:
        return answer
    return {name: getattr(answer, name) for name in _ALWAYS[type(answer)]}
