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
    max_connections: int = Field(
        1000,
        ge=1,
        description="Most open connections of one process. One more takes the place of one that is idle; "
        "where none is, it gets 503.",
    )
    max_head_bytes: int = Field(
        16 * 1024, ge=1024, le=2**20, description="Most bytes of a request line and its headers together."
    )
    max_headers: int = Field(100, ge=8, le=10_000, description="Most headers of one request.")
    max_target_bytes: int = Field(
        8 * 1024, ge=256, le=2**20, description="Most bytes of the address in a request line."
    )
    head_seconds: float = Field(
        5.0, gt=0, description="Time for a request's headers, from the connection's or their own first byte."
    )
    body_seconds: float = Field(30.0, gt=0, description="Time for a request's body, from the headers' end.")
    body_grace_seconds: float = Field(
        5.0, gt=0, description="Time before a body is held to min_body_bytes_per_second."
    )
    min_body_bytes_per_second: int = Field(
        16 * 1024, ge=1, description="Least average rate of a body's bytes once its grace is over."
    )
    keep_alive_seconds: float = Field(
        75.0,
        gt=0,
        description="Time that a connection may wait between requests; longer than that of a proxy in front.",
    )
    write_seconds: float = Field(
        30.0, gt=0, description="Time after which a client that takes nothing of its answer is cut off."
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
