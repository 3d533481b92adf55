"""Images that the tiny models answer, and what an answer that is an error looks like."""

from typing import Any

import httpx

from training import golden

PET = {sample.name: sample for sample in golden.samples("pets", seed=3)}
PNG = PET["pets-png"].data
JPEG = PET["pets-large-jpeg"].data


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Check that the response is this problem and return it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["status"] == status
    assert body["code"] == code
    assert body["request_id"] == response.headers["x-request-id"]
    assert body["detail"]
    assert len(response.content) < 2048
    return body
