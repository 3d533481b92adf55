"""`models/<name>/policy.json`: which versions of a model an operator wants, instead of just the newest."""

import contextlib
import logging
import os
import tempfile
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from service import files
from service.errors import PolicyInvalid, PolicyNotKept

log = logging.getLogger("service")

FILE = "policy.json"
MAX_BYTES = 64 * 2**10

Version = Annotated[int, Field(ge=1, le=2**53, strict=True)]
Label = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]


class Policy(BaseModel):
    """What is wanted. Empty, the newest version is live and nothing else."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    pin: Version | None = Field(
        None, description="The version to serve; a smaller one than before rolls back."
    )
    labels: dict[Label, Version] = Field(
        default_factory=dict,
        max_length=8,
        description="Versions to keep live beside it, asked for by ?label=; `stable` is the same as pin.",
    )
    canary_share: float = Field(
        0.0,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Share of the requests without version and label that the label `canary` answers.",
    )

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        stable = self.labels.get("stable")
        if self.pin is not None and stable is not None and self.pin != stable:
            raise ValueError("pin and labels.stable name two versions")
        if self.canary_share and "canary" not in self.labels:
            raise ValueError("canary_share needs labels.canary")
        return self

    @property
    def stable(self) -> int | None:
        """The version to serve; None for the newest."""
        return self.pin if self.pin is not None else self.labels.get("stable")


def parse(data: bytes) -> Policy:
    """Read a policy; PolicyInvalid says what is wrong without repeating it."""
    if len(data) > MAX_BYTES:
        raise PolicyInvalid(f"The policy is larger than {MAX_BYTES} bytes.")
    try:
        return Policy.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        known = [
            str(part) for part in first["loc"] if part in Policy.model_fields or part in {"stable", "canary"}
        ]
        if first["type"] == "extra_forbidden":
            raise PolicyInvalid(f"There is a member unknown here; there are: {_MEMBERS}.") from None
        if first["type"] == "json_invalid":
            raise PolicyInvalid("The policy is not JSON.") from None
        raise PolicyInvalid(f"{'.'.join(known) or 'policy'}: {first['msg']}.") from None


_MEMBERS = ", ".join(Policy.model_fields)


def read(home: Path) -> Policy:
    """Read the policy of the model in `home`, an empty one where there is none; PolicyInvalid or OSError."""
    try:
        return parse(files.read(home / FILE, MAX_BYTES))
    except FileNotFoundError:
        return Policy()
    except files.Unfit as error:
        raise PolicyInvalid(f"The policy cannot be read: {error.strerror}.") from None


def write(home: Path, policy: Policy) -> None:
    """Put the policy in its place in one step: a reader never sees half of it. PolicyNotKept or nothing."""
    work = ""
    try:
        descriptor, work = tempfile.mkstemp(prefix=".policy-", dir=home)
        with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - pathlib opens no descriptors
            file.write(policy.model_dump_json(exclude_defaults=True) + "\n")
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        Path(work).replace(home / FILE)
    except OSError:
        if work:
            with contextlib.suppress(OSError):
                Path(work).unlink()
        raise PolicyNotKept(
            "The folder of the model cannot be written to; put policy.json there yourself."
        ) from None


class Policies:
    """The models' policies, each read anew when its file has changed; the last good one of each stays."""

    def __init__(self, models_dir: Path) -> None:
        self._models_dir = models_dir
        # By model: its file's time, size and number, the last good policy, and what is wrong with the file.
        self._known: dict[str, tuple[object, Policy, str]] = {}

    def of(self, name: str) -> tuple[Policy, str]:
        """Return a model's policy, and what is wrong with its file: then it is the last good one."""
        home = self._models_dir / name
        _, last, complaint = former = self._known.get(name, (0, Policy(), ""))
        try:
            state = (home / FILE).lstat()
            stamp: object = (state.st_mtime_ns, state.st_size, state.st_ino)
        except FileNotFoundError:
            stamp = None
        if stamp == former[0]:
            return last, complaint
        try:
            last, complaint = read(home), ""
        except PolicyInvalid as error:
            complaint = f"policy.json: {error.detail}"
        except OSError as error:
            complaint = f"policy.json cannot be read: {os.strerror(error.errno or 0)}."
        if complaint:
            log.error("%s: %s The last good policy stays.", name, complaint)
        self._known[name] = (stamp, last, complaint)
        return last, complaint
