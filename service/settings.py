"""The environment: every setting is `STRIATE_<NAME>`, or `--<name>` of `python -m service`."""

import ipaddress
import os
import sys
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _share(values: dict[str, Any]) -> int:
    """Return the cores of one worker."""
    return max(1, _cores() // int(values.get("workers", 1)))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


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
    decode_isolation: Literal["auto", "process", "thread"] = Field(
        "auto",
        description="Where images are decoded: in processes that can crash without harm, or in threads of "
        "the server. auto: processes where the service listens beyond this machine, on Linux.",
    )
    decode_limit_ms: int = Field(
        2000,
        ge=100,
        le=60_000,
        description="Longest time that one image may take to decode, in milliseconds. With processes only.",
    )
    decode_budget_bytes: int = Field(
        512 * 2**20,
        ge=2**20,
        description="Memory that all decodes at once may take, in bytes by their pixels; others wait.",
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
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe message to log."
    )

    @model_validator(mode="after")
    def _one_request_fits(self) -> Self:
        """Refuse a queue that the largest request allowed could never enter."""
        if self.max_queue < self.max_images:
            raise ValueError(f"max_queue ({self.max_queue}) is less than max_images ({self.max_images})")
        return self

    @model_validator(mode="after")
    def _processes_can_be_had(self) -> Self:
        """Refuse what only Linux can do elsewhere."""
        if self.decode_isolation == "process" and sys.platform != "linux":
            raise ValueError("decode_isolation=process needs Linux; use thread")
        return self

    @property
    def isolates_decoding(self) -> bool:
        """Whether images are decoded in processes of their own."""
        if self.decode_isolation == "auto":
            return sys.platform == "linux" and not _is_loopback(self.host)
        return self.decode_isolation == "process"

    def as_environment(self) -> dict[str, str]:
        """Return the variables that make the same settings in another process."""
        prefix = "STRIATE_"
        return {f"{prefix}{name}".upper(): str(value) for name, value in self.model_dump().items()}


def misspelt() -> list[str]:
    """Return the STRIATE_ variables of the environment that are no settings."""
    known = {f"STRIATE_{name}".upper() for name in Settings.model_fields}
    given = {name for name in os.environ if name.upper().startswith("STRIATE_")}
    return sorted(name for name in given if name.upper() not in known)
