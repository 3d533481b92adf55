"""What a sweep's file may say: the schema of `sweep.py`."""

import math
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Scalar = bool | int | float | str
Match = dict[str, list[Scalar]]
"""Dotted fields and the values that match; all of them have to."""


class SweepError(Exception):
    """A sweep does not exist or does not hold together. The text says what would be right."""


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Range(_Table):
    """Numbers drawn between `low` and `high`; evenly by their logarithm with `log`."""

    low: float
    high: float
    log: bool = False
    whole: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> "Range":
        if self.low >= self.high:
            raise ValueError("low must be below high")
        if self.log and self.low <= 0:
            raise ValueError("low must be above 0 where log is true")
        return self

    def draw(self, chance: np.random.Generator) -> float | int:
        """Draw one number."""
        if self.log:
            number = math.exp(chance.uniform(math.log(self.low), math.log(self.high)))
        else:
            number = chance.uniform(self.low, self.high)
        # Five digits are enough to choose a setting, and can be read in a table.
        return round(number) if self.whole else float(f"{number:.5g}")


class Search(_Table):
    """Which trials are run to the end, and what each may use."""

    scheduler: Literal["all", "asha"] = "all"
    """`asha` stops the worse trials of each data set early (Li et al., "A System for Massively Parallel
    Hyperparameter Tuning", MLSys 2020)."""
    grace_epochs: int = Field(1, ge=1)
    """No trial is stopped earlier (asha)."""
    reduction: int = Field(3, ge=2)
    """One in this many trials goes on at each halving (asha)."""
    samples: int = Field(1, ge=1)
    """How often each point of the grid draws from the ranges."""
    seed: int = 0
    cpus_per_trial: int = Field(1, ge=1)
    """Cores reserved for a trial; TensorFlow gets that many threads."""
    gpus_per_trial: float = Field(0, ge=0)


class Where(_Table):
    """Fields that are set in the trials that match; later ones win."""

    match: Match
    set: dict[str, Any]

    @field_validator("match", mode="before")
    @classmethod
    def _lists(cls, table: Any) -> Any:
        return _listed(table)


class Sweep(_Table):
    """Many recipes as one document."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    description: str = Field(min_length=1)
    base: dict[str, Any]
    grid: dict[str, list[Scalar]]
    ranges: dict[str, Range] = {}
    where: tuple[Where, ...] = ()
    exclude: tuple[Match, ...] = ()
    search: Search = Search()

    @field_validator("grid", mode="before")
    @classmethod
    def _flat_grid(cls, table: Any) -> Any:
        return flat(table)

    @field_validator("ranges", mode="before")
    @classmethod
    def _flat_ranges(cls, table: Any) -> Any:
        return flat(table, until="low")

    @field_validator("exclude", mode="before")
    @classmethod
    def _exclude_lists(cls, tables: Any) -> Any:
        return tuple(_listed(table) for table in tables) if isinstance(tables, (list, tuple)) else tables

    @field_validator("grid")
    @classmethod
    def _values(cls, grid: dict[str, list[Scalar]]) -> dict[str, list[Scalar]]:
        for field, values in grid.items():
            if not values:
                raise ValueError(f"{field} has no values")
            if len(set(map(repr, values))) < len(values):
                raise ValueError(f"{field} names a value twice")
        return grid


def flat(table: Any, until: str = "") -> Any:
    """Turn nested tables into one with dotted keys; a table that holds the key `until` stays whole."""
    if not isinstance(table, dict):
        return table
    found: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict) and until not in value:
            found |= {f"{key}.{inner}": leaf for inner, leaf in flat(value, until).items()}
        else:
            found[key] = value
    return found


def _listed(table: Any) -> Any:
    """Flatten a table of matches, a single value standing for a list of one."""
    if not isinstance(table, dict):
        return table
    return {key: value if isinstance(value, list) else [value] for key, value in flat(table).items()}
