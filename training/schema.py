"""The schema of a recipe: everything that decides a training run."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from training.datasets import SOURCES, MaskValues, Request, Resize, Splits, Task

Normalisation = Literal["unit", "light-on-dark"]


class RecipeError(Exception):
    """A recipe does not exist or does not hold together. The text says what would be right."""


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Input(_Table):
    """The model's input: a uint8 image, brought to this size by the resize rule."""

    height: int = Field(ge=8, le=1024)
    width: int = Field(ge=8, le=1024)
    channels: Literal[1, 3]
    resize: Resize = "stretch"
    """`stretch`: all of the image, whatever its aspect. `letterbox`: all of it in its aspect, grey around it.
    `crop`: its middle, of the input's aspect; not for masks. `tile`: all of it at its own scale, in tiles of
    this size whose answers are blended; for masks alone."""
    crop_share: float = Field(1.0, ge=0.25, le=1)
    """Of `crop`: the part of the largest such middle that is kept, of its sides, as 0.875."""
    overlap: int = Field(0, ge=0, le=512)
    """Of `tile`: the pixels that neighbouring tiles share at least, up to half of a side."""
    normalisation: Normalisation = "unit"
    """`unit` divides by 255. `light-on-dark` also inverts an image whose border is lighter than half:
    a dark digit on white paper then looks like the light-on-dark ones that the model was trained on."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return self.height, self.width, self.channels


class Augmentation(_Table):
    """Ranges of the random changes; 0 switches one off. See `augmentation.py`."""

    flip: bool = False
    rotation_degrees: float = Field(0.0, ge=0, le=180)
    zoom: float = Field(0.0, ge=0, lt=1)
    aspect: float = Field(0.0, ge=0, lt=1)
    shift: float = Field(0.0, ge=0, lt=1)
    mirrored_border: bool = False
    """What comes in from outside is the mirror image, and not the nearest edge pixel."""
    brightness: float = Field(0.0, ge=0, le=1)
    contrast: float = Field(0.0, ge=0, lt=1)
    saturation: float = Field(0.0, ge=0, le=1)
    gamma: float = Field(0.0, ge=0, le=2)
    """Of an image, exp(-gamma) to exp(gamma): darker or lighter between black and white."""
    tint: float = Field(0.0, ge=0, lt=1)
    """Each channel by its own factor, 1 - tint to 1 + tint."""
    resolution: float = Field(0.0, ge=0, lt=1)
    """Half of the images lose up to this part of their sides' pixels, as if seen from further away."""
    invert: float = Field(0.0, ge=0, le=1)
    """This share of the images becomes a negative."""
    stain: float = Field(0.0, ge=0, le=1)
    """This share is painted, by brightness, in the colours between two random ones (microscopy)."""
    erase: float = Field(0.0, ge=0, lt=1)
    mixup: float = Field(0.0, ge=0)
    """Strength of blending two images and their scores, alpha of the paper (classification)."""
    cutmix: float = Field(0.0, ge=0)
    """Strength of pasting a part of one image into another, alpha of the paper (classification)."""
    randaugment: int = Field(0, ge=0, le=5)
    """How many random changes each image gets from RandAugment's list."""
    magnitude: float = Field(0.3, gt=0, le=1)
    """How strong RandAugment's changes are: the paper's M / 30."""


class Training(_Table):
    """The optimiser, its schedule, the loss, and when to end."""

    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    optimizer: Literal["adamw", "adam", "nadam", "lion", "rmsprop", "sgd"] = "adamw"
    """`sgd` has Nesterov momentum 0.9."""
    schedule: Literal["constant", "cosine", "one-cycle"] = "cosine"
    """The rate after warm-up; see `optimizers.Schedule`."""
    warmup: float = Field(0.1, ge=0, lt=1)
    """The part of all steps in which the rate rises."""
    weight_decay: float = Field(0.0, ge=0)
    """Decoupled from the gradient, whatever the optimiser; biases and normalisations are spared."""
    gradient_clip: float = Field(5.0, ge=0)
    """The largest norm that all gradients together may have; 0 switches it off."""
    ema: float = Field(0.0, ge=0, lt=1)
    """Momentum of a moving average of the weights: it is what is evaluated, kept and exported. 0: none."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    head_dropout: float = Field(0.0, ge=0, lt=1)
    dropout_scale: float = Field(1.0, ge=0, le=1.5)
    """What the architecture's own dropout rates are multiplied with."""
    box_loss: Literal["giou", "ciou", "mse"] = "giou"
    box_head: Literal["dense", "votes"] = "dense"
    """How a box comes from the features: dense layers, or each place's vote (`zoo/votes.py`)."""
    box_weight: float = Field(1.0, gt=0)
    """Of the box loss, where the class loss counts 1 (localization, detection)."""
    max_objects: int = Field(300, ge=1, le=1000)
    """The objects that are answered for an image at most (detection)."""
    mask_loss: Literal["dice+cross-entropy", "cross-entropy"] = "dice+cross-entropy"
    mask_border: bool = False
    """A second output beside masks of two labels whose objects are numbered: the probability that a pixel
    lies between two objects, by which the service tells those that touch apart; see `tasks/borders.py`."""
    balance: bool = False
    """Weigh the images of rare classes more, so that all classes count the same in the loss."""
    keep: Literal["best", "last"] = "best"
    """The weights of the epoch that is best on validation, or of the last one: where what will be asked
    differs from all held-out images, as other stains and scales do, these cannot tell which epoch is best."""
    patience: int = Field(0, ge=0)
    """End after so many epochs without a new best one; 0: never."""
    max_minutes: float = Field(0.0, ge=0)
    """End after this time, the schedule shortened to fit; 0: never."""
    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    seed: int = Field(0, ge=0, lt=2**32)


class Transfer(_Table):
    """Where the first weights come from, and how the network gets used to them."""

    weights: str = ""
    """`imagenet`, a .keras or .weights.h5 file, the folder of a run or of a version, or the name of a model
    in `models/` (its newest version, or `name/3`) or of a run: see `recipes/weights.py`. In a TOML file a
    path is relative to that file or to where the command runs."""
    frozen_epochs: int = Field(0, ge=0)
    """Of all epochs, the first ones in which only what did not come from there is trained."""
    frozen_learning_rate: float = Field(1e-3, gt=0)
    """In these epochs; afterwards `training.learning_rate`, which should be lower."""
    frozen_normalisation: bool = True
    """Keep the batch normalisation taken over in inference mode after the frozen epochs too."""
    cached_views: int = Field(0, ge=0, le=64)
    """Compute what the frozen layers answer once, for so many augmented views of each image, and train the
    others on that; an epoch passes over all views. 0: compute it anew each epoch. See `fit/features.py`."""
    unfreeze_from: str = ""
    """After the frozen epochs, of the layers taken over this one and those behind it learn; empty: all."""
    backbone_rate: float = Field(1.0, gt=0, le=1)
    """The learning rate of the layers taken over that learn, as a part of `training.learning_rate`."""


class Recipe(_Table):
    """One model: its data, architecture, task and training."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    description: str = Field(min_length=1)
    task: Task
    dataset: str
    target: str = ""
    """Which of the data set's labels, where it has several (`species` or `breed`)."""
    architecture: str
    start_from: str = ""
    """The recipe whose finished run gives the first weights, layer by layer of the same name."""
    data: str = ""
    """Of the data set `folder`: where it lies. In a TOML file, relative to that file."""
    group_by: str = ""
    """A regular expression on the names of its files (a patient, a track): what it finds is in one part."""
    skip_broken: bool = False
    """Leave out files with which something is wrong, instead of naming them all and stopping."""
    masks: MaskValues = ""
    """How the numbers in its masks are to be read, where they do not tell."""
    labels: str = ""
    """Which of its labels, where it has several: a kind, a file, or a folder (`--labels`)."""
    licence: str = ""
    """What others may do with its images; empty: private."""
    reasons: tuple[str, ...] = ()
    """Why it is as it is where nobody said, a sentence each; said when training begins."""
    fingerprint: str = ""
    """What the folder was like when the run began; training fills it in."""
    golden: Literal["digits", "clothes", "signs", "pets", "nuclei", "cells", "shapes"] = "shapes"
    """What the golden samples show; see `golden.py`."""
    input: Input
    augmentation: Augmentation = Augmentation()
    training: Training
    transfer: Transfer = Transfer()

    @property
    def request(self) -> Request:
        """What the recipe asks of its data set."""
        own = {
            name: getattr(self, name)
            for name in ("group_by", "skip_broken", "masks", "labels", "fingerprint")
        }
        fields = ("height", "width", "channels", "resize", "crop_share", "overlap")
        frame = {name: getattr(self.input, name) for name in fields}
        return Request(self.task, target=self.target, **frame, **own)

    def load(self, data_dir: Path) -> Splits:
        """Read the recipe's data set, from below `data_dir` or from the user's own folder."""
        # Like every path that a user gives, relative to where the command runs, not to the data sets' folder.
        folder = Path(self.data) if self.data else data_dir / self.dataset
        if self.data and not folder.is_dir():
            raise RecipeError(f"There is no folder {folder}. If it was moved, say where it is with --data.")
        return SOURCES[self.dataset].load(folder, self.request)
