"""What a trial is given and what it finds."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from service.configuration.settings import Settings

T = TypeVar("T")


@dataclass(frozen=True)
class Scale:
    """How much of everything: `quick` is for the tests, `soak` adds the half hour."""

    models: Path
    quick: bool = False
    soak: bool = False

    def of(self, whole: T, quick: T) -> T:
        """Choose between the whole form's amount and the quick form's."""
        return quick if self.quick else whole


@dataclass(frozen=True)
class Row:
    """One line of the table.

    `passed` is None where the trial cannot be made here. `timed` says that the figure depends on how busy
    the machine is otherwise, so that no test should stand or fall with it.
    """

    what: str
    figure: str
    bar: str
    passed: bool | None
    timed: bool = False


Trial = Callable[[Scale], Iterator[Row]]


def known(**settings: object) -> dict[str, str]:
    """Return those of the settings that this version of the service has, as environment variables."""
    return {
        f"STRIATE_{name}".upper(): str(value)
        for name, value in settings.items()
        if name in Settings.model_fields
    }


def setting(name: str, otherwise: float) -> float:
    """Return a numeric setting's value; `otherwise` where this version of the service has no such setting."""
    return float(getattr(Settings(), name, otherwise))
