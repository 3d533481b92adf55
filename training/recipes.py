"""A `Recipe`: everything that decides a training run. One TOML file per shipped model in `recipes/`."""

import tomllib
from importlib import resources
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from training.datasets import SOURCES, Request, Task

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


class Training(_Table):
    """The optimiser and its schedule: AdamW, linear warm-up, cosine decay to zero."""

    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    warmup: float = Field(0.1, ge=0, lt=1)
    """The part of all steps in which the rate rises from zero."""
    weight_decay: float = Field(0.0, ge=0)
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    head_dropout: float = Field(0.0, ge=0, lt=1)
    box_weight: float = Field(1.0, gt=0)
    """Of the box loss, where the class loss counts 1 (localization)."""
    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    seed: int = 0


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
    golden: Literal["digits", "clothes", "signs", "pets", "nuclei", "shapes"] = "shapes"
    """What the golden samples show; see `golden.py`."""
    input: Input
    augmentation: Augmentation = Augmentation()
    training: Training

    @property
    def request(self) -> Request:
        """What the recipe asks of its data set."""
        return Request(self.task, *self.input.shape, target=self.target)


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
        return parse(path.read_text("utf-8"), str(path))
    if name not in shipped():
        raise RecipeError(
            f"There is no recipe {name!r}. There are: {', '.join(shipped())}; or give a .toml file."
        )
    text = (resources.files("training") / "recipes" / f"{name}.toml").read_text("utf-8")
    return parse(text, f"{name}.toml")


def parse(text: str, origin: str) -> Recipe:
    """Read a recipe from TOML; RecipeError names the file and each field that is wrong."""
    try:
        recipe = Recipe.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{origin} is not valid TOML: {error}") from error
    except ValidationError as error:
        raise RecipeError(f"{origin}: {faults(error)}") from error
    check(recipe, origin)
    return recipe


def faults(error: ValidationError) -> str:
    """Return each wrong field and what is wrong with it, in one line."""
    return "; ".join(
        f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}" for fault in error.errors()
    )


def check(recipe: Recipe, origin: str) -> None:
    """Raise RecipeError where data set, task and architecture do not go together."""
    from training.zoo import ARCHITECTURES

    if recipe.dataset not in SOURCES:
        raise RecipeError(f"{origin}: no data set {recipe.dataset!r}; there are {', '.join(SOURCES)}.")
    tasks = SOURCES[recipe.dataset].tasks
    if recipe.task not in tasks:
        raise RecipeError(
            f"{origin}: the data set {recipe.dataset} is for {', '.join(tasks)}, not {recipe.task}."
        )
    if recipe.architecture not in ARCHITECTURES:
        raise RecipeError(
            f"{origin}: no architecture {recipe.architecture!r}; there are {', '.join(ARCHITECTURES)}."
        )


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
