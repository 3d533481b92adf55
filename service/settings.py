"""The environment: every setting is `STRIATE_<NAME>`, or `--<name>` of `python -m service`."""

import os
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _share(values: dict[str, Any]) -> int:
    """Return the cores of one worker."""
    return max(1, _cores() // int(values.get("workers", 1)))


class Settings(BaseSettings):
    """Frozen and validated; units are in the names."""

    model_config = SettingsConfigDict(
        env_prefix="STRIATE_", frozen=True, extra="forbid", protected_namespaces=()
    )

    host: str = Field("127.0.0.1", description="Address to listen on. 0.0.0.0 for every interface.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 for any free one.")
    models_dir: Path = Field(Path("models"), description="Folder with models/<name>/<version>/.")
    engine: Literal["auto", "tensorflow", "openvino"] = Field(
        "auto",
        description="auto: TensorFlow where it sees a GPU, else OpenVINO where installed, else TensorFlow.",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="auto: bfloat16 where the CPU has it and the golden answers hold, else float32.",
    )
    default_classify: str = Field("pets", description="Model of /classify without ?model.")
    default_localize: str = Field("pet-heads", description="Model of /localize without ?model.")
    default_segment: str = Field("pet-masks", description="Model of /segment without ?model.")
    workers: int = Field(
        1,
        ge=1,
        le=256,
        description="Processes, each with every model; for hosts with more cores than one loop can feed.",
    )
    max_body_bytes: int = Field(
        20 * 2**20, ge=1024, description="Largest request body, and largest image, in bytes."
    )
    max_pixels: int = Field(
        4096 * 4096, ge=1024, le=2**28, description="Most pixels in one image, told by its header."
    )
    max_images: int = Field(16, ge=1, le=1024, description="Most images in one request.")
    max_batch: int = Field(32, ge=1, le=1024, description="Most images in one call of an engine.")
    max_queue: int = Field(
        256, ge=1, description="Most images waiting for one model; past it requests get 503."
    )
    decode_threads: int = Field(
        default_factory=_share,
        ge=1,
        le=256,
        description="Threads that decode images and encode masks; by default as engine_threads.",
    )
    engine_threads: int = Field(
        default_factory=_share,
        ge=1,
        le=1024,
        description="Threads that each engine computes with; by default each process's share of the cores.",
    )
    engine_niceness: int = Field(
        19,
        ge=0,
        le=19,
        description="How far the engines' threads step back behind all others (nice). 0 where the service "
        "shares its processors with other busy processes outside its container.",
    )
    models_poll_seconds: float = Field(
        2.0, ge=0, le=3600, description="How often to look for changes in models_dir; 0 for never."
    )
    models_settle_seconds: float = Field(
        30.0,
        ge=0,
        le=86400,
        description="How long nothing may change in an incomplete version before it counts as refused.",
    )
    load_timeout_seconds: float = Field(
        120.0, gt=0, le=3600, description="How long a version's trial may take before it is killed."
    )
    load_retry_seconds: float = Field(
        5.0,
        gt=0,
        le=3600,
        description="Wait after a failure that may pass, doubled with each of 5 tries, up to a minute.",
    )
    trial_load: Literal["auto", "always", "never"] = Field(
        "auto",
        description="Whether a version is first loaded and tested in a process of its own, which may crash "
        "or hang: auto once the service has started.",
    )
    trial_memory_bytes: int = Field(
        8 * 2**30, ge=2**28, description="Most memory that a trial may allocate, in bytes."
    )
    keep_previous: bool = Field(
        True, description="Whether the version before the live one stays in memory, to roll back at once."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe message to log."
    )

    @model_validator(mode="after")
    def _one_request_fits(self) -> Self:
        """Refuse a queue that the largest request allowed could never enter."""
        if self.max_queue < self.max_images:
            raise ValueError(f"max_queue ({self.max_queue}) is less than max_images ({self.max_images})")
        return self

    def as_environment(self) -> dict[str, str]:
        """Return the variables that make the same settings in another process."""
        prefix = "STRIATE_"
        return {f"{prefix}{name}".upper(): str(value) for name, value in self.model_dump().items()}


def misspelt() -> list[str]:
    """Return the STRIATE_ variables of the environment that are no settings."""
    known = {f"STRIATE_{name}".upper() for name in Settings.model_fields}
    given = {name for name in os.environ if name.upper().startswith("STRIATE_")}
    return sorted(name for name in given if name.upper() not in known)
