"""Every instrument, declared once. A registry per app, so that two apps can live in one process.

Where several workers share their values (`tally`), whichever is asked answers for all.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics_exposition

from service.telemetry import tally

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_COUNTS = (1, 2, 4, 8, 16, 32, 64, 128)
_SHARES = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0)
_OBJECTS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)

STAGES = ("decode", "queue", "engine", "encode")
"""Bytes to tensor, waiting for the engine, the engine's call, row to answer. An image is counted once in each
that it gets to, but the engine's calls are counted, however many images are in one."""


class Metrics:
    """The instruments of one app."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._together = tally.shared()
        if self._together is None:
            ProcessCollector(registry=registry)
        self.requests = Counter(
            "striate_requests",
            "Requests by dialect, route, model and HTTP status; 499 where the client left before its answer.",
            ["dialect", "route", "model", "status"],
            registry=registry,
        )
        self.request_seconds = Histogram(
            "striate_request_seconds",
            "Seconds from the end of a request's head to the last byte of its answer, by route.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.stage_seconds = Histogram(
            "striate_stage_seconds",
            "Seconds in a stage: of one image in decode, queue and encode, of one call in engine.",
            ["stage", "model"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.batch_size = Histogram(
            "striate_batch_size",
            "Images per call of the engine that succeeded.",
            ["model"],
            buckets=_COUNTS,
            registry=registry,
        )
        self.familiarity = Histogram(
            "striate_familiarity",
            "How familiar the answered images are to a model that tells it: of images like those that it was "
            "trained on, a share of x is below x.",
            ["model"],
            buckets=_SHARES,
            registry=registry,
        )
        self.objects = Histogram(
            "striate_objects",
            "Objects that were found in an answered image, by a model that finds all.",
            ["model"],
            buckets=_OBJECTS,
            registry=registry,
        )
        self.images = Counter(
            "striate_images",
            "Images that were read, by model and outcome: ok, the error's code (deadline_exceeded where the "
            "request's time passed first), or disconnected where its client left first.",
            ["model", "outcome"],
            registry=registry,
        )
        self.protocol_errors = Counter(
            "striate_protocol_errors",
            "Connections ended before or within a request, by the error's code, evicted or write_timeout.",
            ["code"],
            registry=registry,
        )
        self.in_flight = Gauge(
            "striate_requests_in_flight",
            "Requests being answered.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.counted_together = Gauge(
            "striate_metrics_together",
            "Whether these figures are of all workers together; 0: of the one that was asked alone.",
            registry=registry,
            multiprocess_mode="livemin",
        )
        self.counted_together.set(1)
        self.live_version = Gauge(
            "striate_model_version",
            "The live version of each model, on its engine and precision.",
            ["model", "engine", "precision"],
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.refused_versions = Gauge(
            "striate_model_versions_refused",
            "Versions on disk that failed a check and are not served.",
            ["model"],
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.load_failures = Counter(
            "striate_model_load_failures",
            "Failed attempts to bring a version to life, by model.",
            ["model"],
            registry=registry,
        )
        self.poll_ok = Gauge(
            "striate_models_poll_ok",
            "Whether the folder of models could be read the last time.",
            registry=registry,
            multiprocess_mode="livemin",
        )

    def stage_sums(self, model: str) -> dict[str, float]:
        """Return the seconds of each stage of a model so far."""
        (family,) = self.stage_seconds.collect()
        return {
            sample.labels["stage"]: sample.value
            for sample in family.samples
            if sample.name.endswith("_sum") and sample.labels["model"] == model
        }

    def render(self, *, openmetrics: bool = False) -> tuple[bytes, str]:
        """Return the values and their content type: Prometheus text 0.0.4, or OpenMetrics 1.0.0."""
        registry = self.registry
        if self._together is not None:
            registry = CollectorRegistry()
            registry.register(self._together)
        if openmetrics:
            text: bytes = openmetrics_exposition.generate_latest(registry)  # type: ignore[no-untyped-call]
            return text, openmetrics_exposition.CONTENT_TYPE_LATEST
        return generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4
