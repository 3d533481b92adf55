"""The environment: every setting is `STRIATE_<NAME>`, or `--<name>` of `python -m service`."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from service import addresses


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _share(values: dict[str, Any]) -> int:
    """Return the cores of one worker."""
    return max(1, _cores() // int(values.get("workers", 1)))


class StartRefused(Exception):
    """The settings are well-formed but cannot be served with; the text is for operators."""


def _absent(value: Any) -> Any:
    """Read an empty variable, as a compose file passes one on, as one that is not there."""
    return None if value == "" else value


OptionalPath = Annotated[Path | None, BeforeValidator(_absent)]
OptionalPort = Annotated[int | None, BeforeValidator(_absent)]


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
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe message to log."
    )
    auth: Literal["auto", "on", "off"] = Field(
        "auto",
        description="Whether requests need a key; auto: unless the service is for this machine only.",
    )
    keys_file: OptionalPath = Field(
        None, description="TOML file of the keys that are let in; `python -m service keys new` makes entries."
    )
    published_host: str = Field(
        "",
        description="Address at which others find the service where that is not the host, as in a container "
        "whose port is published; it decides for auto.",
    )
    trusted_proxies: str = Field(
        "",
        description="Networks, with commas, of the proxies whose X-Forwarded-For tells the client's address.",
    )
    auth_failures_per_minute: float = Field(
        10, gt=0, le=1e6, description="Wrong keys per minute and client address before the answer is 429."
    )
    key_requests_per_second: float = Field(
        0, ge=0, le=1e6, description="Requests per second of one key in each worker; 0 for no limit."
    )
    admin_port: OptionalPort = Field(
        None,
        ge=0,
        le=65535,
        description="Port of a listener of its own for /metrics, /admin and /docs, which the other lacks.",
    )
    admin_host: str = Field("127.0.0.1", description="Address of the listener for administration.")
    tls_cert_file: OptionalPath = Field(None, description="PEM file of the certificate and its chain.")
    tls_key_file: OptionalPath = Field(
        None, description="PEM file of the certificate's key, without password."
    )
    docs: Literal["auto", "on", "off"] = Field(
        "auto",
        description="Whether there are /docs and /openapi.json; auto: where requests need no key.",
    )

    @model_validator(mode="after")
    def _one_request_fits(self) -> Self:
        """Refuse a queue that the largest request allowed could never enter."""
        if self.max_queue < self.max_images:
            raise ValueError(f"max_queue ({self.max_queue}) is less than max_images ({self.max_images})")
        return self

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, text: str) -> str:
        addresses.networks(text)
        return text

    @model_validator(mode="after")
    def _both_halves_of_tls(self) -> Self:
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError("tls_cert_file and tls_key_file belong together: one is set, the other is not")
        return self

    @model_validator(mode="after")
    def _two_ports(self) -> Self:
        """Refuse one port for both listeners, which are told apart by it."""
        if self.admin_port and self.admin_port == self.port:
            raise ValueError(f"admin_port and port are both {self.port}; they must differ")
        return self

    @property
    def keys_needed(self) -> bool:
        """Whether only requests with a key are answered."""
        if self.auth != "auto":
            return self.auth == "on"
        faces = [self.published_host or self.host]
        if self.admin_port is not None:
            faces.append(self.admin_host)
        return self.keys_file is not None or not all(map(addresses.is_loopback, faces))

    @property
    def docs_shown(self) -> bool:
        """Whether there are /docs and /openapi.json."""
        return self.docs == "on" or (self.docs == "auto" and not self.keys_needed)

    def as_environment(self) -> dict[str, str]:
        """Return the variables that make the same settings in another process."""
        values = {name: value for name, value in self.model_dump().items() if value is not None}
        return {f"STRIATE_{name}".upper(): str(value) for name, value in values.items()}


def misspelt() -> list[str]:
    """Return the STRIATE_ variables of the environment that are no settings."""
    known = {f"STRIATE_{name}".upper() for name in Settings.model_fields}
    given = {name for name in os.environ if name.upper().startswith("STRIATE_")}
    return sorted(name for name in given if name.upper() not in known)
