"""Our OpenAPI document against the service: schemathesis makes requests of it, right ones and wrong ones."""

from collections import Counter

import pytest
import schemathesis
from hypothesis import strategies as st
from schemathesis.engine import events, from_schema

from tests.worlds import Server
from training import golden

CONFIG = {
    "seed": 1,
    "cache": {"enabled": False},
    "continue-on-failure": True,
    "generation": {"max-examples": 40, "database": "none"},
    # Nothing here has a state that one request leaves to the next.
    "phases": {"stateful": {"enabled": False}},
    "checks": {
        # That bytes are no image, or one that is too small, no schema can say, nor that one parameter
        # needs another.
        "positive_data_acceptance": {"expected-statuses": ["2xx", 404, 415, 422]},
        # Too many images are too many bytes.
        "negative_data_rejection": {"expected-statuses": [400, 404, 405, 406, 413, 415, 422]},
    },
}


@pytest.fixture(scope="module")
def schema(openvino_server: Server) -> schemathesis.BaseSchema:
    """The document that the server itself gives, and images for where it asks for bytes."""
    images = st.sampled_from([sample.data for sample in golden.samples("pets", seed=11)])
    # Mostly images, or nothing would get past the first look at the bytes.
    binary = st.one_of(images, images, images, st.binary(min_size=1, max_size=64))
    schemathesis.openapi.format("binary", binary)
    for kind in ("image/jpeg", "image/png", "image/webp", "application/octet-stream"):
        schemathesis.openapi.media_type(kind, binary)
    config = schemathesis.Config.from_dict(CONFIG)
    return schemathesis.openapi.from_url(f"{openvino_server.url}/openapi.json", config=config)


def test_service_keeps_its_contract(schema: schemathesis.BaseSchema) -> None:
    """Whatever fits the document is answered as it says, and whatever does not is refused as it says: status,
    headers, content type and body (E9, E11, A20).
    """
    failures: list[str] = []
    statuses: Counter[tuple[str, int]] = Counter()
    for event in from_schema(schema).execute():
        if isinstance(event, events.NonFatalError | events.FatalError):
            failures.append(str(event))
        if isinstance(event, events.ScenarioFinished):
            failures += _failures(event)
            statuses.update(
                (event.recorder.label, each.response.status_code)
                for each in event.recorder.interactions.values()
                if each.response is not None
            )
    assert not failures, "\n\n".join(failures[:5])
    for path in ("/classify", "/localize", "/segment"):
        assert {200, 404, 415, 422} <= {status for label, status in statuses if label == f"POST {path}"}


def _failures(event: events.ScenarioFinished) -> list[str]:
    return [
        f"{event.recorder.label}: {check.name}: {check.failure_info.failure.message}\n"
        f"{check.failure_info.code_sample}"
        for checks in event.recorder.checks.values()
        for check in checks
        if check.failure_info is not None
    ]
