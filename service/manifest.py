"""The contract between training and serving: `assets.extra/manifest.json` beside every SavedModel.

Only `training/export.py` and `training/amend.py` write it; the service reads it and needs to know nothing
else about a model. It is one file, and longer than others here, so that the whole contract is seen at once.
"""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

FORMAT = 3
"""The schema's number, as it is written. Any other is refused but 1, which has no baselines, remarks and
temperature, and 2, which has no groups and no familiarity and knows no resize rule but `stretch`."""

EXTRA = "assets.extra"
"""TensorFlow's place in a SavedModel for files of one's own."""

MAX_MASK_LABELS = 128
"""What OpenCV resizes in one go."""

Task = Literal["classification", "localization", "detection", "segmentation"]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
ModelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class Input(_Part):
    """The signature's `image`: uint8 `[N, height, width, channels]`, values 0..255."""

    height: int = Field(ge=1, le=4096)
    width: int = Field(ge=1, le=4096)
    channels: Literal[1, 3]
    colour: Literal["grey", "rgb"]
    """`grey` is ITU-R 601 luma; `rgb` is sRGB, to which colours with a profile are converted."""
    resize: Literal["stretch", "letterbox", "crop", "tile"]
    """How an upright image comes to height x width, bilinear with antialiasing (`service/images/fitting.py`).

    `stretch`: all of it, not keeping the aspect ratio. `letterbox`: all of it, keeping the aspect, centred;
    the rest is grey, 127. `crop`: its middle, of the aspect width:height; what lies outside is not seen, so
    that it is not for masks, which would have to say something of it. `tile`: all of it at its own scale, in
    tiles of this size, whose answers are put together; for masks and for all objects.
    """
    crop_share: float = Field(1.0, ge=0.25, le=1)
    """Of `crop`: the part of the largest such middle that is kept, of its sides."""
    overlap: int = Field(0, ge=0)
    """Of `tile`: pixels that neighbouring tiles share at least; at most half of a side."""
    normalisation: str
    """What the graph does with the pixels first, in words."""

    @model_validator(mode="after")
    def _rule_uses_all(self) -> Self:
        if self.crop_share != 1 and self.resize != "crop":
            raise ValueError(f"a crop_share goes with the resize rule crop, not with {self.resize}")
        if self.overlap and self.resize != "tile":
            raise ValueError(f"an overlap goes with the resize rule tile, not with {self.resize}")
        if 2 * self.overlap > min(self.width, self.height):
            raise ValueError(f"an overlap of {self.overlap} is more than half of a tile")
        return self


class Output(_Part):
    """One named float32 output, `[N, *shape]`.

    Segmentation may have `border` beside its mask: the probability that a pixel lies between two objects that
    touch, whatever their labels, by which `instances=true` tells them apart.
    """

    name: Literal["scores", "box", "mask", "border", "boxes", "labels", "familiarity"]
    shape: tuple[int, ...]
    meaning: str


class Layer(_Part):
    """One row of the layer table, with how its numbers come about."""

    name: str
    type: str
    output_shape: tuple[int | None, ...]
    parameters: int = Field(ge=0)
    trainable_parameters: int = Field(ge=0)
    inputs: tuple[str, ...]
    """The layers that feed this one."""
    parameters_explained: str
    """As in `(3*3*1 + 1) * 32 = 320`; empty where there is nothing to explain."""
    output_explained: str
    """As in `(28 - 3 + 2*0)/1 + 1 = 26`; empty where the size does not change."""
    receptive_field: int | None
    """Side in input pixels of what one output value can see; null where it sees the whole image."""
    multiply_adds: int = Field(ge=0)
    note: str
    """What the layer does, in a sentence."""


class Totals(_Part):
    """The sums over the layer table."""

    parameters: int = Field(ge=0)
    trainable: int = Field(ge=0)
    non_trainable: int = Field(ge=0)
    multiply_adds: int = Field(ge=0)


class Baseline(_Part):
    """A figure of the best answer that never looks at an image."""

    value: float
    answer: str
    """Which answer that is, as in `always saying cat`; chosen on the training part."""


class Evaluation(_Part):
    """Figures on samples that training never saw, and what a constant answer gets on the same ones."""

    split: str
    count: int = Field(ge=0)
    headline: str
    figures: dict[str, float]
    per_class: dict[str, dict[str, float]]
    baselines: dict[str, Baseline] = Field(default_factory=dict)
    """By the names of the figures that they stand beside; empty where it was not measured."""
    remarks: tuple[str, ...] = ()
    """What is wrong, in sentences, as where a figure is no better than its baseline."""


class Data(_Part):
    """Where the samples came from."""

    name: str
    title: str
    licence: str
    homepage: str
    split_rule: str


class Detection(_Part):
    """What is stated of a model that finds objects besides: how many it answers.

    Its outputs are `boxes` `[N, K, 4]` (x_min, y_min, x_max, y_max as fractions of the frame, within 0..1),
    `scores` `[N, K]` in 0..1, descending, and `labels` `[N, K]`, whole numbers that count the manifest's
    labels from 0. Every place is filled: what is below `threshold` is mostly no object. Nothing is left to be
    suppressed: each object has one peak.
    """

    max_objects: int = Field(300, ge=1, le=1000)
    """K, the objects that are answered for an image at most."""


class Tolerance(_Part):
    """How far a served answer may be from training's for the same golden sample."""

    scores: float = Field(gt=0, le=0.1)
    """Largest difference of any probability in `scores`; of detection, between the same objects."""
    box: float = Field(gt=0, le=0.1)
    """Largest difference of any coordinate in `box` or `boxes`, as a fraction of the side."""
    mask: float = Field(gt=0, le=0.1)
    """Largest share of pixels that get another class."""
    familiarity: float | None = Field(None, gt=0, le=0.1)
    """Largest difference of `familiarity`; null where there is none."""


class Familiarity(_Part):
    """How the output `familiarity` comes about, and how often it is wrong.

    It is 0..1: the share of the validation images that look at least as unusual to the network. So of images
    of the kind that the model was trained on, a share of x is expected to have a familiarity below x.
    """

    layers: tuple[str, ...] = Field(min_length=1)
    """Whose outputs are looked at, each channel by its mean over the picture."""
    features: int = Field(ge=1)
    """How many channels these are."""
    dimensions: int = Field(ge=1)
    """How many principal components of them are kept; of the others, what is left over counts as one."""
    centres: int = Field(ge=1)
    """Points around which the training images lie; the distance to the nearest counts."""
    trained_on: int = Field(ge=1)
    """Training images that the components and the centres are of."""
    calibrated_on: int = Field(ge=1)
    """Validation images."""
    level: float = Field(gt=0, lt=1)
    """Below it, an image is told as unlike what the model knows."""
    split: str
    count: int = Field(ge=0)
    """How many images of that split, none of which was used for anything above, `false_alarms` is of."""
    false_alarms: float = Field(ge=0, le=1)
    """The share of them that is below the level, although it is of the model's own kind."""
    interval: tuple[float, float]
    """What holds the true share 95 times in 100."""


class Manifest(_Part):
    """All that the service needs to know about one version of one model."""

    format: Literal[1, 2, 3]
    name: ModelName
    version: int = Field(ge=1, le=2**53)
    task: Task
    description: str
    architecture: str
    input: Input
    outputs: tuple[Output, ...] = Field(min_length=1)
    labels: tuple[str, ...] = Field(min_length=1)
    """Two at the least, but for localization and detection: all boxes may be of one."""
    groups: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """The group of each label, parallel to `labels`, of classification; empty where labels have none."""
    label_thresholds: tuple[Annotated[float, Field(ge=0, le=1)], ...] = ()
    """Of classification whose labels do not exclude each other, each score being a probability for itself:
    from which on each label counts, parallel to `labels`; empty where one label excludes the others."""
    threshold: float = Field(ge=0, le=1)
    """The probability from which on an answer counts: see `service/tasks/`; of detection, an object."""
    temperature: float | None = Field(None, gt=0)
    """What the logits are divided by, within the graph, so that scores can be believed; null: not stated."""
    detection: Detection | None = None
    """Of detection, and of nothing else."""
    layers: tuple[Layer, ...]
    totals: Totals
    evaluation: Evaluation
    familiarity: Familiarity | None = None
    """Null where the model does not tell it."""
    recipe: dict[str, Any]
    data: Data
    tolerance: Tolerance
    created: datetime
    packages: dict[str, str]
    files: dict[str, Sha256] = Field(min_length=1)
    """Every other file of the version, by its path below the version's folder, with its sha256."""

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        """Refuse a manifest whose parts contradict each other: it would fail on every request."""
        spec, count = self.input, len(self.labels)
        if (spec.colour == "grey") != (spec.channels == 1):
            raise ValueError(f"a {spec.colour} image does not have {spec.channels} channels")
        if count < 2 and self.task not in ("localization", "detection"):
            raise ValueError(f"{self.task} needs two labels at the least")
        if len(set(self.labels)) < count:
            raise ValueError("two labels are the same: an answer could mean either")
        self._check_groups()
        self._check_label_thresholds()
        shapes = {output.name: output.shape for output in self.outputs if output.name != "familiarity"}
        expected = self._expected_outputs()
        if shapes != expected:
            raise ValueError(f"{self.task} with {count} labels needs the outputs {expected}, not {shapes}")
        return self

    def _expected_outputs(self) -> dict[str, tuple[int, ...]]:
        """Return the outputs' shapes that the task wants, by their names."""
        spec, count = self.input, len(self.labels)
        if (self.detection is None) == (self.task == "detection"):
            raise ValueError("detection states how many objects it answers, and no other task does")
        if self.detection:
            most = self.detection.max_objects
            return {"boxes": (most, 4), "scores": (most,), "labels": (most,)}
        if self.task == "segmentation":
            if count > MAX_MASK_LABELS:
                raise ValueError(f"a mask of more than {MAX_MASK_LABELS} labels cannot be served")
            planes: dict[str, tuple[int, ...]] = {
                "mask": (spec.height, spec.width, 1 if count == 2 else count)
            }
            told = any(output.name == "border" for output in self.outputs)
            return planes | ({"border": (spec.height, spec.width, 1)} if told else {})
        box: dict[str, tuple[int, ...]] = {"box": (4,)} if self.task == "localization" else {}
        return {"scores": (count,)} | box

    def _check_label_thresholds(self) -> None:
        if not self.label_thresholds:
            return
        if self.task != "classification" or self.groups:
            raise ValueError("label_thresholds are for classification, of labels without groups")
        if len(self.label_thresholds) != len(self.labels):
            given = len(self.label_thresholds)
            raise ValueError(f"{len(self.labels)} labels need a threshold each: {given} are given")

    def _check_groups(self) -> None:
        if not self.groups:
            return
        if self.task != "classification":
            raise ValueError(f"groups of labels are answered for classification, not for {self.task}")
        if len(self.groups) != len(self.labels):
            raise ValueError(f"{len(self.labels)} labels need a group each: {len(self.groups)} are given")
        if len(set(self.groups)) < 2:
            raise ValueError(f"all labels are in the group {self.groups[0]!r}, which says nothing")

    @model_validator(mode="after")
    def _sees_what_it_answers(self) -> Self:
        if self.task == "segmentation" and self.input.resize == "crop":
            raise ValueError(
                "segmentation does not go with the resize rule crop: nothing is known of the pixels outside "
                "of the crop, and a mask has to say something of each; use letterbox or stretch"
            )
        if self.input.resize == "tile" and self.task not in ("detection", "segmentation"):
            raise ValueError(f"tiles are answered for detection and segmentation, not for {self.task}")
        return self

    @model_validator(mode="after")
    def _familiarity_is_whole(self) -> Self:
        given = [output.shape for output in self.outputs if output.name == "familiarity"]
        if given != [()] * (self.familiarity is not None):
            raise ValueError(f"familiarity is one output of shape () where it is told of, not {given}")
        if (self.familiarity is None) != (self.tolerance.familiarity is None):
            raise ValueError("familiarity and its tolerance: either is nothing without the other")
        return self


def manifest_path(folder: Path) -> Path:
    """Return where a version's manifest is."""
    return folder / EXTRA / "manifest.json"


def golden_path(folder: Path) -> Path:
    """Return where a version's golden samples are."""
    return folder / EXTRA / "golden.npz"
