"""The environment: every setting is `STRIATE_<NAME>`, or `--<name>` of `python -m service`.

Longer than other modules: it is one table, of which whoever runs the service sees the whole.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from service import addresses
from service.configuration.environment import PREFIX, Environment
from service.formats import names


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _share(values: dict[str, Any]) -> int:
    """Return the cores of one worker."""
    return max(1, _cores() // int(values.get("workers", 1)))


DIALECTS = ("v2", "tfs")


class StartRefused(Exception):
    """The settings are well-formed but cannot be served with; the text is for operators."""


def _absent(value: Any) -> Any:
    """Read an empty variable, as a compose file passes one on, as one that is not there."""
    return None if value == "" else value


def _lower(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


OptionalPath = Annotated[Path | None, BeforeValidator(_absent)]
OptionalPort = Annotated[int | None, BeforeValidator(_absent)]


class Settings(BaseSettings):
    """Frozen and validated; units are in the names."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        # A compose file passes on as empty what is not set.
        env_ignore_empty=True,
        frozen=True,
        extra="forbid",
        protected_namespaces=(),
        allow_inf_nan=False,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what is given, then the environment."""
        return init_settings, Environment(settings_cls)

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
    default_classify: str = Field(
        "pets",
        description="Model of /classify without ?model; where it is not there, the only one of its task.",
    )
    default_localize: str = Field(
        "pet-heads", description="Model of /localize without ?model; as default_classify."
    )
    default_segment: str = Field(
        "pet-masks", description="Model of /segment without ?model; as default_classify."
    )
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
        4096 * 4096,
        ge=1024,
        le=2**28,
        description="Most pixels that one image may be decoded to, told by its header. A JPEG, decoded at a "
        "fraction of its size, may have 12 times as many (1.5 to 4 times if it is progressive), for a mask 4 "
        "times, and is drawn on at a fraction where it has more.",
    )
    formats: str = Field(
        "jpeg,png,webp,gif,bmp,tiff,ppm,avif,heic",
        description="Formats of images that are read, with commas. heic needs the package pi-heif.",
    )
    max_images: int = Field(16, ge=1, le=1024, description="Most images in one request.")
    max_rows: int = Field(
        32,
        ge=1,
        le=1024,
        description="Most images in a tensor of one request, in the dialects of other servers; max_queue at "
        "most.",
    )
    max_batch: int = Field(32, ge=1, le=1024, description="Most images in one call of an engine.")
    max_queue: int = Field(
        256, ge=1, description="Most images waiting for one model; past it requests get 503."
    )
    deadline_ms: int = Field(
        5000,
        ge=1,
        le=600_000,
        description="Milliseconds from a request's last byte to its answer, at most; a client asks for less "
        "with X-Request-Timeout-Ms.",
    )
    stuck_seconds: float = Field(
        60,
        gt=0,
        description="Seconds after which an engine's call counts as hanging: /livez then says 503, so that "
        "the process is restarted.",
    )
    drain_seconds: float = Field(
        0,
        ge=0,
        le=600,
        description="Seconds from SIGTERM, when /readyz turns to 503, to the end of taking connections: as "
        "long as a load balancer needs to notice.",
    )
    stop_seconds: float = Field(
        30,
        ge=1,
        le=3600,
        description="Seconds from the end of taking connections to the process's end, at most; requests "
        "have all but the last 5 of them. With drain_seconds less than an orchestrator gives.",
    )
    max_held_bytes: int = Field(
        256 * 2**20,
        ge=2**20,
        description="Most bytes of request bodies, and of outputs as tensors, in memory at a time; past it "
        "requests get 503.",
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
        "or hang: auto once the service has started, and before where its graph has a loop.",
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
        description="Networks, with commas, of the proxies whose X-Forwarded-For tells the client's address "
        "and whose X-Forwarded-Prefix the path below which it sees the service.",
    )
    root_path: str = Field(
        "",
        description="Path below which a proxy shows the service, such as /striate, whether it strips it or "
        "not; X-Forwarded-Prefix of a trusted proxy comes before it.",
    )
    cors_origins: str = Field(
        "",
        description="Origins, with commas, whose pages may ask from a browser, such as https://app.example; "
        "* for every page; empty for none.",
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
    dialects: str = Field(
        "v2,tfs",
        description="Other servers' dialects that are spoken at the same port, with commas: v2 is the Open "
        "Inference Protocol (Triton, KServe), tfs TensorFlow Serving's REST and KServe's V1; none for none.",
    )
    docs: Literal["auto", "on", "off"] = Field(
        "auto",
        description="Whether there are /docs and /openapi.json; auto: where requests need no key.",
    )

    @field_validator(
        "engine", "precision", "decode_isolation", "trial_load", "log_level", "auth", "docs", mode="before"
    )
    @classmethod
    def _in_any_case(cls, value: Any) -> Any:
        return _lower(value)

    @model_validator(mode="after")
    def _settings_fit(self) -> Self:
        """Refuse settings that contradict each other, each contradiction in a line of its own."""
        if contradictions := list(self._contradictions()):
            raise ValueError("\n".join(contradictions))
        return self

    def _contradictions(self) -> Iterator[str]:
        if self.max_queue < self.max_images:
            yield (
                f"max_queue ({self.max_queue}) is less than max_images ({self.max_images}): the largest "
                "request allowed could never enter."
            )
        if self.max_held_bytes < 3 * self.max_body_bytes:
            yield (
                f"max_held_bytes ({self.max_held_bytes}) is less than three times max_body_bytes "
                f"({self.max_body_bytes}), which one form or JSON document may hold."
            )
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            yield "tls_cert_file and tls_key_file belong together: one is set, the other is not."
        if self.admin_port and self.admin_port == self.port:
            # The listeners are told apart by their ports.
            yield f"admin_port and port are both {self.port}; they must differ."
        if self.decode_isolation == "process" and sys.platform != "linux":
            yield "decode_isolation=process needs Linux; use thread."

    @field_validator("formats")
    @classmethod
    def _known_formats(cls, text: str) -> str:
        names.named(text)
        return text

    @property
    def formats_taken(self) -> frozenset[names.Kind]:
        """The formats by Pillow's names."""
        return names.named(self.formats)

    @field_validator("dialects")
    @classmethod
    def _known_dialects(cls, text: str) -> str:
        wanted = [name.strip().lower() for name in text.split(",")]
        if wanted == ["none"]:
            return "none"
        if unknown := sorted(set(wanted).difference(DIALECTS)):
            raise ValueError(f"there is no dialect {unknown[0]}; there are {', '.join(DIALECTS)}")
        return ",".join(wanted)

    @property
    def dialects_spoken(self) -> frozenset[str]:
        """The dialects by their names."""
        return frozenset(self.dialects.split(",")) - {"none"}

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, text: str) -> str:
        addresses.networks(text)
        return text

    @field_validator("root_path")
    @classmethod
    def _clean_path(cls, text: str) -> str:
        path = addresses.prefix(text)
        if path is None:
            raise ValueError("a path is written like /striate or /vision/striate")
        return path

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, text: str) -> str:
        return ",".join(addresses.origins(text))

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

    @property
    def isolates_decoding(self) -> bool:
        """Whether images are decoded in processes of their own."""
        if self.decode_isolation == "auto":
            return sys.platform == "linux" and not addresses.is_loopback(self.published_host or self.host)
        return self.decode_isolation == "process"

    def as_environment(self) -> dict[str, str]:
        """Return the variables that make the same settings in another process."""
        values = {name: value for name, value in self.model_dump().items() if value is not None}
        return {f"STRIATE_{name}".upper(): str(value) for name, value in values.items()}
