"""A `Recipe`: everything that decides a training run. One TOML file per shipped model in `recipes/`."""

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from training.datasets import SOURCES, MaskValues, Request, Splits, Task

Normalisation = Literal["unit", "light-on-dark"]


class RecipeError(Exception):
    """A recipe does not exist or does not hold together. The text says what would be right."""


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Input(_Table):
    """The model's input: a uint8 image, stretched to this size."""

    height: int = Field(ge=8, le=1024)
    width: int = Field(ge=8, le=1024)
    channels: Literal[1, 3]
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
    brightness: float = Field(0.0, ge=0, le=1)
    contrast: float = Field(0.0, ge=0, lt=1)
    saturation: float = Field(0.0, ge=0, le=1)
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
    box_weight: float = Field(1.0, gt=0)
    """Of the box loss, where the class loss counts 1 (localization)."""
    mask_loss: Literal["dice+cross-entropy", "cross-entropy"] = "dice+cross-entropy"
    balance: bool = False
    """Weigh the images of rare classes more, so that all classes count the same in the loss."""
    patience: int = Field(0, ge=0)
    """End after so many epochs without a new best one; 0: never."""
    max_minutes: float = Field(0.0, ge=0)
    """End after this time, the schedule shortened to fit; 0: never."""
    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    seed: int = Field(0, ge=0, lt=2**32)


class Transfer(_Table):
    """Where the first weights come from, and how the network gets used to them."""

    weights: str = ""
    """`imagenet`, a .keras or .weights.h5 file, or a run's folder. In a TOML file, relative to that file or
    to where the command runs."""
    frozen_epochs: int = Field(0, ge=0)
    """Of all epochs, the first ones in which only what did not come from there is trained."""
    frozen_learning_rate: float = Field(1e-3, gt=0)
    """In these epochs; afterwards `training.learning_rate`, which should be lower."""
    frozen_normalisation: bool = True
    """Keep the batch normalisation taken over in inference mode after the frozen epochs too."""


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
    licence: str = ""
    """What others may do with its images; empty: private."""
    fingerprint: str = ""
    """What the folder was like when the run began; training fills it in."""
    golden: Literal["digits", "clothes", "signs", "pets", "nuclei", "shapes"] = "shapes"
    """What the golden samples show; see `golden.py`."""
    input: Input
    augmentation: Augmentation = Augmentation()
    training: Training
    transfer: Transfer = Transfer()

    @property
    def request(self) -> Request:
        """What the recipe asks of its data set."""
        own = {name: getattr(self, name) for name in ("group_by", "skip_broken", "masks", "fingerprint")}
        return Request(self.task, *self.input.shape, target=self.target, **own)

    def load(self, data_dir: Path) -> Splits:
        """Read the recipe's data set, from below `data_dir` or from the user's own folder."""
        if self.data and not Path(self.data).is_dir():
            raise RecipeError(
                f"There is no folder {self.data}. If it was moved, say where it is with --data."
            )
        return SOURCES[self.dataset].load(data_dir / (self.data or self.dataset), self.request)


def shipped() -> list[str]:
    """Return the names of the recipes in this package."""
    folder = resources.files("training") / "recipes"
    return sorted(item.name[:-5] for item in folder.iterdir() if item.name.endswith(".toml"))


def load(name: str) -> Recipe:
    """Return the recipe of that name, or the one in the TOML file at that path."""
    path = Path(name)
    if path.suffix == ".toml":
        if not path.is_file():
            raise RecipeError(f"There is no recipe file {path}.")
        try:
            recipe = parse(path.read_text("utf-8"), str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"{path} cannot be read as UTF-8: {error}.") from None
        return located(recipe, path.parent)
    if name not in shipped():
        raise RecipeError(
            f"There is no recipe {name!r}. There are: {', '.join(shipped())}; or give a .toml file."
        )
    text = (resources.files("training") / "recipes" / f"{name}.toml").read_text("utf-8")
    return parse(text, f"{name}.toml")


def reopen(path: Path) -> Recipe:
    """Read the recipe.json of a run; RecipeError where it is of another version, or not whole."""
    try:
        return Recipe.model_validate_json(path.read_text("utf-8"))
    except ValidationError as error:
        raise RecipeError(f"{path} is of another version, or not whole: {faults(error)}.") from None


def located(recipe: Recipe, folder: Path) -> Recipe:
    """Return the recipe of a TOML file in `folder`, with the paths that are relative to it."""
    changed: dict[str, Any] = {}
    if recipe.data:
        changed["data"] = str((folder / recipe.data).resolve())
    beside = folder / recipe.transfer.weights
    if recipe.transfer.weights not in {"", "imagenet"} and beside.exists():
        weights = str(beside.resolve())
        changed["transfer"] = recipe.transfer.model_copy(update={"weights": weights})
    return recipe.model_copy(update=changed)


def parse(text: str, origin: str) -> Recipe:
    """Read a recipe from TOML; RecipeError names the file and each field that is wrong."""
    try:
        return validate(tomllib.loads(text), origin)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{origin} is not valid TOML: {error}") from error


def validate(fields: dict[str, Any], origin: str) -> Recipe:
    """Make a recipe of its fields; RecipeError names each that is wrong."""
    try:
        recipe = Recipe.model_validate(fields)
    except ValidationError as error:
        raise RecipeError(f"{origin}: {faults(error)}") from error
    check(recipe, origin)
    return recipe


def faults(error: ValidationError) -> str:
    """Return each wrong field and what is wrong with it, in one line."""
    return "; ".join(_fault(fault["loc"], fault["type"], fault["msg"]) for fault in error.errors())


def _fault(place: tuple[int | str, ...], kind: str, message: str) -> str:
    name = ".".join(map(str, place))
    if kind == "string_pattern_mismatch" and name == "name":
        return "name: give small letters, digits and hyphens, such as my-photos"
    tables: dict[tuple[int | str, ...], type[BaseModel]] = {
        (): Recipe,
        ("input",): Input,
        ("augmentation",): Augmentation,
        ("training",): Training,
        ("transfer",): Transfer,
    }
    if kind == "extra_forbidden" and place[:-1] in tables:
        return f"{name}: there is no such setting; there are {', '.join(tables[place[:-1]].model_fields)}"
    return f"{name}: {message}"


def check(recipe: Recipe, origin: str) -> None:
    """Raise RecipeError where data set, task and architecture do not go together."""
    from training.zoo import ARCHITECTURES

    if recipe.dataset not in SOURCES:
        raise RecipeError(f"{origin}: no data set {recipe.dataset!r}; there are {', '.join(SOURCES)}.")
    if (recipe.dataset == "folder") != bool(recipe.data):
        raise RecipeError(
            f'{origin}: one\'s own images need both dataset = "folder" and data = "where/they/lie"; '
            f"here are dataset = {recipe.dataset!r} and data = {recipe.data!r}."
        )
    tasks = SOURCES[recipe.dataset].tasks
    if recipe.task not in tasks:
        raise RecipeError(
            f"{origin}: the data set {recipe.dataset} is for {', '.join(tasks)}, not {recipe.task}."
        )
    if recipe.architecture not in ARCHITECTURES:
        raise RecipeError(
            f"{origin}: no architecture {recipe.architecture!r}; there are {', '.join(ARCHITECTURES)}."
        )
    check_craft(recipe, origin)


def with_weights(recipe: Recipe, weights: str) -> Recipe:
    """Return the recipe started from these weights.

    Where it says nothing of frozen epochs, they are the first fifth, at the recipe's rate; the others have a
    fifth of that rate.
    """
    table: dict[str, object] = {"weights": weights}
    training = recipe.training
    if not recipe.transfer.frozen_epochs and training.epochs > 1:
        rate = training.learning_rate
        table |= {"frozen_epochs": -(-training.epochs // 5), "frozen_learning_rate": rate}
        training = training.model_copy(update={"learning_rate": rate / 5})
    transfer = recipe.transfer.model_copy(update=table)
    return recipe.model_copy(update={"transfer": transfer, "training": training})


def check_craft(recipe: Recipe, origin: str) -> None:
    """Raise RecipeError where settings of training contradict the task or each other."""
    _check_network(recipe, origin)
    for name in ("mixup", "cutmix"):
        if getattr(recipe.augmentation, name) and recipe.task != "classification":
            raise RecipeError(
                f"{origin}: augmentation.{name} blends two images, and a blend has no one box or mask: "
                f"it is for classification, not {recipe.task}."
            )
    for name in ("label_smoothing", "head_dropout"):
        if getattr(recipe.training, name) and recipe.task == "segmentation":
            raise RecipeError(f"{origin}: training.{name} does nothing to masks: leave it out.")
    frozen = recipe.transfer.frozen_epochs
    if frozen and not (recipe.transfer.weights or recipe.start_from):
        raise RecipeError(f"{origin}: transfer.frozen_epochs needs weights to freeze: give transfer.weights.")
    if frozen >= recipe.training.epochs:
        raise RecipeError(
            f"{origin}: transfer.frozen_epochs is {frozen}: it must be less than "
            f"training.epochs, {recipe.training.epochs}."
        )


def _check_network(recipe: Recipe, origin: str) -> None:
    from training.zoo import ARCHITECTURES, ArchitectureError

    architecture = ARCHITECTURES[recipe.architecture]
    try:
        architecture.size.check(architecture.name, recipe.input.shape)
    except ArchitectureError as error:
        raise RecipeError(f"{origin}: {error}") from None
    if recipe.transfer.weights == "imagenet" and architecture.pretrained is None:
        known = [each.name for each in ARCHITECTURES.values() if each.pretrained]
        raise RecipeError(
            f"{origin}: there are no ImageNet weights for {architecture.name}, but for {', '.join(known)}: "
            f"choose one of these with --architecture, or give a file or a run's folder."
        )


def resize(shape: Input, size: str) -> Input:
    """Return the input at `size`, HEIGHTxWIDTH or HEIGHTxWIDTHxCHANNELS; as it is where that is empty."""
    if not size:
        return shape
    try:
        height, width, *rest = (int(side) for side in size.lower().split("x"))
        (channels,) = rest or (shape.channels,)
        return Input.model_validate(
            {**shape.model_dump(), "height": height, "width": width, "channels": channels}
        )
    except ValueError:
        raise RecipeError(
            f"{size!r} is no size: give HEIGHTxWIDTHxCHANNELS, each side 8 to 1024, 1 or 3 channels."
        ) from None


def sketch(architecture: str) -> Recipe:
    """Return a recipe that only says enough to build the architecture with the head it is made for."""
    from training.zoo import ARCHITECTURES

    height, width, channels = ARCHITECTURES[architecture].input_shape
    task, dataset = ("segmentation", "nuclei") if "unet" in architecture else ("classification", "mnist")
    return Recipe.model_validate(
        {
            "name": architecture,
            "description": ARCHITECTURES[architecture].title,
            "task": task,
            "dataset": dataset,
            "architecture": architecture,
            "input": {"height": height, "width": width, "channels": channels},
            "training": {"epochs": 1, "batch_size": 1, "learning_rate": 1e-3},
        }
    )
